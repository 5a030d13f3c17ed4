"""A run's folder: resolved configuration, log, curves and checkpoints.

* ``config.yaml``: the resolved configuration
* ``train.log``: the messages
* ``curve.csv``: step, loss, learning rate, gradient norm, skipped steps: the same however often the run was interrupted
* ``speed.csv``: step, samples per second, share of the time spent waiting for data
* ``validation.csv``: step and the mean scores
* ``checkpoints/step_N.ckpt``: everything that resuming needs
* ``best.ckpt``: the model of the best validation so far
* ``model.ckpt``: the finished model, for eval.py, infer.py, export.py and the next stage
"""

import contextlib
import csv
import io
import logging
from pathlib import Path

from src.atomic_file import flush, remove_leftovers, write_text
from src.errors import UserError
from src.folder_lock import locked
from src.training.checkpoints import load_checkpoint, remove_old, save_model, step_path, step_paths

CURVE = ("step", "loss", "learning_rate", "gradient_norm", "skipped")
SPEED = ("step", "samples_per_second", "waiting")
VALIDATION = ("step", "method", "psnr", "ssim", "lr_psnr", "lpips")
TABLES = {"curve.csv": CURVE, "speed.csv": SPEED, "validation.csv": VALIDATION}


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
            for folder in (self.path, self.checkpoints):
                remove_leftovers(folder)
        except BaseException:
            self._held.close()
            raise

    def newest(self):
        """Return the newest whole :class:`Checkpoint`, or None in a new folder; damaged ones are passed over.

        Raises:
            UserError: there are checkpoints, and none is whole.
        """
        paths = step_paths(self.checkpoints)
        damaged = []
        for path in reversed(paths):
            try:
                checkpoint = load_checkpoint(path)
            except UserError as error:
                damaged.append(error)
                continue
            for error in damaged:
                logging.warning("%s; going on from %s instead", error, path)
            return checkpoint
        if not paths and (self.path / "model.ckpt").exists():
            raise UserError(f"{self.path} is finished and its checkpoints are gone: name another --output")
        if paths:
            raise UserError(f"no checkpoint in {self.checkpoints} is whole: delete {self.path} to begin anew")
        return None

    def start_at(self, step, config_yaml):
        """Write the resolved configuration, and drop what the tables say beyond ``step``, which is to be done again."""
        write_text(self.path / "config.yaml", config_yaml, "configuration")
        for name, columns in TABLES.items():
            rows = [row for row in self.rows(name) if 0 < int(row["step"]) <= step]
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([columns, *([row[c] for c in columns] for row in rows)])
            write_text(self.path / name, text.getvalue(), "table")

    def rows(self, name):
        """Return the whole lines of a table as dicts of texts; a column that the file does not have is empty."""
        path = self.path / name
        if not path.exists():
            return []
        with open(path, newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            lacking = {column: "" for column in TABLES[name] if column not in (reader.fieldnames or ())}
            return [row | lacking for row in reader if None not in row.values() and (row.get("step") or "").isdigit()]

    def losses(self):
        """Return the losses in ``curve.csv``."""
        return [float(row["loss"]) for row in self.rows("curve.csv")]

    def validated(self, step):
        """Return whether ``validation.csv`` has this step."""
        return any(int(row["step"]) == step for row in self.rows("validation.csv"))

    def best(self, method, metric):
        """Return the best score of a method so far, the smallest LPIPS or else the largest value; None without any."""
        rows = self.rows("validation.csv")
        values = [float(row[metric]) for row in rows if row["method"] == method and row[metric]]
        return (min if metric == "lpips" else max)(values, default=None)

    def add_curve(self, row):
        """Append one log line (``src.training.loop.Row``) to ``curve.csv`` and ``speed.csv``."""
        values = [format(value, ".6g") for value in (row.loss, row.learning_rate, row.gradient_norm)]
        self._append("curve.csv", [row.step, *values, row.skipped])
        self._append("speed.csv", [row.step, f"{row.samples_per_second:.4g}", f"{row.waiting:.3f}"])

    def add_validation(self, step, method, scores):
        """Append one method's mean scores to ``validation.csv``."""
        values = [scores.psnr, scores.ssim, scores.lr_psnr, scores.lpips]
        self._append("validation.csv", [step, method] + ["" if value is None else f"{value:.4f}" for value in values])

    def save(self, arrays, config_json, step, keep):
        """Write the checkpoint of a step, then remove all but the newest ``keep``.

        The tables reach the disk first: after a power cut they say all that happened up to the checkpoint.
        """
        path = step_path(self.checkpoints, step)
        for name in TABLES:
            flush(self.path / name)
        save_model(path, arrays, config_json, step)
        remove_old(self.checkpoints, keep, path)

    def save_result(self, arrays, config_json, step, name="model.ckpt"):
        """Write ``model.ckpt``, or ``best.ckpt``: the network without what only resuming needs; return its path."""
        save_model(self.path / name, arrays, config_json, step)
        return self.path / name

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
