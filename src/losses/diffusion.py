"""The denoising loss (arXiv 2104.14951, eq. 6 and algorithm 1; arXiv 2104.07636, eq. 6 and algorithm 1)."""

import mindspore as ms
from mindspore import nn, ops

from src.diffusion.process import PREDICTIONS, q_sample, velocity
from src.errors import UserError
from src.losses.levels import ContinuousLevels, StepLevels
from src.losses.pixel import PixelLoss
from src.losses.weights import error_scale


class DiffusionLoss(nn.Cell):
    """Noise HR's residual, or HR, to a level and measure how well the network names the noise (or the velocity).

    Args:
        model: an ``SRDiff`` or an ``SR3``.
        schedule: a ``Schedule``.
        target: a ``ResidualTarget`` or an ``ImageTarget``.
        prediction: what the network predicts, "noise" or "velocity".
        loss: "l1" or "l2".
        weight: how much each t counts, see :func:`src.losses.weights.error_scale`.
        frozen_encoder: stop the gradient at the encoder's features, so that it costs no backward pass.
        continuous: t is a real time, and the network is told √ᾱ (SR3); only with the weight "uniform".
        lr_up, dropout: whether batches bring LR↑, and the keys of dropout's masks; for an ``SR3`` only.
    """

    def __init__(
        self, model, schedule, target, prediction="noise", loss="l1", weight="uniform", frozen_encoder=True,
        continuous=False, lr_up=False, dropout=False,
    ):  # fmt: skip
        super().__init__(auto_prefix=False)
        if prediction not in PREDICTIONS:
            raise UserError(f"diffusion.prediction must be one of {', '.join(PREDICTIONS)}, not '{prediction}'")
        self.model = model
        self.target = target
        self.predicts_velocity = prediction == "velocity"
        self.frozen_encoder = frozen_encoder
        self.lr_up, self.dropout = lr_up, dropout
        self.pixel_loss = PixelLoss(loss)
        self.levels = ContinuousLevels(schedule) if continuous else StepLevels(schedule)
        self.uniform = weight == "uniform"
        if continuous and not self.uniform:
            raise UserError(
                f"diffusion.loss_weight={weight} is a function of the step: take uniform, or discrete steps"
            )
        self.error_scale = ms.Tensor(error_scale(weight, prediction, schedule.signal_rate**2), ms.float32)

    def construct(self, hr, lr, t, noise, *given):
        """The loss of one batch, a float32 scalar.

        Args:
            hr: (B, 3, H, W) float32 in [−1, 1].
            lr: (B, 3, h, w) float32 in [−1, 1].
            t: (B·D,) int32 in [0, T), or float32 where it is continuous; D for each picture, one after the other.
            noise: (B·D, 3, H, W) float32, standard normal.
            given: as the constructor says: lr_up (B, 3, H, W) float32 in [−1, 1], used as given instead of the model's
                own; keys (B·D,) int32, those of the masks of a model with dropout.
        """
        features, base = self.model.given(lr, *(given[:1] if self.lr_up else ()))
        if self.frozen_encoder:
            features, base = ops.stop_gradient(features), ops.stop_gradient(base)
        draws = t.shape[0] // hr.shape[0]
        condition = _repeated(self.model.project(features, base), draws)
        x_0 = _repeated(self.target.to_x0(hr, base), draws)

        signal, noise_rate, told = self.levels(t)
        x_t = q_sample(x_0, noise, signal, noise_rate)
        goal = velocity(x_0, noise, signal, noise_rate) if self.predicts_velocity else noise
        prediction = self.model(x_t, told, condition, *(given[-1:] if self.dropout else ()))
        if self.uniform:
            return self.pixel_loss(prediction, goal)
        scale = self.error_scale[t].reshape(-1, 1, 1, 1)
        return self.pixel_loss(prediction * scale, goal * scale)


def _repeated(x, times):
    """(B, …) → (B·times, …), each row so many times."""
    if times == 1:
        return x
    b, rest = x.shape[0], x.shape[1:]
    return ops.broadcast_to(x.reshape(b, 1, *rest), (b, times, *rest)).reshape(b * times, *rest)
