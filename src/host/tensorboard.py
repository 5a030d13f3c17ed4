"""TensorBoard's event files: a new one behind each checkpoint, so that a resumed run deletes files and reads none.

tensorboardX's ``SummaryWriter`` is not used: on a full disk its thread dies, and the training waits for it for ever.
"""

import contextlib
import re
import time

_NAME = re.compile(r"events\.out\.tfevents\.(\d{10})\.\d+")  # the first step that the file holds; nanoseconds


class EventFiles:
    """A log of :class:`src.host.tracking.Tracker` in a folder, whose files of steps behind ``step`` are deleted.

    After an error the next call begins a new file, since nothing behind a record that was cut off can be read.
    """

    name = "TensorBoard"

    def __init__(self, folder, step=0):
        from tensorboardX import RecordWriter
        from tensorboardX.proto import event_pb2, summary_pb2

        self._open, self._events, self._summaries = RecordWriter, event_pb2, summary_pb2
        self.folder, self._file, self._first = folder, None, 0
        self._saved = step  # no file holds steps both up to a checkpoint and behind it
        self._restart = step + 1 if step else None
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("events.out.tfevents.*"):
            name = _NAME.fullmatch(path.name)
            if step == 0 or (name and int(name[1]) > step):
                path.unlink()

    def scalars(self, step, values):
        self._write(step, [self._summaries.Summary.Value(tag=name, simple_value=values[name]) for name in values])

    def pictures(self, step, pictures):
        from tensorboardX.summary import make_image

        for name, picture in pictures.items():
            self._write(step, [self._summaries.Summary.Value(tag=name, image=make_image(picture))])

    def saved(self, step):
        self._saved = step

    def close(self, failed=False):
        file, self._file = self._file, None
        if file:
            file.close()

    def _write(self, step, values):
        try:
            if self._first <= self._saved < step:
                self.close()
            if self._file is None:
                self._begin(step)
            self._add(step=step, summary=self._summaries.Summary(value=values))
            self._file.flush()
        except BaseException:
            with contextlib.suppress(Exception):
                self.close()
            raise

    def _begin(self, step):
        """Begin a file whose name sorts behind those of earlier steps, also where a clock was set back."""
        self._first = step
        self._file = self._open(str(self.folder / f"events.out.tfevents.{step:010d}.{time.time_ns()}"))
        self._add(file_version="brain.Event:2")
        if self._restart:  # makes what TensorBoard has read of later steps void, also of a run's one file of before
            log = self._events.SessionLog
            for _ in range(2):  # the first of a run is not believed
                self._add(step=self._restart, session_log=log(status=log.START))
            self._restart = None

    def _add(self, **content):
        self._file.write(self._events.Event(wall_time=time.time(), **content).SerializeToString())
