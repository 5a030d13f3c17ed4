"""Noise schedules in float64 NumPy, and the steps that a sampler takes through them."""

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from src.errors import UserError

SCHEDULES = ("cosine", "linear")


class Step(NamedTuple):
    """One step of a sampler: from x_t to x_{t_prev}, with the signal levels ᾱ at both ends as Python floats."""

    t: int
    t_prev: int  # −1 stands for the clean x_0, where ᾱ is 1
    alpha_bar: float
    alpha_bar_prev: float


def cosine_betas(steps, offset=0.008):
    """The cosine schedule (arXiv 2102.09672, section 3.2) with the grid of the public SRDiff checkpoints.

    That grid has steps + 1 points from 0 to steps + 1, both included, where the paper's ends at steps.

    Returns:
        float64 (steps,) in [0, 0.999].
    """
    points = steps + 1
    x = np.linspace(0, points, points)
    alpha_bar = np.cos((x / points + offset) / (1 + offset) * np.pi / 2) ** 2
    alpha_bar /= alpha_bar[0]
    return np.clip(1 - alpha_bar[1:] / alpha_bar[:-1], 0, 0.999)


def linear_betas(steps, start=1e-4, end=0.02):
    """The linear schedule (arXiv 2006.11239, section 4) with the last β at 0.999, as SRDiff's residual needs it.

    Returns:
        float64 (steps,).
    """
    betas = np.linspace(start, end, steps)
    betas[-1] = 0.999
    return betas


class Schedule:
    """β_t and all that follows from it; every table is float64 (T,), indexed by t = 0 … T − 1.

    Names are those of DDPM (arXiv 2006.11239): ``alphas_cumprod`` is ᾱ_t.
    """

    def __init__(self, betas):
        self.betas = np.asarray(betas, np.float64)
        self.alphas_cumprod = np.cumprod(1 - self.betas)
        self.alphas_cumprod_prev = np.append(1.0, self.alphas_cumprod[:-1])

    def __len__(self):
        return len(self.betas)

    @cached_property
    def signal_rate(self):
        """√ᾱ_t, the share of x_0 in x_t."""
        return np.sqrt(self.alphas_cumprod)

    @cached_property
    def noise_rate(self):
        """√(1 − ᾱ_t), the share of ε in x_t."""
        return np.sqrt(1 - self.alphas_cumprod)

    def steps(self, count=None):
        """Return ``count`` sampling steps spread evenly over T − 1 … 0, the noisiest first.

        Args:
            count: from 1 to T; None takes all T.

        Returns:
            list of :class:`Step`; the first starts at T − 1 and the last ends at −1.

        Raises:
            UserError: count is out of range.
        """
        total = len(self)
        count = total if count is None else count
        if not 1 <= count <= total:
            raise UserError(f"the number of sampling steps must be from 1 to {total} for this model, not {count}")
        times = [round(t) for t in np.linspace(total - 1, 0, count)] if count > 1 else [total - 1]
        pairs = zip(times, times[1:] + [-1], strict=True)
        return [Step(t, t_prev, self.alpha_bar(t), self.alpha_bar(t_prev)) for t, t_prev in pairs]

    def alpha_bar(self, t):
        """ᾱ_t as a Python float; 1 for t = −1."""
        return 1.0 if t < 0 else float(self.alphas_cumprod[t])


def make_schedule(kind="cosine", steps=100, cosine_offset=0.008, beta_start=1e-4, beta_end=0.02):
    """Return the :class:`Schedule` that these settings name.

    Raises:
        UserError: the kind is unknown.
    """
    if kind == "cosine":
        return Schedule(cosine_betas(steps, cosine_offset))
    if kind == "linear":
        return Schedule(linear_betas(steps, beta_start, beta_end))
    raise UserError(f"diffusion.schedule must be one of {', '.join(SCHEDULES)}, not '{kind}'")


def posterior(step):
    """Coefficients of q(x_{t_prev} | x_t, x_0) (arXiv 2006.11239, eq. 7), for neighbours and for longer strides.

    Args:
        step: a :class:`Step`.

    Returns:
        three floats: the weight of x_0 and of x_t in the mean, and the standard deviation (0 for the last step).
    """
    alpha = step.alpha_bar / step.alpha_bar_prev
    beta = 1 - alpha
    rest = 1 - step.alpha_bar
    of_x0 = math.sqrt(step.alpha_bar_prev) * beta / rest
    of_xt = math.sqrt(alpha) * (1 - step.alpha_bar_prev) / rest
    return of_x0, of_xt, math.sqrt(beta * (1 - step.alpha_bar_prev) / rest)
