"""What a network is told of the noise in x_t: the step t, or the share of the signal √ᾱ.

Each kind has the same methods, on NumPy arrays:

* ``of(step)``: what to tell of a ``src.diffusion.schedule.Step``, a Python number;
* ``checked(told)``: an array (B,) of ``dtype`` of what a caller wants to tell, or a ``UserError``;
* ``rates(told)``: from what was told, (B,), back to √ᾱ and √(1 − ᾱ), float64 (B,);
* ``dtype``: of what is told, as NumPy and MindSpore name it;
* ``any_level``: whether levels between those of the steps can be told.
"""

import numpy as np

from src.errors import UserError


class StepNumber:
    """The step t from 0 to T − 1, as DDPM and SRDiff tell it.

    Args:
        schedule: the ``Schedule`` that the network was trained with.
    """

    dtype, any_level = "int32", False

    def __init__(self, schedule):
        self.schedule = schedule

    def of(self, step):
        """t."""
        return step.t

    def checked(self, told):
        """Whole numbers from 0 to T − 1."""
        told = np.asarray(told)
        if told.dtype.kind not in "iu" or (told < 0).any() or (told >= len(self.schedule)).any():
            last = len(self.schedule) - 1
            raise UserError(f"this network is told the step, whole numbers from 0 to {last}: not {told}")
        return told.astype(np.int32).reshape(-1)

    def rates(self, told):
        """√ᾱ_t and √(1 − ᾱ_t)."""
        return self.schedule.signal_rate[told], self.schedule.noise_rate[told]


class SignalRate:
    """√ᾱ, as SR3 tells it (arXiv 2104.07636, section 2.4): no schedule is needed to read it."""

    dtype, any_level = "float32", True

    def of(self, step):
        """√ᾱ at the step's noisy end."""
        return step.alpha_bar**0.5

    def checked(self, told):
        """Numbers from 0 to 1, not of a whole-number type, which would be steps."""
        told = np.asarray(told)
        if told.dtype.kind != "f" or not ((told >= 0) & (told <= 1)).all():
            raise UserError(f"this network is told √ᾱ, float32 numbers from 0 to 1: not {told}")
        return told.astype(np.float32).reshape(-1)

    def rates(self, told):
        """√ᾱ and √(1 − ᾱ)."""
        told = np.asarray(told, np.float64)
        return told, np.sqrt((1 - told) * (1 + told))


def noise_level(kind, schedule):
    """Return what a network is told that was trained with a ``Schedule``: "continuous" √ᾱ, or a "discrete" step."""
    return SignalRate() if kind == "continuous" else StepNumber(schedule)
