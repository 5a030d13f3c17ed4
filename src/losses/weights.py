"""How much the error at each step t counts in the denoising loss."""

import numpy as np

from src.errors import UserError

LOSS_WEIGHTS = ("uniform", "min_snr", "x0")
_GAMMA = 5.0  # arXiv 2303.09556, section 3.4


def error_scale(kind, prediction, alpha_bar):
    """What the difference between prediction and goal is multiplied by before its absolute value or square is taken.

    With SNR = ᾱ / (1 − ᾱ), the squared error of x_0 is that of v / (SNR + 1) and that of ε / SNR.

    Args:
        kind: "uniform": 1. "min_snr": the error of x_0, times √min(SNR, 5) (arXiv 2303.09556, eq. 9 and section 3.4).
            "x0": the error of x_0, for velocity only, as that of ε says nothing of x_0 where there is no signal.
        prediction: what the network predicts, "noise" or "velocity".
        alpha_bar: (T,) ᾱ_t.

    Returns:
        (T,) float32, scaled to a mean square of 1.

    Raises:
        UserError: the kind is unknown, or "x0" is asked for with noise.
    """
    if kind not in LOSS_WEIGHTS:
        raise UserError(f"diffusion.loss_weight must be one of {', '.join(LOSS_WEIGHTS)}, not '{kind}'")
    if kind == "x0" and prediction == "noise":
        raise UserError("diffusion.loss_weight=x0 needs diffusion.prediction=velocity: or take min_snr")
    snr = alpha_bar / (1 - alpha_bar)
    x0_error = 1 / (snr if prediction == "noise" else snr + 1)
    squared = {"uniform": np.ones_like(snr), "min_snr": np.minimum(snr, _GAMMA) * x0_error, "x0": x0_error}[kind]
    return np.sqrt(squared / squared.mean()).astype(np.float32)
