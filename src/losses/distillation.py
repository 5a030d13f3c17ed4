"""What a student minimises that learns to do in one step what a teacher does in several (``training/teacher.py``)."""

import copy

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from ..diffusion.process import noise_from_velocity, x0_from_velocity
from .diffusion import repeated
from .gan import to_unit
from .pixel import PixelLoss


class DistillationLoss(nn.Cell):
    """How far a student's picture after one step is from its teacher's, by a ``PictureLoss``; it predicts the velocity.

    It counts as an error of the velocity does: times 1/√(1 − ᾱ), which is 1 at x_T, of squares times that squared. The
    student is not clipped, for what is clipped has no gradient. With the weight ``inverse``, of "regression" alone, the
    network also says of the teacher's picture, taken for an x_t of the least noise, which x_T it was made of (SinSR,
    arXiv 2311.14760, section 4.2).
    """

    def __init__(self, model, target, losses, inverse, first):
        """``first`` is (ᾱ, what the network is told, (1,)) of the schedule's first level, which has the least noise."""
        super().__init__(auto_prefix=False)
        self.model, self.target, self.losses = model, target, losses
        self.free_target = copy.copy(target)
        self.free_target.clip = False
        self.power = 1 if losses.pixel_loss.absolute else 2
        self.inverse, self.inverse_loss = float(inverse), PixelLoss("l2")
        alpha_bar, told = first
        self.first_rates = ms.Tensor(np.array([alpha_bar**0.5, (1 - alpha_bar) ** 0.5], np.float32))
        self.first_told = ms.Tensor(told)
        self.hands_on = losses.discriminator is not None
        self.parts = (*losses.parts, *["inverse"] * (self.inverse > 0))

    def construct(self, hr, features, base, x_t, told, rates, x_0):
        """The loss and its weighted parts (n,); for a discriminator's batch, HR and the picture in [0, 1] besides.

        Of HR (B, 3, H, W): the encoder's features and the base picture. x_t and the teacher's x_0 are (B·D, 3, H, W),
        told (B·D,), and rates (2,) are √ᾱ and √(1 − ᾱ) of x_t.
        """
        draws = x_t.shape[0] // hr.shape[0]
        condition, base = repeated(self.model.project(features, base), draws), repeated(base, draws)
        sr = self._picture(x_t, told, rates, condition, base)
        goal, real = to_unit(self.target.to_picture(x_0, base)), repeated(to_unit(hr), draws)
        total, values = self.losses(sr, goal, real)
        weight = rates[1] ** -self.power
        total = total * weight
        if self.inverse > 0:
            value = self.inverse * self.inverse_loss(self._noise(x_0, condition), x_t)
            total, values = total + value, (*values, value)
        parts = ops.stack(values)  # as the losses say, without the weight
        return (total, parts, real, ops.stop_gradient(sr)) if self.hands_on else (total, parts)

    def _picture(self, x_t, told, rates, condition, base):
        """The student's picture in [0, 1]."""
        prediction = self.model(x_t, told, condition)
        x_0 = x0_from_velocity(x_t, prediction, rates[0], rates[1])
        return to_unit(self.free_target.to_picture(x_0, base))

    def _noise(self, x_0, condition):
        """The x_T that the network names for x_0."""
        prediction = self.model(x_0, ops.broadcast_to(self.first_told, (x_0.shape[0],)), condition)
        return noise_from_velocity(x_0, prediction, self.first_rates[0], self.first_rates[1])
