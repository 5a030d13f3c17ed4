"""The losses on pictures that networks of several families are trained with: on pixels, features and an adversary."""

import logging
from dataclasses import dataclass, field
from typing import Literal

from ..config.schema import Config, setting
from ..errors import UserError
from ..host.shipped import shipped
from .family import Objective


@dataclass(frozen=True)
class DiscriminatorConfig:
    """What tells pictures from the network's: SRGAN's for one patch size, with pooling, ESRGAN's, Real-ESRGAN's."""

    network: Literal["none", "srgan", "pooled", "esrgan", "unet"] = "none"
    features: int = setting(64, at_least=1)  # of its first convolution
    hidden: int = setting(0, at_least=0)  # of its dense layer; 0 takes the paper's: srgan, pooled 1024, esrgan 100
    lr: float = setting(0.0, at_least=0)  # 0 takes train.lr
    checkpoint: str = ""  # of such a discriminator that training starts from, as convert.py writes it


@dataclass(frozen=True)
class PerceptualConfig:
    """The loss on a classifier's features."""

    network: Literal["vgg19", "vgg16", "lpips_squeeze", "lpips_alex", "lpips_vgg"] = "vgg19"
    # of VGG: convI_J before its activation, reluI_J after, poolI after the block; with weights: conv1_2=0.1,conv5_4=1
    layers: str = "conv5_4"
    loss: Literal["l1", "l2"] = "l1"
    normalize: bool = True  # pictures by ImageNet's mean and deviation
    weights: str = ""  # the network's file; empty: where train.py --vgg-download puts it


@dataclass(frozen=True)
class LossConfig:
    """A weighted sum of losses on pictures in [0, 1]; a weight of 0 leaves one out."""

    pixel: float = setting(1.0, at_least=0)  # times train.pixel_loss, or diffusion.loss
    perceptual: float = setting(0.0, at_least=0)
    adversarial: float = setting(0.0, at_least=0)
    variation: float = setting(0.0, at_least=0)  # total variation
    # relativistic: ESRGAN's average (arXiv 1809.00219, eqs. 1 and 2); probability: leftthomas'
    kind: Literal["vanilla", "relativistic", "least_squares", "hinge", "probability"] = "vanilla"
    discriminator_first: bool = False  # the discriminator's step comes before the network's


@dataclass(frozen=True)
class PictureLossSettings(Config):
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    perceptual: PerceptualConfig = field(default_factory=PerceptualConfig)
    loss: LossConfig = field(default_factory=LossConfig)


class PictureLosses:
    """What a family does with :class:`PictureLossSettings`: a half of ``src.families.family.Family``."""

    def check_picture_losses(self):
        discriminator, loss = self.config.discriminator, self.config.loss
        if loss.adversarial and discriminator.network == "none":
            raise UserError(
                f"'loss.adversarial' is {loss.adversarial}, but 'discriminator.network' is none; set "
                "loss.adversarial=0, or a discriminator"
            )
        if discriminator.network != "none" and not loss.adversarial:
            raise UserError(
                f"'discriminator.network' is {discriminator.network}, but 'loss.adversarial' is 0; set "
                "discriminator.network=none, or a weight"
            )
        if not any((loss.pixel, loss.perceptual, loss.adversarial)):
            raise UserError("'loss.pixel', 'loss.perceptual' and 'loss.adversarial' are all 0; set one of them")
        if discriminator.network == "none":
            self.check_unread("discriminator", ("lr", "checkpoint"), "discriminator.network is none")
            self.check_unread("loss", ("kind", "discriminator_first"), "loss.adversarial is 0")
        if self.config.perceptual.network.startswith("lpips_"):
            self.check_unread("perceptual", ("layers", "loss", "normalize"), "LPIPS has its own layers")

    def check_unread(self, section, names, reason):
        """Refuse settings that somebody changed though nothing reads them."""
        given = getattr(self.config, section)
        for name in names:
            if getattr(given, name) != getattr(type(given)(), name):
                raise UserError(f"'{section}.{name}' has no effect, since {reason}: leave it out")

    def part(self, name):
        """The model, or the "discriminator"."""
        return self.discriminator() if name else self.model()

    def picture_loss(self, pixel_loss, discriminator, truth=0.0):
        """The ``src.losses.gan.PictureLoss`` of the settings, against a Cell of :meth:`discriminator` or None."""
        from ..losses.adversarial import AdversarialLoss
        from ..losses.gan import PictureLoss

        loss = self.config.loss
        names = ("pixel", "perceptual", "adversarial", "variation")
        weights = {name: weight for name in names if (weight := getattr(self.config.loss, name))}
        perceptual = self._perceptual_loss() if loss.perceptual else None
        adversarial = AdversarialLoss(loss.kind) if discriminator else None
        return PictureLoss(weights, pixel_loss, perceptual, discriminator, adversarial, truth)

    def discriminator(self):
        """The discriminator, a Cell whose parameters are named ``discriminator.*``."""
        from ..losses.discriminator import build_discriminator

        sizes = self.config.discriminator
        return build_discriminator(sizes.network, sizes.features, sizes.hidden, self.config.data.patch_size)

    def discriminator_objective(self, losses, generator=None):
        """What the discriminator of a ``PictureLoss`` minimises; ``generator`` as of ``DiscriminatorLoss``."""
        from ..losses.gan import DiscriminatorLoss

        network, lr = losses.discriminator, self.config.discriminator.lr or self.config.train.lr
        loss = DiscriminatorLoss(network, losses.adversarial, generator)
        return Objective(loss, [(network.trainable_params(), lr)], "discriminator", network)

    def fetch_weights(self):
        if not self.config.loss.perceptual:
            super().fetch_weights()
        from ..losses.perceptual import find_perceptual

        settings = self.config.perceptual
        find_perceptual(settings.network, settings.weights, download=True)

    def _perceptual_loss(self):
        from ..losses.perceptual import load_perceptual

        patch_size = self.config.data.patch_size
        settings = self.config.perceptual
        loss = load_perceptual(
            settings.network, settings.layers, settings.loss, settings.normalize, settings.weights
        )  # fmt: skip
        if patch_size < loss.min_side:
            raise UserError(
                f"'data.patch_size' must be at least {loss.min_side} for perceptual.network={settings.network} and its "
                f"layers, got {patch_size}; set a larger one"
            )
        return loss

    def pretrained_discriminator(self):
        """What :meth:`Family.pretrained` says of the discriminator."""
        path, config = self.config.discriminator.checkpoint, self.config
        if path and not shipped(path).is_file():
            raise UserError(
                f"no discriminator at {path} (discriminator.checkpoint): name what convert.py or train.py wrote with "
                "discriminator.checkpoint=PATH"
            )
        if config.train.init and config.loss.adversarial and not path:
            logging.info("the discriminator starts anew: discriminator.checkpoint=%s would go on", config.train.init)
        return [("discriminator", path)] if path else []

    def pretrained_arrays(self, part, checkpoint):
        if part != "discriminator":
            return super().pretrained_arrays(part, checkpoint)
        if not any(name.startswith("discriminator.") for name in checkpoint.arrays):
            raise UserError(
                f"{checkpoint.path} holds no discriminator: name a run's step_N.ckpt, or what convert.py wrote, "
                "with discriminator.checkpoint"
            )
        return checkpoint.arrays
