"""What a generator and a discriminator minimise, on pictures in [0, 1] (arXiv 1406.2661, section 3)."""

import mindspore as ms
from mindspore import nn, ops

from .adversarial import total_variation
from .pixel import PixelLoss


class PictureLoss(nn.Cell):
    """The weighted sum of losses on pictures (B, 3, H, W) in [0, 1].

    ``weights`` is of name → weight, with pixel, perceptual, adversarial or variation; what is not named is left out.
    The discriminator's own weights are not touched, but its statistics of batches are. ``truth`` is the share with
    which the first two look at real pictures in place of the goal.
    """

    def __init__(self, weights, pixel_loss="l1", perceptual=None, discriminator=None, adversarial=None, truth=0.0):
        super().__init__(auto_prefix=False)
        self.parts, self.weights = tuple(weights), tuple(float(weight) for weight in weights.values())
        self.pixel_loss, self.perceptual = PixelLoss(pixel_loss), perceptual
        self.discriminator, self.adversarial, self.truth = discriminator, adversarial, float(truth)

    def construct(self, sr, goal, real):
        """The loss of sr, and its weighted parts, a tuple; ``goal`` is what it should be, ``real`` is HR."""
        total, values = 0.0, ()
        for i in range(len(self.parts)):
            value = self.weights[i] * self._part(self.parts[i], sr, goal, real)
            total = total + value
            values = values + (value,)
        return total, values

    def _part(self, part, sr, goal, real):
        if part == "pixel" or part == "perceptual":
            value = self._difference(part, sr, goal)
            return value if self.truth == 0 else value + self.truth * (self._difference(part, sr, real) - value)
        if part == "variation":
            return total_variation(sr)
        if self.adversarial.kind != "relativistic":  # the logits of real pictures play no part
            fake = self.discriminator(sr)
            return self.adversarial.generator(fake, fake)
        real = self.discriminator(real)
        return self.adversarial.generator(real, self.discriminator(sr))

    def _difference(self, part, sr, goal):
        return self.pixel_loss(sr, goal) if part == "pixel" else self.perceptual(sr, goal)


class GeneratorLoss(nn.Cell):
    """A :class:`PictureLoss` of a generator, for batches of HR (B, 3, H, W) and LR (B, 3, h, w) in [−1, 1]."""

    def __init__(self, generator, losses):
        super().__init__(auto_prefix=False)
        self.generator, self.losses, self.parts = generator, losses, losses.parts
        self.hands_on = losses.discriminator is not None

    def construct(self, hr, lr):
        """The loss and its weighted parts (n,); for a discriminator's batch, HR and the picture in [0, 1] besides."""
        hr, sr = to_unit(hr), to_unit(self.generator(lr))
        total, values = self.losses(sr, hr, hr)
        parts = ops.stack(values)
        return (total, parts, hr, ops.stop_gradient(sr)) if self.hands_on else (total, parts)


class DiscriminatorLoss(nn.Cell):
    """What a discriminator minimises, for batches as :class:`GeneratorLoss` hands them on.

    With a ``generator`` for batches of HR and LR in [−1, 1]: then the generator's step comes after it, with the
    discriminator's new weights and another pass, which BatchNorm's statistics follow too.
    """

    parts = ("discriminator",)

    def __init__(self, discriminator, adversarial, generator=None):
        super().__init__(auto_prefix=False)
        self.discriminator, self.adversarial, self.generator = discriminator, adversarial, generator

    def construct(self, hr, picture):
        """The loss, and it again as the one part (1,)."""
        if self.generator is not None:
            hr, picture = to_unit(hr), ops.stop_gradient(to_unit(self.generator(picture)))
        real = self.discriminator(hr)
        loss = self.adversarial.discriminator(real, self.discriminator(picture))
        return loss, loss.reshape(1)


def to_unit(picture):
    """From [−1, 1] to [0, 1], float32."""
    return (picture.astype(ms.float32) + 1) * 0.5
