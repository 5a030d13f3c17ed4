"""Noise schedules in float64 NumPy, and the steps that a sampler takes through them."""

import math
from typing import NamedTuple

import numpy as np

from ..errors import UserError

SCHEDULES = ("cosine", "linear")
SPACINGS = ("uniform", "trailing", "quadratic", "logsnr", "linear_beta")
# β from the first to the last of a schedule of its own; one step alone takes the last
FAMILIES = {
    "linear_beta": lambda first, last, count: np.linspace(last, first, count)[::-1],
    "quadratic_beta": lambda first, last, count: np.linspace(np.sqrt(last), np.sqrt(first), count)[::-1] ** 2,
    "geometric_beta": lambda first, last, count: np.geomspace(last, first, count)[::-1],
}
LIST = "betas"
MAX_STEPS = 10_000


def has_own_betas(spacing):
    """Whether a spacing is a schedule of its own, ``NAME:NUMBER,…``, and not the name of a way to choose trained t."""
    return ":" in spacing


def own_betas(spacing, count, called="the spacing"):
    """The β of a schedule for sampling, the least noisy step first: float64 (count,), in (0, 1).

    ``spacing``, in messages ``called`` so, is ``linear_beta:FIRST,LAST`` (even β), ``quadratic_beta:FIRST,LAST`` (even
    √β) or ``geometric_beta:FIRST,LAST`` (even log β), a single step taking LAST; or ``betas:B1,B2,…``, all of them.
    """
    name, _, text = spacing.partition(":")
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = [math.nan]
    if not all(0 < number < 1 for number in numbers):
        raise UserError(f"{called} must have β above 0 and below 1 after its colon, with commas, got '{spacing}'")
    if not 1 <= count <= MAX_STEPS:
        raise UserError(f"the number of sampling steps must be from 1 to {MAX_STEPS}, not {count}")
    if name == LIST and len(numbers) != count:
        raise UserError(f"{called} lists {len(numbers)} β, but the steps are {count}: take {len(numbers)} steps")
    if name == LIST:
        return np.array(numbers)
    if name not in FAMILIES or len(numbers) != 2:
        families = ", ".join(f"{family}:FIRST,LAST" for family in FAMILIES)
        raise UserError(f"{called} with β of its own must be {families} or {LIST}:B1,B2,…, got '{spacing}'")
    return FAMILIES[name](*numbers, count)


def check_spacing(spacing, steps, trained=None, any_level=False):
    """Refuse ``eval.spacing`` and ``eval.steps`` that cannot be sampled; without ``trained`` steps, the form alone."""
    if has_own_betas(spacing):
        own_betas(spacing, steps, "'eval.spacing'")
    else:
        _check_name(spacing, "'eval.spacing'")
    if trained is not None and steps > trained and not (any_level and has_own_betas(spacing)):
        raise UserError(f"'eval.steps' must be at most 'diffusion.steps' ({trained}), got {steps}")


def _check_name(spacing, called="the spacing of sampling steps"):
    if spacing not in SPACINGS:
        raise UserError(f"{called} must be one of {', '.join(SPACINGS)}, or have β of its own, got '{spacing}'")


class Step(NamedTuple):
    """One step of a sampler: from x_t to x_{t_prev}, with the signal levels ᾱ at both ends as Python floats.

    Of a schedule with β of its own, ᾱ need not be that of any trained t; t is then the nearest.
    """

    t: int
    t_prev: int  # −1 stands for the clean x_0, where ᾱ is 1
    alpha_bar: float
    alpha_bar_prev: float


def cosine_betas(steps, offset=0.008):
    """The cosine schedule (arXiv 2102.09672, section 3.2), float64 (steps,), on the grid of public SRDiff checkpoints.

    That grid has steps + 1 points from 0 to steps + 1, both included, where the paper's ends at steps.
    """
    points = steps + 1
    x = np.linspace(0, points, points)
    alpha_bar = np.cos((x / points + offset) / (1 + offset) * np.pi / 2) ** 2
    alpha_bar /= alpha_bar[0]
    return np.clip(1 - alpha_bar[1:] / alpha_bar[:-1], 0, 0.999)


def linear_betas(steps, start=1e-4, end=0.02, last=None):
    """The linear schedule (arXiv 2006.11239, section 4), float64 (steps,).

    ``last`` is the last β instead of ``end``, the others being as they are; SRDiff's residual needs 0.999 there.
    """
    betas = np.linspace(start, end, steps)
    if last is not None:
        betas[-1] = last
    return betas


def make_schedule(kind="cosine", steps=100, cosine_offset=0.008, beta_start=1e-4, beta_end=0.02, last_beta=0.999):
    """The :class:`Schedule` that these settings name; ``last_beta`` is ``linear_betas``'s ``last``."""
    if kind == "cosine":
        return Schedule(cosine_betas(steps, cosine_offset))
    if kind == "linear":
        return Schedule(linear_betas(steps, beta_start, beta_end, last_beta))
    raise UserError(f"diffusion.schedule must be one of {', '.join(SCHEDULES)}, not '{kind}'")


def half_log_snr(alpha_bar):
    """λ = log(√ᾱ / √(1 − ᾱ)), the time of DPM-Solver (arXiv 2206.00927, section 2.2); ᾱ in (0, 1), float or array."""
    return (np.log(alpha_bar) - np.log1p(-alpha_bar)) / 2


class Schedule:
    """β_t and all that follows from it; every table is float64 (T,), indexed by t = 0 … T − 1.

    Names are those of DDPM (arXiv 2006.11239): ``alphas_cumprod`` is ᾱ_t. It lies strictly between 0 and 1: elsewhere
    x_t would have no noise, or nothing but noise.
    """

    def __init__(self, betas, alphas_cumprod=None):
        self.betas = np.asarray(betas, np.float64)
        self.alphas_cumprod = np.cumprod(1 - self.betas) if alphas_cumprod is None else alphas_cumprod
        if not ((self.alphas_cumprod > 0) & (self.alphas_cumprod < 1)).all():
            raise UserError(
                "the signal level of a noise schedule must stay between 0 and 1, but this one goes from "
                f"{self.alphas_cumprod[0]} to {self.alphas_cumprod[-1]}: choose other betas or fewer steps"
            )
        self.signal_rate = np.sqrt(self.alphas_cumprod)  # √ᾱ_t, the share of x_0 in x_t
        self.noise_rate = np.sqrt(1 - self.alphas_cumprod)  # √(1 − ᾱ_t), the share of ε in x_t
        self.half_log_snr = half_log_snr(self.alphas_cumprod)  # λ_t, which falls with t

    @classmethod
    def of_levels(cls, alphas_cumprod):
        """Return the schedule with just these ᾱ; its β follow from them, to float64's accuracy."""
        levels = np.asarray(alphas_cumprod, np.float64)
        return cls(1 - levels / np.append(1.0, levels[:-1]), levels)

    def __len__(self):
        return len(self.betas)

    def alpha_bar(self, t):
        """ᾱ_t as a Python float."""
        return float(self.alphas_cumprod[t])

    def steps(self, count=None, spacing="uniform", any_level=False):
        """Return ``count`` sampling steps (None: T) as :class:`Step`, the noisiest first; the last ends at −1.

        Levels are those of the trained t nearest to what ``spacing`` asks for, one of ``SPACINGS`` or a schedule of its
        own (:func:`own_betas`), and t falls strictly; with ``SPACINGS`` from T − 1. Where the network knows
        ``any_level`` of noise between the trained ones, since it is told √ᾱ, a schedule of its own keeps its levels,
        and may have more steps than T.
        """
        total = len(self)
        count = total if count is None else count
        if has_own_betas(spacing) and any_level:
            levels = self._own_levels(spacing, count)
            times = np.rint(self._times_at(half_log_snr(levels))).astype(int).tolist()
            return _steps(times, levels.tolist())
        if not 1 <= count <= total:
            raise UserError(f"the number of sampling steps must be from 1 to {total} for this model, not {count}")
        times = distinct_times(self._spaced(count, spacing), total)
        return _steps(times, [self.alpha_bar(t) for t in times])

    def _spaced(self, count, spacing):
        """The times that a spacing asks for: ``count`` falling real numbers in [0, T − 1]."""
        last = len(self) - 1
        if has_own_betas(spacing):
            return self._times_at(half_log_snr(self._own_levels(spacing, count)))
        _check_name(spacing)
        if spacing == "uniform":
            return np.linspace(last, 0, count)
        if spacing == "trailing":  # in T/count strides of which the last ends beyond 0 (arXiv 2305.08891, section 3.3)
            return np.rint(len(self) - np.arange(count) * (len(self) / count)) - 1
        if spacing == "quadratic":  # denser towards 0 (arXiv 2010.02502, appendix D.2)
            return np.linspace(math.sqrt(last), 0, count) ** 2
        if spacing == "logsnr":  # evenly in λ, DPM-Solver's choice (arXiv 2206.00927, section 3.4)
            return self._times_at(np.linspace(self.half_log_snr[-1], self.half_log_snr[0], count))
        # linear β between the first β and the last ᾱ of the trained ones, SR3's choice (arXiv 2104.07636, section 2.4)
        first, final = self.alphas_cumprod[[0, -1]]
        return self._times_at(half_log_snr(_linear_beta_levels(first, final, count)))

    def _own_levels(self, spacing, count):
        """ᾱ of a schedule of its own, the noisiest first."""
        levels = Schedule(own_betas(spacing, count)).alphas_cumprod[::-1]
        if levels[0] < 0.99 * self.alphas_cumprod[-1]:  # rounding apart: the trained β themselves may be named
            raise UserError(
                f"these β leave {levels[0]:.2g} of the signal's variance, less than the {self.alphas_cumprod[-1]:.2g} "
                "that the network was trained with: take a smaller last β or fewer steps"
            )
        if not (np.diff(levels) > 0).all():  # a solver of second order divides by a step's length
            raise UserError("some of these β are too small for a step of their own: take larger ones, 1e-8 or more")
        return levels

    def _times_at(self, levels):
        """The real times at which λ, taken as linear between the trained t, reaches these levels."""
        return np.interp(levels, self.half_log_snr[::-1], np.arange(len(self))[::-1])


def _steps(times, levels):
    return list(map(Step, times, [*times[1:], -1], levels, [*levels[1:], 1.0]))


def _linear_beta_levels(first, final, count):
    """ᾱ of ``count`` steps with linear β, noisiest first: from ``final`` to ``first``, which is 1 − β_1."""
    low, high = math.log(final), 0.0  # of log(1 − β_count): β near 1 is thereby as exact as any
    for _ in range(50):
        middle = (low + high) / 2
        alphas = np.linspace(math.exp(middle), first, count)
        low, high = (middle, high) if np.log(alphas).sum() < math.log(final) else (low, middle)
    return np.cumprod(alphas[::-1])[::-1]


def distinct_times(times, total):
    """Round falling real times in [0, total − 1], ``total`` at most, to strictly falling ints.

    Where several meet on one t, they are spread from there to both sides, over the nearest free t: of all ways to keep
    them in order and apart, this moves the one that is moved farthest the least.
    """
    # t_i + i never rises where the t are in order and apart, so any collision is a rise, and flattening the rises ends
    # them: between moving all towards noise (running maximum) and all towards the clean end (running minimum).
    ranks = np.arange(len(times))
    sums = np.rint(times) + ranks
    noisier = np.maximum.accumulate(sums[::-1])[::-1]
    cleaner = np.minimum.accumulate(sums)
    kept = np.clip((noisier + cleaner) // 2, len(times) - 1, total - 1) - ranks
    return [int(t) for t in kept]
