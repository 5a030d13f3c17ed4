"""Ancestral sampling: DDPM (arXiv 2006.11239, algorithm 2) and SR3 (arXiv 2104.07636, algorithm 2)."""

import math

from src.diffusion.samplers.walk import Transition, walk


def ddpm(denoise, shape, steps, noise, temperature=1.0, callback=None):
    """Draw x_0 by walking down the posterior q(x_{t_prev} | x_t, x_0).

    With strides longer than 1 the posterior is that of the shorter chain with the same ᾱ at the visited steps.

    Every sampler takes these arguments and keeps this contract, on NumPy arrays and on MindSpore tensors; float32
    stays float32. On NumPy arrays, x is a buffer of the sampler's own that each step overwrites; what ``noise`` and
    ``denoise`` return is only read.

    Args:
        denoise: ``denoise(x_t, step) → x_0`` estimate, clipped if the target is. It must not write to x_t, and must
            leave alone what it returned: second-order samplers read it in the step after, too.
        shape: of x, such as (B, 3, H, W).
        steps: list of ``schedule.Step``, the noisiest first.
        noise: ``noise(k, shape)`` gives the k-th standard normal array: 0 is x_T, k + 1 belongs to ``steps[k]``.
            Asked in this order, and only for what is used: never for the last step, which has no variance, and for
            x_T alone where the steps add no noise.
        temperature: scales all noise; 1 samples the model's distribution, towards 0 comes its mode.
        callback: called after each step as ``callback(k, step, x, x_0)``, k counting from 0. It must copy what it
            keeps of x.

    Returns:
        x at the end of the last step, of the noise's type and dtype.

    Raises:
        UserError: the noise is of another shape.
    """
    return walk(posterior, denoise, shape, steps, noise, temperature, callback)


def sr3(denoise, shape, steps, noise, temperature=1.0, callback=None):
    """Draw x_0 as SR3 does: the posterior's mean, but the variance 1 − α of the step (arXiv 2104.07636, eq. 11).

    This is the larger of DDPM's two choices (arXiv 2006.11239, section 3.2). They agree for short steps; a long one
    leaves more noise in x than the next step's network was trained for.

    Args and returns: as for :func:`ddpm`.
    """
    return walk(widened, denoise, shape, steps, noise, temperature, callback)


def posterior(step):
    """q(x_{t_prev} | x_t, x_0) (arXiv 2006.11239, eq. 7), for neighbours and for longer strides.

    Returns:
        a :class:`~src.diffusion.samplers.walk.Transition`.
    """
    alpha = step.alpha_bar / step.alpha_bar_prev
    beta = 1 - alpha
    rest = 1 - step.alpha_bar
    of_x0 = math.sqrt(step.alpha_bar_prev) * beta / rest
    of_xt = math.sqrt(alpha) * (1 - step.alpha_bar_prev) / rest
    return Transition(of_x0, of_xt, math.sqrt(beta * (1 - step.alpha_bar_prev) / rest))


def widened(step):
    """The posterior's mean with SR3's variance, but for the last step, which adds no noise; see :func:`posterior`."""
    last = step.alpha_bar_prev == 1
    return posterior(step)._replace(deviation=0.0 if last else math.sqrt(1 - step.alpha_bar / step.alpha_bar_prev))
