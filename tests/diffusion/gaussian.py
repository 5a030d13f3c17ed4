"""Pictures from N(mean, variance): the one target whose perfect network and whose exact samples are known."""

import numpy as np


def denoiser(variance, mean=0.0):
    """E[x_0 | x_t]: the perfect network, linear in x_t."""

    def denoise(x, step):
        signal = step.alpha_bar**0.5
        gain = signal * variance / marginal(variance, step.alpha_bar)
        return mean + gain * (x - signal * mean)

    return denoise


def marginal(variance, alpha_bar):
    """The variance of x_t."""
    return alpha_bar * variance + 1 - alpha_bar


def unit_noise(k, shape):
    """Draw k is the k-th unit vector of ``shape`` (K,).

    A sampler around a linear network then returns the weight of every draw in x, and the sum of their squares is
    the exact variance of its samples.
    """
    draw = np.zeros(shape)
    draw[k] = 1
    return draw


def sampled_variance(sampler, variance, steps, **options):
    """The exact variance of a sampler's pictures over these steps, with draws from N(0, 1)."""
    weights = sampler(denoiser(variance), (len(steps) + 1,), steps, unit_noise, **options)
    return float(np.square(weights).sum())
