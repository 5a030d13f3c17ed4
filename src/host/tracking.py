"""Scalars, pictures and files of a run for TensorBoard and Weights & Biases; neither can end the run."""

import logging
from pathlib import Path

from ..errors import UserError, one_line
from .tensorboard import EventFiles
from .wandb_run import WandbRun, check_wandb

MODES = ("off", "offline", "online")
PROJECT = "mindspore-sr"


def open_tracker(
    folder, *, tensorboard=True, wandb="off", project=PROJECT, name=None, config=None, step=0, job="train"
):
    """Return a :class:`Tracker` that writes to ``folder/tensorboard`` and ``folder/wandb``; the folder is made.

    It goes on behind ``step``: TensorBoard loses what lies beyond, W&B goes on with the same run; 0 begins anew. All
    else is for W&B: the mode (``"offline"`` leaves files for ``wandb sync``), the run's ``name``, by default one that
    it makes up, its settings ``config``, a dict of what JSON holds, and its kind ``job``, ``"train"`` or ``"eval"``. It
    is a UserError if wandb is not installed or has no account here; what else fails is a warning.
    """
    if wandb not in MODES:
        raise UserError(f"W&B's mode must be one of {', '.join(MODES)}, not '{wandb}'")
    folder, tracker = Path(folder), Tracker()
    if wandb != "off":
        check_wandb(folder, wandb)
    if tensorboard:
        tracker.open(EventFiles, folder / "tensorboard", step)
    if wandb != "off":
        tracker.open(WandbRun, folder, wandb, project, name, config, step, job)
    return tracker


def add_wandb(arguments, folder):
    """Add ``--wandb`` and ``--wandb-project``; ``folder`` is where W&B's files lie."""
    text = f"log to Weights & Biases; offline leaves files for wandb sync in {folder}/wandb"
    arguments.add_argument("--wandb", choices=MODES, default="off", help=text)
    arguments.add_argument("--wandb-project", default=PROJECT, metavar="NAME", help="W&B's project")


class Tracker:
    """Passes on what a run has to tell; a failure is a warning, once for each log, and the run goes on.

    A context manager: :meth:`close` at the end. Without a log it does nothing, and is false: nobody needs pictures.
    """

    def __init__(self):
        self._logs, self._warned = [], set()

    def __bool__(self):
        return bool(self._logs)

    def open(self, log, *args):
        """Add ``log(*args)``, an object with those of the methods below that it has a use for."""
        self._try(log, lambda: self._logs.append(log(*args)))

    def scalars(self, step, values):
        """Log numbers by name, such as ``{"train/loss": 0.1}``; those that are None are left out."""
        values = {name: float(value) for name, value in values.items() if value is not None}
        if values:
            self._each("scalars", step, values)

    def pictures(self, step, pictures):
        """Log uint8 (H, W, 3) pictures by name, such as ``{"val/0001": side_by_side(lr, sr, hr)}``."""
        self._each("pictures", step, pictures)

    def table(self, step, name, columns, rows):
        """Log a table: names of the columns, and rows of texts, numbers and None. W&B only."""
        self._each("table", step, name, list(columns), [list(row) for row in rows])

    def file(self, path, kind="model", metadata=None):
        """Keep a copy of a file as an artifact; ``metadata`` is a dict of what JSON holds. W&B only."""
        self._each("file", Path(path), kind, metadata)

    def saved(self, step):
        """Tell of a checkpoint that the run may be resumed from. TensorBoard only."""
        self._each("saved", step)

    def close(self, failed=False):
        """End the logs; W&B shows the run as failed if it did. A second call does nothing."""
        self._each("close", failed)
        self._logs = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close(failed=kind is not None)

    def _each(self, method, *args):
        for log in self._logs:
            if action := getattr(log, method, None):
                self._try(log, action, *args)

    def _try(self, log, action, *args):
        try:
            action(*args)
        except Exception as error:  # a full disk, the network, W&B's process: whatever it is, the run goes on
            if log.name not in self._warned:
                self._warned.add(log.name)
                logging.warning("%s fails, and the run goes on without: %s", log.name, one_line(error))
