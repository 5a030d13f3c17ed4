"""Scalars, pictures and files of a run for TensorBoard and Weights & Biases; neither can end the run."""

import logging
from pathlib import Path

from src.errors import UserError
from src.host.tensorboard import EventFiles
from src.host.wandb_run import WandbRun, check_wandb

MODES = ("off", "offline", "online")
PROJECT = "mindspore-sr"


def open_tracker(
    folder, *, tensorboard=True, wandb="off", project=PROJECT, name=None, config=None, step=0, job="train"
):
    """Return a :class:`Tracker` that writes to ``folder/tensorboard`` and ``folder/wandb``.

    Args:
        folder: the run's folder; made if needed.
        tensorboard: whether TensorBoard's files are written.
        wandb: Weights & Biases: ``"off"``, ``"offline"`` (files for ``wandb sync``, no network) or ``"online"``.
        project: W&B's project.
        name: the run's name in W&B; by default one that it makes up.
        config: the run's settings for W&B, a dict of what JSON holds.
        step: go on behind this step: TensorBoard loses what lies beyond, W&B goes on with the same run. 0 begins anew.
        job: the kind of run for W&B, such as ``"train"`` or ``"eval"``.

    Raises:
        UserError: the mode is unknown, wandb is not installed or has no account here. What else fails is a warning.
    """
    if wandb not in MODES:
        raise UserError(f"W&B's mode must be one of {', '.join(MODES)}, not '{wandb}'")
    folder, openers = Path(folder), {}
    if tensorboard:
        openers[EventFiles.name] = lambda: EventFiles(folder / "tensorboard", step)
    if wandb != "off":
        check_wandb(folder, wandb)
        openers[WandbRun.name] = lambda: WandbRun(folder, wandb, project, name, config, step, job)
    logs = []
    for log, opener in openers.items():
        try:
            logs.append(opener())
        except Exception as error:
            _warn(log, error)
    return Tracker(logs)


def add_wandb(arguments, folder):
    """Add ``--wandb`` and ``--wandb-project`` to a command's arguments; ``folder`` is where W&B's files lie."""
    text = f"log to Weights & Biases; offline leaves files for wandb sync in {folder}/wandb"
    arguments.add_argument("--wandb", choices=MODES, default="off", help=text)
    arguments.add_argument("--wandb-project", default=PROJECT, metavar="NAME", help="W&B's project")


class Tracker:
    """Passes on what a run has to tell; a failure is a warning, once for each of the logs, and the run goes on.

    A context manager: :meth:`close` at the end.

    Args:
        logs: objects with the methods of :class:`EventFiles`; none for a tracker that does nothing.
    """

    def __init__(self, logs=()):
        self._logs = list(logs)
        self._warned = set()

    def __bool__(self):
        """Whether anything is logged: for nobody pictures need not be made."""
        return bool(self._logs)

    def scalars(self, step, values):
        """Log numbers by name, such as ``{"train/loss": 0.1}``; those that are None are left out."""
        values = {name: float(value) for name, value in values.items() if value is not None}
        if values:
            self._each(lambda log: log.scalars(step, values))

    def pictures(self, step, pictures):
        """Log uint8 (H, W, 3) pictures by name, such as ``{"val/0001": side_by_side(lr, sr, hr)}``."""
        self._each(lambda log: log.pictures(step, pictures))

    def table(self, step, name, columns, rows):
        """Log a table: names of the columns, and rows of texts, numbers and None. W&B only."""
        self._each(lambda log: log.table(step, name, list(columns), [list(row) for row in rows]))

    def file(self, path, kind="model", metadata=None):
        """Keep a copy of a file as an artifact; ``metadata`` is a dict of what JSON holds. W&B only."""
        self._each(lambda log: log.file(Path(path), kind, metadata))

    def close(self, failed=False):
        """End the logs; W&B shows the run as failed if it did. A second call does nothing."""
        self._each(lambda log: log.close(failed))
        self._logs = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close(failed=kind is not None)

    def _each(self, action):
        for log in self._logs:
            try:
                action(log)
            except Exception as error:  # a full disk, the network, W&B's process: whatever it is, the run goes on
                if log.name not in self._warned:
                    self._warned.add(log.name)
                    _warn(log.name, error)


def _warn(name, error):
    reason = " ".join(str(error).split()) or type(error).__name__
    logging.warning("%s fails, and the run goes on without: %s", name, reason)
