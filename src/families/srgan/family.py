"""SRGAN (arXiv 1609.04802), ESRGAN (1809.00219) and Real-ESRGAN (2107.10833): one pass, trained with an adversary."""

import logging
import math
from dataclasses import dataclass, field
from typing import Literal

from ...config.schema import setting
from ...errors import UserError
from ...host.shipped import shipped
from ...inference.tile_size import Cost, Reach
from ..family import Objective, OnePass, unfolded
from ..picture_losses import LossConfig, PictureLosses, PictureLossSettings
from ..rrdb import family as rrdb
from . import convert


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
class SRGANSettings(PictureLossSettings):
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)


SCALES = {  # generator.network → what it can enlarge by
    "srresnet": (2, 4, 8),
    "rrdb": (1, 2, 4, 8),
    "msrresnet": (2, 3, 4),
    "compact": (1, 2, 3, 4),
}


class SRGAN(PictureLosses, OnePass):
    """See the module."""

    Settings = SRGANSettings
    convert = staticmethod(convert.convert)
    multiple_is = "generator.unshuffle of LR"

    def check(self):
        if self.config.generator.network == "rrdb":
            self._check_rrdb()
        self.check_picture_losses()
        if self.config.data.sink and not self._is_regression:
            raise UserError(
                "'data.sink' feeds a network that minimises a pixel loss alone: set data.sink=false, or the weights of "
                "the other losses to 0"
            )
        super().check()

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
        from ..rrdb.network import RRDBNet
        from . import network

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

    def objectives(self, model, lr_up=False):
        from ...losses.gan import GeneratorLoss
        from .network import initialize_dense_blocks

        initialize_dense_blocks(model)
        if self._is_regression:
            return super().objectives(model, lr_up)
        loss = self.config.loss
        discriminator = self.discriminator() if loss.adversarial else None
        losses = self.picture_loss(self.config.train.pixel_loss, discriminator)
        of_generator = Objective(GeneratorLoss(model, losses), self.groups(model))
        if not loss.adversarial:
            return [of_generator]
        both = [of_generator, self.discriminator_objective(losses, model if loss.discriminator_first else None)]
        return both[::-1] if loss.discriminator_first else both

    def pretrained(self):
        path, found, init = self.config.generator.checkpoint, [], self.config.train.init
        if path and init:
            logging.info("generator.checkpoint is not read: train.init=%s holds one as well", init)
        elif path and not shipped(path).is_file():
            raise UserError(
                f"no generator at {path} (generator.checkpoint): train stage 1 first, and name its model.ckpt with "
                "generator.checkpoint=PATH"
            )
        elif path:
            found = [("generator", path)]
        return found + self.pretrained_discriminator()

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
        """An RRDB's own are named ``encoder.*``."""
        arrays = super().pretrained_arrays(part, checkpoint)
        if part == "discriminator":
            return arrays
        return {name.replace("encoder.", "generator.", 1): value for name, value in arrays.items()}

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
