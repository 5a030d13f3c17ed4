"""What a network is told of the noise in x_t: the step t, or the share of the signal √ᾱ.

Each kind has the same methods, on NumPy arrays:

* ``of(step)``: what to tell of a ``src.diffusion.schedule.Step``, a Python number;
* ``checked(level)``: an array (B,) of ``dtype`` of what a caller wants to tell, or a ``UserError``;
* ``rates(level)``: from what was told, (B,), back to √ᾱ and √(1 − ᾱ), float64 (B,);
* ``dtype``: of what is told, as NumPy and MindSpore name it;
* ``any_level``: whether levels between those of the steps can be told.
"""

import numpy as np

from ..errors import UserError


class StepNumber:
    """The step t from 0 to T − 1 of the schedule that a network was trained with, as DDPM and SRDiff tell it."""

    dtype, any_level = "int32", False

    def __init__(self, schedule):
        self.schedule = schedule

    def of(self, step):
        return step.t

    def checked(self, level):
        level = np.asarray(level)
        if level.dtype.kind not in "iu" or (level < 0).any() or (level >= len(self.schedule)).any():
            last = len(self.schedule) - 1
            raise UserError(f"this network is told the step, whole numbers from 0 to {last}: not {level}")
        return level.astype(np.int32).reshape(-1)

    def rates(self, level):
        return self.schedule.signal_rate[level], self.schedule.noise_rate[level]


class SignalRate:
    """√ᾱ at a step's noisy end, as SR3 tells it (arXiv 2104.07636, section 2.4): no schedule is needed to read it."""

    dtype, any_level = "float32", True

    def of(self, step):
        return step.alpha_bar**0.5

    def checked(self, level):
        level = np.asarray(level)
        if level.dtype.kind != "f" or not ((level >= 0) & (level <= 1)).all():  # whole numbers would be steps
            raise UserError(f"this network is told √ᾱ, float32 numbers from 0 to 1: not {level}")
        return level.astype(np.float32).reshape(-1)

    def rates(self, level):
        level = np.asarray(level, np.float64)
        return level, np.sqrt((1 - level) * (1 + level))


def noise_level(kind, schedule):
    """What a network was trained to be told: √ᾱ ("continuous") or a ``Schedule``'s step ("discrete")."""
    return SignalRate() if kind == "continuous" else StepNumber(schedule)
