"""The loop that all samplers share: from x_T down the steps, each a weighted sum of x_t, x_0 and noise."""

from typing import NamedTuple

import numpy as np

from src.diffusion.samplers.arithmetic import weighted_sum
from src.diffusion.schedule import half_log_snr
from src.errors import UserError


class Transition(NamedTuple):
    """One step down: x_{t_prev} = of_x0·x_0 + of_xt·x_t + deviation·z with standard normal z."""

    of_x0: float
    of_xt: float
    deviation: float


class Row(NamedTuple):
    """One step with all that is known beforehand: x_{t_prev} = of_x0·x_0 + of_xt·x_t + of_before·x_0' + deviation·z.

    x_0' is the step before's x_0; of_before is 0 in samplers of first order, and in the first step.
    """

    of_x0: float
    of_xt: float
    of_before: float
    deviation: float


def rows(transition, steps, second_order=False):
    """Return a :class:`Row` for each step; arguments as for :func:`walk`."""
    found = []
    for k, step in enumerate(steps):
        of_x0, of_xt, deviation = transition(step)
        share = _continuation(steps[k - 1], step) if second_order and k > 0 else 0.0
        found.append(Row(of_x0 * (1 + share), of_xt, -of_x0 * share, deviation))
    return found


def walk(transition, denoise, shape, steps, noise, temperature, callback, second_order=False):
    """Run a sampler.

    Args:
        transition: ``transition(step) → Transition``; without noise for a step to t_prev = −1.
        denoise, shape, steps, noise, temperature, callback: as for :func:`~src.diffusion.samplers.ddpm.ddpm`.
        second_order: take x_0 not as the network sees it at the step's start, but as its mean over the step, continued
            linearly in λ from the step before.

    Returns:
        x after the last step.
    """
    x = weighted_sum([(temperature, _draw(noise, 0, shape))])
    x_0_before = None
    for k, (step, row) in enumerate(zip(steps, rows(transition, steps, second_order), strict=True)):
        x_0 = _own(denoise(x, step), x)
        terms = [(row.of_x0, x_0), (row.of_xt, x)]
        if row.of_before:
            terms.append((row.of_before, x_0_before))
        if row.deviation * temperature > 0:
            terms.append((row.deviation * temperature, _draw(noise, k + 1, shape)))
        # Pictures may fill the memory: x is updated in place, and nothing is kept longer than it is needed.
        x = weighted_sum(terms, out=x)
        x_0_before = x_0 if second_order else None
        del terms
        if callback is not None:
            callback(k, step, x, x_0)
        del x_0
    return x


def _draw(noise, k, shape):
    drawn = noise(k, shape)
    if tuple(drawn.shape) != tuple(shape):
        raise UserError(f"the noise source must give arrays {tuple(shape)}, but its draw {k} is {tuple(drawn.shape)}")
    return drawn


def _own(x_0, x):
    """Return x_0 apart from x, which is about to be overwritten: a network may hand back what it was given."""
    arrays = isinstance(x_0, np.ndarray) and isinstance(x, np.ndarray)
    return x_0.copy() if arrays and np.may_share_memory(x_0, x) else x_0


def _continuation(before, step):
    """The weight of x_0's last change, 1/(2r) in algorithm 2 of DPM-Solver++ (arXiv 2211.01095).

    A step to the clean picture has no length in λ, so it stays of first order: weight 0.
    """
    if step.alpha_bar_prev == 1:
        return 0.0
    start, middle, end = (half_log_snr(a) for a in (before.alpha_bar, step.alpha_bar, step.alpha_bar_prev))
    return float((end - middle) / (2 * (middle - start)))
