"""TensorBoard's event files: written record by record, and cut back to a step when a run is resumed.

tensorboardX's ``SummaryWriter`` is not used: its thread dies when the disk is full, and the training then waits for
it for ever. A viewer cannot be trusted with stale points either: TensorBoard 2.21 shows those that ``purge_step``
should hide.
"""

import contextlib
import io
import struct
import time
from pathlib import Path

from src.host.files import replacing

_PREFIX = "events.out.tfevents."
_HEADER = struct.Struct("<QI")  # of a record: the length of its data, and a checksum of the length
_CHECKSUM_SIZE = 4  # behind the data


class EventFiles:
    """One run's scalars and pictures in a folder that TensorBoard shows.

    After an error the next call begins a new file, since nothing behind a record that was cut off can be read.

    Args:
        folder: made if needed.
        step: go on behind this step: what the folder holds beyond it is removed, and everything at step 0.

    Raises:
        OSError, UserError: the folder cannot be written.
    """

    name = "TensorBoard"

    def __init__(self, folder, step=0):
        self.folder = Path(folder)
        self.first_step = step
        self._file = None
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(f".{_PREFIX}*"):  # of a process that was killed while it replaced a file
            leftover.unlink()
        for path in sorted(self.folder.glob(f"{_PREFIX}*")):
            cut(path, step)

    def scalars(self, step, values):
        """Write numbers by name."""
        from tensorboardX.proto.summary_pb2 import Summary

        self._write(step, [Summary.Value(tag=name, simple_value=value) for name, value in values.items()])

    def pictures(self, step, pictures):
        """Write uint8 (H, W, 3) pictures by name, without loss."""
        from PIL import Image
        from tensorboardX.proto.summary_pb2 import Summary

        for name, picture in pictures.items():
            height, width, channels = picture.shape
            file = io.BytesIO()
            Image.fromarray(picture).save(file, format="PNG")
            encoded = Summary.Image(
                height=height, width=width, colorspace=channels, encoded_image_string=file.getvalue()
            )
            self._write(step, [Summary.Value(tag=name, image=encoded)])

    def table(self, step, name, columns, rows):
        """Write nothing: TensorBoard has no tables."""

    def file(self, path, kind, metadata):
        """Write nothing: TensorBoard keeps no files."""

    def close(self, failed=False):
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None

    def _write(self, step, values):
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        try:
            if self._file is None:
                self._file = self._new_file()
            event = Event(wall_time=time.time(), step=step, summary=Summary(value=values))
            self._file.write(event.SerializeToString())
            self._file.flush()
        except BaseException:
            with contextlib.suppress(Exception):
                self.close()
            self._file = None
            raise

    def _new_file(self):
        """Open a file whose name sorts behind those of earlier steps, also where a clock was set back."""
        from tensorboardX import RecordWriter
        from tensorboardX.proto.event_pb2 import Event

        file = RecordWriter(str(self.folder / f"{_PREFIX}{self.first_step:010d}.{time.time_ns()}"))
        file.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        return file


def cut(path, last_step):
    """Remove from an event file all events beyond a step, or the file if none is left; step 0 leaves none.

    What stands behind a record that was cut off cannot be read anyhow, and goes as well.
    """

    def kept():
        return (pair for pair in events(path) if not pair[0].HasField("summary") or pair[0].step <= last_step)

    sizes = [(event.HasField("summary"), len(record)) for event, record in kept()] if last_step > 0 else []
    if not any(holds for holds, _ in sizes):
        path.unlink()
    elif sum(size for _, size in sizes) < path.stat().st_size:
        with replacing(path, "event file") as temporary, open(temporary, "wb") as file:
            file.writelines(record for _, record in kept())


def events(path):
    """Yield the ``Event`` messages of an event file, each with its record (bytes); stop at one that is damaged."""
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    with open(path, "rb") as file:
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            length, checksum = _HEADER.unpack(header)
            if masked_crc32c(header[:8]) != checksum:
                return
            data, end = file.read(length), file.read(_CHECKSUM_SIZE)
            if len(data) < length or len(end) < _CHECKSUM_SIZE:
                return
            try:
                yield Event.FromString(data), header + data + end
            except DecodeError:
                return
