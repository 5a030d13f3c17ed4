"""Implicit sampling (DDIM, arXiv 2010.02502): most of the picture in a tenth of the steps."""

import math
from functools import partial

from src.diffusion.samplers.walk import Transition, walk
from src.errors import UserError


def ddim(denoise, shape, steps, noise, temperature=1.0, callback=None, eta=0.0):
    """Draw x_0 by keeping a part of the noise that the network saw, and renewing the rest (eq. 12).

    Args:
        denoise, shape, steps, noise, temperature, callback: as for :func:`~src.diffusion.samplers.ddpm.ddpm`.
        eta: from 0, where x_T decides everything, to 1, which is DDPM.

    Returns:
        as :func:`~src.diffusion.samplers.ddpm.ddpm`.

    Raises:
        UserError: eta is out of range, or the noise is of another shape.
    """
    if not 0 <= eta <= 1:
        raise UserError(f"eta must be from 0 to 1, not {eta}")
    return walk(partial(implicit, eta=eta), denoise, shape, steps, noise, temperature, callback)


def implicit(step, eta=0.0):
    """The step of eq. 12 with the deviation of eq. 16, its ε written as (x_t − √ᾱ·x_0) / √(1 − ᾱ).

    Returns:
        a :class:`~src.diffusion.samplers.walk.Transition`.
    """
    alpha = step.alpha_bar / step.alpha_bar_prev
    rest, rest_prev = 1 - step.alpha_bar, 1 - step.alpha_bar_prev
    deviation = eta * math.sqrt(rest_prev * (1 - alpha) / rest)
    # √(1 − ᾱ_prev − deviation²) / √(1 − ᾱ), without a difference, which would round away the little that is left
    of_xt = math.sqrt(rest_prev * (alpha * rest_prev + (1 - eta**2) * (1 - alpha))) / rest
    return Transition(math.sqrt(step.alpha_bar_prev) - of_xt * math.sqrt(step.alpha_bar), of_xt, deviation)
