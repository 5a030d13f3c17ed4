"""SRGAN (arXiv 1609.04802), ESRGAN (1809.00219) and Real-ESRGAN (2107.10833): one pass, trained with an adversary."""

import logging
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from src.config.schema import Config, setting
from src.errors import UserError
from src.families.family import Objective, OnePass, unfolded
from src.families.rrdb import family as rrdb
from src.families.srgan import convert
from src.inference.tile_size import Cost, Reach


@dataclass(frozen=True)
class GeneratorConfig:
    """What makes the picture: SRGAN's SRResNet, ESRGAN's RRDBNet, BasicSR's MSRResNet, Real-ESRGAN's compact net."""

    network: Literal["srresnet", "rrdb", "msrresnet", "compact"] = "srresnet"
    features: int = setting(64, at_least=1)
    blocks: int = setting(16, at_least=1)  # residual blocks, RRDBs, or the compact network's inner convolutions
    growth: int = setting(0, at_least=0)  # rrdb: channels that each dense convolution adds; 0 takes features / 2
    upsampler: Literal["nearest", "pixelshuffle"] = "nearest"  # rrdb: as of the family rrdb
    unshuffle: Literal[1, 2, 4] = 1  # rrdb: fold so many pixels into channels first, and enlarge so much more
    biases: bool = False  # srresnet: of convolutions in front of BatchNorm too, as in ports
    trunk_end: Literal["batchnorm", "prelu"] = "batchnorm"  # srresnet: after its body's last convolution
    output: Literal["linear", "tanh", "clamp"] = "linear"  # srresnet: at its end
    checkpoint: str = ""  # stage 1: a checkpoint of the same generator that training starts from


@dataclass(frozen=True)
class DiscriminatorConfig:
    """What tells pictures from the generator's: SRGAN's for one patch size, with pooling, ESRGAN's, Real-ESRGAN's."""

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
    """What the generator minimises: a weighted sum of losses on pictures in [0, 1]; a weight of 0 leaves one out."""

    pixel: float = setting(1.0, at_least=0)  # times train.pixel_loss
    perceptual: float = setting(0.0, at_least=0)
    adversarial: float = setting(0.0, at_least=0)
    variation: float = setting(0.0, at_least=0)  # total variation
    # relativistic: ESRGAN's average (arXiv 1809.00219, eqs. 1 and 2); probability: leftthomas'
    kind: Literal["vanilla", "relativistic", "least_squares", "hinge", "probability"] = "vanilla"
    discriminator_first: bool = False  # the discriminator's step comes before the generator's


@dataclass(frozen=True)
class SRGANSettings(Config):
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    perceptual: PerceptualConfig = field(default_factory=PerceptualConfig)
    loss: LossConfig = field(default_factory=LossConfig)


SCALES = {  # generator.network → what it can enlarge by
    "srresnet": (2, 4, 8),
    "rrdb": (1, 2, 4, 8),
    "msrresnet": (2, 3, 4),
    "compact": (1, 2, 3, 4),
}


class SRGAN(OnePass):
    """See the module."""

    Settings = SRGANSettings
    convert = staticmethod(convert.convert)
    multiple_is = "generator.unshuffle of LR"

    def check(self):
        generator, discriminator, loss = self.config.generator, self.config.discriminator, self.config.loss
        if generator.network == "rrdb":
            self._check_rrdb()
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
            self._check_unread("discriminator", ("lr", "checkpoint"), "discriminator.network is none")
            self._check_unread("loss", ("kind", "discriminator_first"), "loss.adversarial is 0")
        if self.config.perceptual.network.startswith("lpips_"):
            self._check_unread("perceptual", ("layers", "loss", "normalize"), "LPIPS has its own layers")
        if self.config.data.sink and not self._is_regression:
            raise UserError(
                "'data.sink' feeds a network that minimises a pixel loss alone: set data.sink=false, or the weights of "
                "the other losses to 0"
            )
        super().check()

    def _check_unread(self, section, names, reason):
        given = getattr(self.config, section)
        for name in names:
            if getattr(given, name) != getattr(type(given)(), name):
                raise UserError(f"'{section}.{name}' has no effect, since {reason}: leave it out")

    @property
    def _is_regression(self):
        return self.config.loss == LossConfig()

    def _check_rrdb(self):
        generator = self.config.generator
        rrdb.check_growth(generator, "generator")
        if generator.upsampler == "pixelshuffle" and (generator.unshuffle > 1 or self.scale == 1):
            raise UserError(
                f"'generator.upsampler' pixelshuffle adds to the enlarged picture itself, got generator.unshuffle="
                f"{generator.unshuffle} and data.scale={self.scale}; set nearest"
            )
        if self.scale * generator.unshuffle > 8:
            raise UserError(
                f"'data.scale' times 'generator.unshuffle' must be at most 8, got {self.scale} and "
                f"{generator.unshuffle}; set generator.unshuffle={8 // self.scale}"
            )

    @property
    def scales(self):
        return SCALES[self.config.generator.network]

    @property
    def scales_are_of(self):
        return f"generator.network={self.config.generator.network}"

    @property
    def unshuffle(self):
        """Real-ESRGAN's pixel-unshuffle in front of an RRDBNet; the others have none."""
        generator = self.config.generator
        return generator.unshuffle if generator.network == "rrdb" else 1

    @property
    def size_multiple(self):
        return self.scale * self.unshuffle

    @property
    def edges(self):
        return "reflect" if self.unshuffle > 1 else "symmetric"  # as RealESRGANer pads

    def model(self):
        from src.families.rrdb.network import RRDBNet
        from src.families.srgan import network

        generator, scale = self.config.generator, self.scale
        sizes = generator.features, generator.blocks
        if generator.network == "srresnet":
            made = network.SRResNet(*sizes, scale, generator.biases, generator.trunk_end, generator.output)
        elif generator.network == "rrdb":
            made = RRDBNet(
                *sizes, generator.growth, scale * self.unshuffle, generator.upsampler,
                in_channels=3 * self.unshuffle**2, clip=False,
            )  # fmt: skip
        elif generator.network == "msrresnet":
            made = network.MSRResNet(*sizes, scale)
        else:
            made = network.CompactNet(*sizes, scale)
        return network.SRGAN(made, self.unshuffle)

    def part(self, name):
        """The model, or the "discriminator"."""
        return self.discriminator() if name else self.model()

    def objectives(self, model, lr_up=False):
        from src.families.srgan.network import initialize_dense_blocks
        from src.losses.adversarial import AdversarialLoss
        from src.losses.gan import DiscriminatorLoss, GeneratorLoss

        initialize_dense_blocks(model)
        if self._is_regression:
            return super().objectives(model, lr_up)
        loss, discriminator, adversarial = self.config.loss, None, None
        names = ("pixel", "perceptual", "adversarial", "variation")
        weights = {name: weight for name in names if (weight := getattr(self.config.loss, name))}
        if loss.adversarial:
            discriminator, adversarial = self.discriminator(), AdversarialLoss(loss.kind)
        perceptual = self._perceptual_loss() if loss.perceptual else None
        of_generator = Objective(
            GeneratorLoss(model, weights, self.config.train.pixel_loss, perceptual, discriminator, adversarial),
            self.groups(model),
        )
        if not loss.adversarial:
            return [of_generator]
        of_discriminator = Objective(
            DiscriminatorLoss(discriminator, adversarial, model if loss.discriminator_first else None),
            [(discriminator.trainable_params(), self.config.discriminator.lr or self.config.train.lr)],
            "discriminator", discriminator,
        )  # fmt: skip
        both = [of_generator, of_discriminator]
        return both[::-1] if loss.discriminator_first else both

    def discriminator(self):
        """The discriminator, a Cell whose parameters are named ``discriminator.*``."""
        from src.families.srgan.discriminator import build_discriminator

        sizes = self.config.discriminator
        return build_discriminator(sizes.network, sizes.features, sizes.hidden, self.config.data.patch_size)

    def fetch_weights(self):
        if not self.config.loss.perceptual:
            super().fetch_weights()
        from src.losses.perceptual import find_perceptual

        settings = self.config.perceptual
        find_perceptual(settings.network, settings.weights, download=True)

    def _perceptual_loss(self):
        from src.losses.perceptual import load_perceptual

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

    def pretrained(self):
        config, found = self.config, []
        for part, path, remedy in (
            ("generator", config.generator.checkpoint, "train stage 1 first, and name its model.ckpt"),
            ("discriminator", config.discriminator.checkpoint, "name what convert.py or train.py wrote"),
        ):
            if path and part == "generator" and config.train.init:
                logging.info("%s.checkpoint is not read: train.init=%s holds one as well", part, config.train.init)
            elif path and not Path(path).is_file():
                raise UserError(f"no {part} at {path} ({part}.checkpoint): {remedy} with {part}.checkpoint=PATH")
            elif path:
                found.append((part, path))
        if config.train.init and config.loss.adversarial and not config.discriminator.checkpoint:
            logging.info("the discriminator starts anew: discriminator.checkpoint=%s would go on", config.train.init)
        return found

    def check_pretrained(self, part, config, path):
        if part == "discriminator":  # its tensors tell
            return
        found, wanted = _generator_sizes(config), _generator_sizes(self.config)
        if found is None:
            raise UserError(
                f"expected an SRGAN or an RRDB in generator.checkpoint, got the {config.system} {path}: name stage 1's "
                "model.ckpt"
            )
        different = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
        if different:
            remedy = " ".join(f"{name}={found[name]}" for name in different if name in found)
            got = ", ".join(f"{name} {found.get(name, 'none')} for {wanted.get(name, 'none')}" for name in different)
            raise UserError(
                f"the generator in {path} is another network than the configuration's ({got}): set {remedy}, or name "
                "another"
            )

    def pretrained_arrays(self, part, checkpoint):
        """An RRDB's own are named ``encoder.*``; a discriminator is a part of no model."""
        if part == "discriminator":
            if not any(name.startswith("discriminator.") for name in checkpoint.arrays):
                raise UserError(
                    f"{checkpoint.path} holds no discriminator: name a run's step_N.ckpt, or what convert.py wrote, "
                    "with discriminator.checkpoint"
                )
            return checkpoint.arrays
        return {name.replace("encoder.", "generator.", 1): value for name, value in checkpoint.model_arrays().items()}

    def reach(self):
        generator, scale = self.config.generator, self.scale
        if generator.network == "rrdb":
            folded = rrdb.radius(generator.blocks, scale * self.unshuffle, generator.upsampler)
            return Reach(unfolded(folded, self.unshuffle) * scale)
        return Reach(RADII[generator.network](generator.blocks, scale) * scale)

    def cost(self):
        generator, scale = self.config.generator, self.scale
        features = 4 * generator.features
        if generator.network == "rrdb":
            per_lr_pixel = rrdb.trunk_bytes(generator) / self.unshuffle**2
            at_hr = 3 * features if generator.upsampler == "nearest" else 0
        else:  # tensors of its width at LR size, and at HR size; fitted to peaks measured on the CPU
            per_lr_pixel = 5 * features
            at_hr = {"srresnet": 5, "msrresnet": 6, "compact": 0}[generator.network] * features
        return Cost(denoise=per_lr_pixel / scale**2 + at_hr, pictures=3)

    def summary(self):
        generator, discriminator = self.config.generator, self.config.discriminator
        options = [f"{generator.features} features, {generator.blocks} blocks"]
        if generator.network == "rrdb":
            options += [f"growth {rrdb.growth(generator)}", generator.upsampler]
            options += [f"unshuffle {generator.unshuffle}"] * (generator.unshuffle > 1)
        if generator.network == "srresnet":
            options += ["biases"] * generator.biases
            options += [f"trunk ends in {generator.trunk_end}", f"{generator.output} output"]
        lines = [f"generator  {generator.network}, {', '.join(options)}"]
        if discriminator.network != "none":
            lines.append(f"discriminator  {discriminator.network}, {discriminator.features} features")
        return lines


def _generator_sizes(config):
    """What must be equal for one generator's weights to fit another, setting → value; None of another system's."""
    if config.system == "rrdb":
        sizes = rrdb.encoder_sizes(config.encoder, config.data.scale)
        ours = {name.replace("encoder.", "generator."): value for name, value in sizes.items()}
        return {"generator.network": "rrdb", "generator.unshuffle": 1} | ours
    if not isinstance(config, SRGANSettings):
        return None
    generator = config.generator
    sizes = {"generator.network": generator.network, "data.scale": config.data.scale}
    sizes |= {f"generator.{name}": getattr(generator, name) for name in ("features", "blocks")}
    if generator.network == "rrdb":
        sizes |= {"generator.growth": rrdb.growth(generator)}
        sizes |= {f"generator.{name}": getattr(generator, name) for name in ("upsampler", "unshuffle")}
    if generator.network == "srresnet":
        sizes |= {f"generator.{name}": getattr(generator, name) for name in ("biases", "trunk_end", "output")}
    return sizes


# Radii in LR pixels, of LR pixels of input to the pixels of output that belong to them, as in ``families.rrdb.family``.


def srresnet_radius(blocks, scale):
    """Of 9×9 convolutions first and at HR size, two 3×3 a block, one after them, and one in front of each doubling."""
    doublings = sum(2.0**-octave for octave in range(scale.bit_length() - 1))
    return 4 + 2 * blocks + 1 + math.ceil(doublings + 4 / scale)


def msrresnet_radius(blocks, scale):
    """Of a 3×3 convolution first, two a block, one in front of each enlargement, and two at HR size."""
    return 1 + 2 * blocks + math.ceil((1.5 if scale == 4 else 1) + 2 / scale)


def compact_radius(blocks, scale):
    """Of ``blocks`` + 2 convolutions at LR size."""
    return blocks + 2


RADII = {"srresnet": srresnet_radius, "msrresnet": msrresnet_radius, "compact": compact_radius}
