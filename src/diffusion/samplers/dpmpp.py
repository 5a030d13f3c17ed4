"""DPM-Solver++(2M) (arXiv 2211.01095): second order from two neighbouring x_0, one network call a step.

In data prediction the exact solution over a step depends on x_0's course in λ = log(√ᾱ / √(1 − ᾱ)). With x_0 held
constant, the probability flow gives DDIM's step and the diffusion equation gives DDPM's posterior; with x_0 continued
linearly from the step before, they give these two solvers.
"""

from src.diffusion.samplers.ddim import implicit
from src.diffusion.samplers.ddpm import posterior
from src.diffusion.samplers.walk import walk


def dpmpp_2m(denoise, shape, steps, noise, temperature=1.0, callback=None):
    """Follow the probability flow to second order (algorithm 2); x_T decides everything.

    The first step and the one to the clean picture are of first order.

    Args and returns: as for :func:`~src.diffusion.samplers.ddpm.ddpm`.
    """
    return walk(implicit, denoise, shape, steps, noise, temperature, callback, second_order=True)


def dpmpp_2m_sde(denoise, shape, steps, noise, temperature=1.0, callback=None):
    """Follow the diffusion equation (SDE-DPM-Solver++(2M)): noise in every step but the last.

    The first step and the one to the clean picture are of first order.

    Args and returns: as for :func:`~src.diffusion.samplers.ddpm.ddpm`.
    """
    return walk(posterior, denoise, shape, steps, noise, temperature, callback, second_order=True)
