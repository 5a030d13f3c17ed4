"""A run's folder: resolved configuration, log, curves and checkpoints.

* ``config.yaml``: the resolved configuration
* ``train.log``: the messages
* ``curve.csv``: step, loss, learning rate, gradient norm, samples per second
* ``validation.csv``: step and the mean scores
* ``checkpoints/step_N.ckpt``: everything that resuming needs
* ``model.ckpt``: the finished model, for eval.py, infer.py, export.py and the next stage
"""

import contextlib
import csv
import io
import logging
from pathlib import Path

from src.atomic_file import write_text
from src.errors import UserError
from src.folder_lock import locked
from src.training.checkpoints import load_checkpoint, remove_old, save_model, step_path, step_paths

CURVE = ("step", "loss", "learning_rate", "gradient_norm", "samples_per_second")
VALIDATION = ("step", "method", "psnr", "ssim", "lr_psnr")


def holds_checkpoints(path):
    """Return whether a run in this folder can be resumed."""
    return bool(step_paths(Path(path) / "checkpoints"))


class RunFolder:
    """The files of one training run.

    Args:
        path: the folder; made if needed, and locked until :meth:`close`.
        resume: go on in a folder that holds a run; without it such a folder is refused.

    Raises:
        UserError: the folder holds a run and resume is not asked for, another process writes to it, or it cannot be
            written.
    """

    def __init__(self, path, resume=False):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--output {self.path} is a file: name a folder")
        if not resume and (step_paths(self.checkpoints) or (self.path / "model.ckpt").exists()):
            raise UserError(f"{self.path} holds a run already: add --resume to go on with it, or name another --output")
        self._held = contextlib.ExitStack()
        self._held.enter_context(locked(self.path))
        try:
            self._held.enter_context(_messages_to(self.path / "train.log"))
        except BaseException:
            self._held.close()
            raise

    def newest(self):
        """Return the newest whole :class:`Checkpoint`, or None in a new folder; damaged ones are passed over.

        Raises:
            UserError: there are checkpoints, and none is whole.
        """
        paths = step_paths(self.checkpoints)
        for path in reversed(paths):
            try:
                return load_checkpoint(path)
            except UserError as error:
                logging.warning("passing over a checkpoint: %s", error)
        if not paths and (self.path / "model.ckpt").exists():
            raise UserError(f"{self.path} is finished and its checkpoints are gone: name another --output")
        if paths:
            raise UserError(f"no checkpoint in {self.checkpoints} is whole: delete {self.path} to begin anew")
        return None

    def start_at(self, step, config_yaml):
        """Write the resolved configuration, and drop what the curves say beyond ``step``, which is to be done again."""
        write_text(self.path / "config.yaml", config_yaml, "configuration")
        for name, columns in (("curve.csv", CURVE), ("validation.csv", VALIDATION)):
            path = self.path / name
            rows = []
            if step > 0 and path.exists():
                with open(path, newline="", encoding="utf-8") as handle:
                    rows = [row for row in csv.DictReader(handle) if _whole(row, columns) and int(row["step"]) <= step]
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([columns, *([row[c] for c in columns] for row in rows)])
            write_text(path, text.getvalue(), "curve")

    def add_curve(self, step, loss, learning_rate, gradient_norm, rate):
        """Append one line to ``curve.csv``."""
        self._append("curve.csv", [step, f"{loss:.6g}", f"{learning_rate:.6g}", f"{gradient_norm:.6g}", f"{rate:.4g}"])

    def add_validation(self, step, method, scores):
        """Append one method's mean scores to ``validation.csv``."""
        values = [scores.psnr, scores.ssim, scores.lr_psnr]
        self._append("validation.csv", [step, method] + ["" if value is None else f"{value:.4f}" for value in values])

    def save(self, arrays, config_json, step, keep):
        """Write the checkpoint of a step, then remove all but the newest ``keep``."""
        path = step_path(self.checkpoints, step)
        save_model(path, arrays, config_json, step)
        remove_old(self.checkpoints, keep, path)

    def save_result(self, arrays, config_json, step):
        """Write ``model.ckpt``: the network without the optimiser's state."""
        save_model(self.path / "model.ckpt", arrays, config_json, step)

    def close(self):
        """Close the log file and release the folder."""
        self._held.close()

    def _append(self, name, values):
        try:
            with open(self.path / name, "a", encoding="utf-8") as handle:
                csv.writer(handle, lineterminator="\n").writerow(values)
        except OSError as error:
            raise UserError(
                f"cannot write {self.path / name}: {error.strerror}; free some space and --resume"
            ) from error


class _LogFile(logging.FileHandler):
    """A log file that gives up in silence where it cannot be written: the checkpoint reports a full disk."""

    def handleError(self, record):
        pass

    def close(self):
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def _messages_to(path):
    """Send the messages to a file as well."""
    try:
        handler = _LogFile(path, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; name another --output") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _whole(row, columns):
    return all(row.get(column) is not None for column in columns) and row["step"].isdigit()
