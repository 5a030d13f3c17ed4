"""How far a run has come, and what of that a checkpoint keeps."""

from dataclasses import dataclass, field

import numpy as np

COUNTS, LOSSES = "run.counts", "run.losses"  # the names in a checkpoint


@dataclass
class Progress:
    """Where a run stands; a checkpoint keeps it, so that what comes after is the same as without an interruption.

    Attributes:
        step: optimiser steps done.
        samples: training samples seen, by all devices: the number of the next. It is not a function of the step, for
            the number of devices may change, and going back to a checkpoint leaves data out.
        skipped_in_row: steps skipped in a row up to the last fetched one.
        saved: the step of the last checkpoint that was saved because it was time.
        returns: how often a run that diverged went back to that checkpoint.
        losses: the losses since the last log line, with NaN for skipped steps.
    """

    step: int = 0
    samples: int = 0
    skipped_in_row: int = 0
    saved: int = 0
    returns: int = 0
    losses: list = field(default_factory=list)

    def counts(self):
        """All but the losses, as ints."""
        return [self.step, self.samples, self.skipped_in_row, self.saved, self.returns]

    def arrays(self):
        """What a checkpoint keeps beside its step: name → array."""
        arrays = {COUNTS: np.array(self.counts()[1:], np.int64)}
        return arrays | {LOSSES: np.array(self.losses, np.float32)} if self.losses else arrays


def progress_in(arrays, step, batch_size):
    """Return the progress that a checkpoint keeps.

    Args:
        arrays: the checkpoint's.
        step: its step.
        batch_size: samples in a step of the run that wrote it, for a checkpoint from before this was kept.
    """
    if COUNTS not in arrays:
        return Progress(step, step * batch_size, saved=step)
    losses = arrays[LOSSES].tolist() if LOSSES in arrays else []
    return Progress(step, *arrays[COUNTS].tolist(), losses=losses)
