"""The denoising loss (arXiv 2104.14951, eq. 6 and algorithm 1)."""

import mindspore as ms
from mindspore import nn, ops

from src.diffusion.process import PREDICTIONS, q_sample, velocity
from src.errors import UserError
from src.losses.pixel import PixelLoss


class DiffusionLoss(nn.Cell):
    """Noise HR's residual to step t and measure how well the network names the noise (or the velocity).

    Args:
        model: an ``SRDiff``.
        schedule: a ``Schedule``.
        target: a ``ResidualTarget``.
        prediction: what the network predicts, "noise" or "velocity".
        loss: "l1" or "l2".
        frozen_encoder: stop the gradient at the encoder's features, so that it costs no backward pass.
    """

    def __init__(self, model, schedule, target, prediction="noise", loss="l1", frozen_encoder=True):
        super().__init__(auto_prefix=False)
        if prediction not in PREDICTIONS:
            raise UserError(f"diffusion.prediction must be one of {', '.join(PREDICTIONS)}, not '{prediction}'")
        self.model = model
        self.target = target
        self.predicts_velocity = prediction == "velocity"
        self.frozen_encoder = frozen_encoder
        self.pixel_loss = PixelLoss(loss)
        self.signal_rate = ms.Tensor(schedule.signal_rate, ms.float32)
        self.noise_rate = ms.Tensor(schedule.noise_rate, ms.float32)

    def construct(self, hr, lr, t, noise):
        """The loss of one batch, a float32 scalar.

        Args:
            hr: (B, 3, H, W) float32 in [−1, 1].
            lr: (B, 3, h, w) float32 in [−1, 1].
            t: (B,) int32 in [0, T).
            noise: (B, 3, H, W) float32, standard normal.
        """
        features = self.model.encoder.condition(lr)
        if self.frozen_encoder:
            features = ops.stop_gradient(features)
        lr_up = self.model.lr_up(lr)
        condition = self.model.unet.project(features, lr_up)

        signal = self.signal_rate[t].reshape(-1, 1, 1, 1)
        noise_rate = self.noise_rate[t].reshape(-1, 1, 1, 1)
        x_0 = self.target.to_x0(hr, lr_up)
        x_t = q_sample(x_0, noise, signal, noise_rate)
        goal = velocity(x_0, noise, signal, noise_rate) if self.predicts_velocity else noise
        return self.pixel_loss(self.model(x_t, t, condition), goal)
