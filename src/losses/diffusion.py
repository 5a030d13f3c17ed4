"""The denoising loss (arXiv 2104.14951, eq. 6 and algorithm 1; arXiv 2104.07636, eq. 6 and algorithm 1)."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from ..diffusion.process import PREDICTIONS, q_sample, velocity
from ..errors import UserError
from .pixel import PixelLoss

LOSS_WEIGHTS = ("uniform", "min_snr", "x0")
_GAMMA = 5.0  # arXiv 2303.09556, section 3.4


class DiffusionLoss(nn.Cell):
    """Noise HR's residual, or HR, to a level and measure how well the network names the noise (or the velocity).

    ``model`` has ``features_and_base``, ``project`` and ``construct``, as ``SRDiff`` and ``SR3``. ``weight`` says how
    much each t counts, see :func:`error_scale`. A ``frozen_encoder`` costs no backward pass. If ``continuous``, which
    takes uniform weights alone, t is a real time, and the network is told √ᾱ (SR3). For an ``SR3`` batches may bring
    ``lr_up``, and the keys of ``dropout``'s masks.
    """

    def __init__(
        self, model, schedule, target, prediction="noise", loss="l1", weight="uniform", frozen_encoder=True,
        continuous=False, lr_up=False, dropout=False,
    ):  # fmt: skip
        super().__init__(auto_prefix=False)
        if prediction not in PREDICTIONS:
            raise UserError(f"diffusion.prediction must be one of {', '.join(PREDICTIONS)}, not '{prediction}'")
        self.model, self.target = model, target
        self.predicts_velocity = prediction == "velocity"
        self.frozen_encoder = frozen_encoder
        self.lr_up, self.dropout = lr_up, dropout
        self.pixel_loss = PixelLoss(loss)
        self.noise_levels = ContinuousLevels(schedule) if continuous else StepLevels(schedule)
        self.uniform = weight == "uniform"
        if continuous and not self.uniform:
            raise UserError(f"diffusion.loss_weight={weight} is a function of the step: take uniform or discrete steps")
        self.error_scale = ms.Tensor(error_scale(weight, prediction, schedule.signal_rate**2), ms.float32)

    def construct(self, hr, lr, t, noise, *given):
        """The loss of one batch, a float32 scalar.

        HR (B, 3, H, W) and LR (B, 3, h, w) are float32 in [−1, 1]; t (B·D,) is int32 in [0, T), or float32 where it is
        continuous, D for each picture, one after the other; the noise is (B·D, 3, H, W). As the constructor says, LR↑
        (B, 3, H, W) is given instead of the model's own, and keys (B·D,) int32, those of dropout's masks.
        """
        features, base = self.model.features_and_base(lr, *(given[:1] if self.lr_up else ()))
        if self.frozen_encoder:
            features, base = ops.stop_gradient(features), ops.stop_gradient(base)
        draws = t.shape[0] // hr.shape[0]
        condition = repeated(self.model.project(features, base), draws)
        x_0 = repeated(self.target.to_x0(hr, base), draws)

        signal, noise_rate, told = self.noise_levels(t)
        x_t = q_sample(x_0, noise, signal, noise_rate)
        goal = velocity(x_0, noise, signal, noise_rate) if self.predicts_velocity else noise
        prediction = self.model(x_t, told, condition, *(given[-1:] if self.dropout else ()))
        if self.uniform:
            return self.pixel_loss(prediction, goal)
        scale = self.error_scale[t].reshape(-1, 1, 1, 1)
        return self.pixel_loss(prediction * scale, goal * scale)


class StepLevels(nn.Cell):
    """The noise level of a step t, int32 in [0, T), as DDPM and SRDiff draw it; the network is told t."""

    def __init__(self, schedule):
        super().__init__()
        self.signal_rate = ms.Tensor(schedule.signal_rate, ms.float32)
        self.noise_rate = ms.Tensor(schedule.noise_rate, ms.float32)

    def construct(self, t):
        return self.signal_rate[t].reshape(-1, 1, 1, 1), self.noise_rate[t].reshape(-1, 1, 1, 1), t


class ContinuousLevels(nn.Cell):
    """The noise level of a time t, float32 in [0, T), as SR3 draws it; the network is told √ᾱ, float32.

    Between two whole times, √ᾱ is linear: a uniform t draws a step and, uniformly between √ᾱ of this step and of the
    one before it, a level (arXiv 2104.07636, section 2.4, p(γ); of √ᾱ instead of ᾱ as in WaveGrad, arXiv 2009.00713).
    """

    def __init__(self, schedule):
        super().__init__()
        # 1 − √ᾱ, since √ᾱ itself rounds away how little noise there is in the first steps
        missing = np.append(0.0, -np.expm1(np.log1p(-schedule.betas).cumsum() / 2))
        self.before, self.after = ms.Tensor(missing[:-1], ms.float32), ms.Tensor(missing[1:], ms.float32)

    def construct(self, t):
        step = ops.floor(t)
        share, step = t - step, step.astype(ms.int32)
        before = self.before[step]
        missing = before + share * (self.after[step] - before)
        signal_rate, noise_rate = 1 - missing, ops.sqrt(missing * (2 - missing))
        return signal_rate.reshape(-1, 1, 1, 1), noise_rate.reshape(-1, 1, 1, 1), signal_rate


def error_scale(kind, prediction, alpha_bar):
    """What the difference between prediction and goal is multiplied by before its absolute value or square is taken.

    With SNR = ᾱ / (1 − ᾱ), the squared error of x_0 is that of v / (SNR + 1) and that of ε / SNR. "uniform": 1.
    "min_snr": the error of x_0, times √min(SNR, 5) (arXiv 2303.09556, eq. 9 and section 3.4). "x0": the error of x_0,
    for velocity only, as that of ε says nothing of x_0 where there is no signal. Returns (T,) float32 with a mean
    square of 1.
    """
    if kind not in LOSS_WEIGHTS:
        raise UserError(f"diffusion.loss_weight must be one of {', '.join(LOSS_WEIGHTS)}, not '{kind}'")
    if kind == "x0" and prediction == "noise":
        raise UserError("diffusion.loss_weight=x0 needs diffusion.prediction=velocity: or take min_snr")
    snr = alpha_bar / (1 - alpha_bar)
    x0_error = 1 / (snr if prediction == "noise" else snr + 1)
    squared = {"uniform": np.ones_like(snr), "min_snr": np.minimum(snr, _GAMMA) * x0_error, "x0": x0_error}[kind]
    return np.sqrt(squared / squared.mean()).astype(np.float32)


def repeated(x, times):
    """(B, …) → (B·times, …), each row so many times."""
    if times == 1:
        return x
    b, rest = x.shape[0], x.shape[1:]
    return ops.broadcast_to(x.reshape(b, 1, *rest), (b, times, *rest)).reshape(b * times, *rest)
