"""Ancestral sampling (DDPM, arXiv 2006.11239, algorithm 2)."""

from src.diffusion.schedule import posterior


def ddpm(denoise, shape, steps, noise, temperature=1.0, callback=None):
    """Draw x_0 by walking down the posterior q(x_{t_prev} | x_t, x_0).

    With strides longer than 1 the posterior is that of the shorter chain with the same ᾱ at the visited steps.

    Args:
        denoise: ``denoise(x_t, step) → x_0`` estimate, clipped if the target is.
        shape: of x, such as (B, 3, H, W).
        steps: list of ``schedule.Step``, the noisiest first.
        noise: ``noise(k, shape)`` gives the k-th standard normal array: 0 is x_T, then one for each step in
            order; the last step, which has no variance, takes none.
        temperature: scales all noise; 1 samples the model's distribution, towards 0 comes its mode.
        callback: called after each step as ``callback(k, step, x, x_0)``, k counting from 0.

    Returns:
        the array at the end of the last step, of the noise's type.
    """
    x = noise(0, shape) * temperature
    for k, step in enumerate(steps):
        x_0 = denoise(x, step)
        of_x0, of_xt, deviation = posterior(step)
        x = of_x0 * x_0 + of_xt * x
        if deviation > 0:
            x = x + (deviation * temperature) * noise(k + 1, shape)
        if callback is not None:
            callback(k, step, x, x_0)
    return x
