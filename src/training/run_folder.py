"""A run's folder: ``config.yaml``, ``train.log``, the tables in :data:`TABLES`, and checkpoints.

* ``checkpoints/step_N.ckpt``: everything that resuming needs
* ``checkpoints/interrupted_N.ckpt``: the same, saved when the user interrupted; until the next ``step_N.ckpt``
* ``checkpoints/best_N.ckpt``: the models of the validations that were the best so far, as far back as the run may go
* ``best.ckpt``: the last of them
* ``model.ckpt``: the finished model, for eval.py, infer.py, export.py and the next stage
"""

import contextlib
import csv
import io
import logging
import math
import shutil
from pathlib import Path

from ..errors import UserError
from ..host.files import flush, locked, remove_leftovers, replacing, write_text
from ..weights.checkpoint import load_checkpoint, path_of, paths_of, remove_old, save_model, step_of

TABLES = {
    "curve.csv": ("step", "loss", "learning_rate", "gradient_norm", "skipped", "parts"),
    "speed.csv": ("step", "samples_per_second", "waiting"),
    "validation.csv": ("step", "method", "psnr", "ssim", "lr_psnr", "lpips", "loss"),
}
SMALLER_IS_BETTER = ("lpips", "loss")


class RunFolder:
    """The files of one run, locked until :meth:`close`; without ``resume`` a folder that holds a run is refused."""

    def __init__(self, path, resume=False):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--output {self.path} is a file: name a folder")
        saved = paths_of(self.checkpoints, "step", "interrupted")
        if not resume and (saved or (self.path / "model.ckpt").exists()):
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

    def newest(self, *kinds):
        """The newest whole checkpoint of ``"step"`` and ``"interrupted"``, or of one kind; None in a new folder."""
        paths = paths_of(self.checkpoints, *(kinds or ("step", "interrupted")))
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
        """Write the resolved configuration, and drop what was done beyond ``step``, which is to be done again."""
        write_text(self.path / "config.yaml", config_yaml, "configuration")
        for name in TABLES:
            self._write_table(name, [row for row in self.rows(name) if 0 < int(row["step"]) <= step])
        if self._unlink_after(step, "best"):
            self._show_best()

    def before(self, checkpoint):
        """The newest whole checkpoint ``step_N.ckpt`` that is older than another, or None."""
        for path in reversed(paths_of(self.checkpoints)):
            if step_of(path) < checkpoint.step:
                with contextlib.suppress(UserError):  # damaged
                    return load_checkpoint(path)
        return None

    def discard_after(self, step):
        """Delete the checkpoints after a step, interrupted ones too: the run has gone back to it."""
        self._unlink_after(step, "step", "interrupted")

    def rows(self, name):
        """The whole lines of a table as dicts of texts; a column that the file does not have is empty."""
        path = self.path / name
        if not path.exists():
            return []
        with open(path, newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            lacking = {column: "" for column in TABLES[name] if column not in (reader.fieldnames or ())}
            return [row | lacking for row in reader if None not in row.values() and (row.get("step") or "").isdigit()]

    def losses(self):
        return [float(row["loss"]) for row in self.rows("curve.csv")]

    def validated(self, step, method):
        return any(int(row["step"]) == step and row["method"] == method for row in self.rows("validation.csv"))

    def improves(self, method, metric, score):
        """Whether a score is better than all of a method so far: less LPIPS or loss, else more.

        None and NaN, of a picture too small for a score, are not better than anything, and anything else than them.
        """
        if score is None or math.isnan(score):
            return False
        rows = self.rows("validation.csv")
        values = [float(row[metric]) for row in rows if row["method"] == method and row[metric]]
        sign = -1 if metric in SMALLER_IS_BETTER else 1
        return all(sign * score > sign * value for value in values if not math.isnan(value))

    def add_curve(self, row):
        """Append a ``src.training.loop.Row`` to ``curve.csv`` and ``speed.csv``."""
        values = [format(value, ".6g") for value in (row.loss, row.learning_rate, row.gradient_norm)]
        parts = " ".join(f"{name}={value:.6g}" for name, value in row.parts.items())
        self._append("curve.csv", [row.step, *values, row.skipped, parts])
        self._append("speed.csv", [row.step, f"{row.samples_per_second:.4g}", f"{row.waiting:.3f}"])

    def add_validation(self, step, means):
        """Write a step's mean scores, method → scores by attribute, to ``validation.csv``, of all methods at once."""
        rows = [row for row in self.rows("validation.csv") if int(row["step"]) != step]  # one that was cut off
        for method, mean in means.items():
            scores = {column: _cell(column, getattr(mean, column, None)) for column in TABLES["validation.csv"][2:]}
            rows.append({"step": step, "method": method} | scores)
        self._write_table("validation.csv", rows)

    def save(self, arrays, config_json, step, keep):
        """Write the checkpoint of a step, then remove all but the newest ``keep``.

        The tables reach the disk first: after a power cut they say all that happened up to the checkpoint.
        """
        path = path_of(self.checkpoints, step)
        for table in map(self.path.joinpath, TABLES):
            if table.exists():
                with _explained(table):
                    flush(table)
            else:
                logging.warning("%s is gone: what it said is lost", table)
        save_model(path, arrays, config_json, step)
        remove_old(self.checkpoints, keep, path)
        oldest = step_of(paths_of(self.checkpoints)[0])
        best = paths_of(self.checkpoints, "best")
        for path, following in zip(best, best[1:], strict=False):
            if step_of(following) <= oldest:  # no way back leads to where this was the best
                path.unlink()

    def save_interrupted(self, arrays, config_json, step):
        """Write a checkpoint that :meth:`newest` finds, beside those that are saved when it is time."""
        save_model(path_of(self.checkpoints, step, "interrupted"), arrays, config_json, step)

    def save_best(self, arrays, config_json, step):
        """Write the model of a validation that is the best so far, and show it as ``best.ckpt``."""
        save_model(path_of(self.checkpoints, step, "best"), arrays, config_json, step)
        self._show_best()

    def save_result(self, arrays, config_json, step):
        """Write ``model.ckpt``: the network without what only resuming needs; return its path."""
        path = self.path / "model.ckpt"
        save_model(path, arrays, config_json, step)
        return path

    def close(self):
        self._held.close()

    def _unlink_after(self, step, *kinds):
        late = [path for path in paths_of(self.checkpoints, *kinds) if step_of(path) > step]
        for path in late:
            path.unlink()
        return bool(late)

    def _show_best(self):
        target, best = self.path / "best.ckpt", paths_of(self.checkpoints, "best")
        if not best:
            target.unlink(missing_ok=True)
            return
        with replacing(target, "checkpoint") as temporary:
            shutil.copyfile(best[-1], temporary)

    def _write_table(self, name, rows):
        text = io.StringIO()
        writer = csv.DictWriter(text, TABLES[name], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / name, text.getvalue(), "table")

    def _append(self, name, values):
        with _explained(self.path / name), open(self.path / name, "a", encoding="utf-8") as handle:
            csv.writer(handle, lineterminator="\n").writerow(values)


@contextlib.contextmanager
def _explained(path):
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; free some space and --resume") from error


def _cell(column, value):
    """A score as text: losses may be small, and are compared."""
    if value is None:
        return ""
    return f"{value:.6g}" if column == "loss" else f"{value:.4f}"


class _LogFile(logging.FileHandler):
    """A log file that gives up in silence where it cannot be written: the checkpoint reports a full disk."""

    def handleError(self, record):
        pass

    def close(self):
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def _messages_to(path):
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
