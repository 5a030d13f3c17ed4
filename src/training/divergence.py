"""When a loss is far too large, and what to do about a run that has diverged.

A step whose loss is not finite, or above a limit, is skipped. After many of these in a row the run goes back to its
last checkpoint and goes on with data that it has not seen, past what it failed on (arXiv 2204.02311, section 5.1):
with the same data it would fail in the same way, since everything is a function of the seed and the step. If it
fails again before the next checkpoint, it stops.
"""

import math
from collections import deque
from statistics import median

_WINDOW = 20  # log lines that the limit is made from
_ENOUGH = 5  # log lines before which there is no limit


class LossLimit:
    """The largest loss that is believed: a multiple of the median of the last log lines.

    Args:
        ratio: the multiple; 0 for no limit.
        losses: the losses that the log has so far, when a run is resumed.
    """

    def __init__(self, ratio, losses=()):
        self.ratio = ratio
        self.losses = deque((loss for loss in losses if math.isfinite(loss)), maxlen=_WINDOW)

    def add(self, loss):
        """Take a log line's loss into account."""
        if math.isfinite(loss):
            self.losses.append(loss)

    @property
    def value(self):
        """The limit; infinity without enough log lines."""
        if not self.ratio or len(self.losses) < _ENOUGH:
            return math.inf
        return self.ratio * median(self.losses)
