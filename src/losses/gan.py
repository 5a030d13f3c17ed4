"""What a generator and a discriminator minimise, on pictures in [0, 1] (arXiv 1406.2661, section 3)."""

import mindspore as ms
from mindspore import nn, ops

from src.losses.adversarial import total_variation
from src.losses.pixel import PixelLoss


class GeneratorLoss(nn.Cell):
    """The weighted sum of a generator's losses, for batches of HR (B, 3, H, W) and LR (B, 3, h, w) in [−1, 1].

    ``weights`` is of name → weight, with pixel, perceptual, adversarial or variation; what is not named is left out.
    The discriminator's own weights are not touched, but its statistics of batches are.
    """

    def __init__(self, generator, weights, pixel_loss="l1", perceptual=None, discriminator=None, adversarial=None):
        super().__init__(auto_prefix=False)
        self.parts, self.weights = tuple(weights), tuple(float(weight) for weight in weights.values())
        self.generator, self.discriminator = generator, discriminator
        self.pixel_loss, self.perceptual, self.adversarial = PixelLoss(pixel_loss), perceptual, adversarial

    def construct(self, hr, lr):
        """The loss and its weighted parts (n,); for a discriminator's batch, HR and the picture in [0, 1] besides."""
        hr, sr = _to_unit(hr), _to_unit(self.generator(lr))
        total, values = 0.0, ()
        for i in range(len(self.parts)):
            value = self.weights[i] * self._part(self.parts[i], sr, hr)
            total = total + value
            values = values + (value,)
        parts = ops.stack(values)
        return (total, parts) if self.discriminator is None else (total, parts, hr, ops.stop_gradient(sr))

    def _part(self, part, sr, hr):
        if part == "pixel":
            return self.pixel_loss(sr, hr)
        if part == "perceptual":
            return self.perceptual(sr, hr)
        if part == "variation":
            return total_variation(sr)
        if self.adversarial.kind != "relativistic":  # the logits of real pictures play no part
            fake = self.discriminator(sr)
            return self.adversarial.generator(fake, fake)
        real = self.discriminator(hr)
        return self.adversarial.generator(real, self.discriminator(sr))


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
            hr, picture = _to_unit(hr), ops.stop_gradient(_to_unit(self.generator(picture)))
        real = self.discriminator(hr)
        loss = self.adversarial.discriminator(real, self.discriminator(picture))
        return loss, loss.reshape(1)


def _to_unit(picture):
    return (picture.astype(ms.float32) + 1) * 0.5
