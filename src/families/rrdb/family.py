"""RRDB: ESRGAN's generator, trained with a pixel loss; SRDiff's stage 1."""

import math
from dataclasses import dataclass, field
from typing import Literal

from ...config.schema import Config, setting
from ...errors import UserError
from ...inference.tile_size import Cost, Reach
from ..family import BICUBIC_RADIUS, OnePass
from . import convert


@dataclass(frozen=True)
class EncoderConfig:
    """RRDBNet (ESRGAN's generator, arXiv 1809.00219), SRDiff's LR encoder."""

    features: int = setting(64, at_least=1)
    blocks: int = setting(17, at_least=1)
    growth: int = setting(0, at_least=0)  # channels that each dense convolution adds; 0 takes features / 2
    upsampler: Literal["nearest", "pixelshuffle"] = "nearest"  # ESRGAN's; LR↑ plus a correction made at LR resolution


@dataclass(frozen=True)
class RRDBSettings(Config):
    encoder: EncoderConfig = field(default_factory=EncoderConfig)


class RRDB(OnePass):
    """See the module."""

    Settings = RRDBSettings
    multiple_is = ""
    convert = staticmethod(convert.convert)

    def check(self):
        check_growth(self.config.encoder)
        super().check()

    @property
    def size_multiple(self):
        return self.scale

    def model(self):
        model = build_encoder(self.config.encoder, self.scale)
        model.update_parameters_name("encoder.")
        return model

    def reach(self):
        encoder = self.config.encoder
        return Reach(radius(encoder.blocks, self.scale, encoder.upsampler) * self.scale)

    def cost(self):
        encoder = self.config.encoder
        per_lr_pixel = trunk_bytes(encoder)
        if encoder.upsampler == "nearest":  # three tensors of the trunk's width at HR size
            per_lr_pixel += 3 * 4 * encoder.features * self.scale**2
        return Cost(denoise=per_lr_pixel / self.scale**2, pictures=3)

    def summary(self):
        return [encoder_summary(self.config.encoder)]


def build_encoder(encoder, scale, condition_every=3):
    """The RRDBNet of an :class:`EncoderConfig`."""
    from .network import RRDBNet

    return RRDBNet(encoder.features, encoder.blocks, encoder.growth, scale, encoder.upsampler, condition_every)


def check_growth(encoder, section="encoder"):
    """Refuse a growth that would be no channel at all."""
    if encoder.growth == 0 and encoder.features < 2:
        raise UserError(f"'{section}.growth' 0 means features / 2, got 1 feature; set {section}.growth=1")


def encoder_sizes(encoder, scale):
    """What must be equal for the weights of one encoder to fit another: setting → value."""
    return {
        "encoder.features": encoder.features,
        "encoder.blocks": encoder.blocks,
        "encoder.growth": growth(encoder),
        "encoder.upsampler": encoder.upsampler,
        "data.scale": scale,
    }


def growth(encoder):
    """The channels that each dense convolution adds."""
    return encoder.growth or encoder.features // 2


def encoder_summary(encoder):
    return f"encoder    {encoder.features} features, growth {encoder.growth}, {encoder.blocks} blocks"


# The receptive field and the memory. A radius of r pixels means that an output pixel depends on inputs at most r pixels
# away, in each dimension; these are upper bounds, which tests hold against the networks themselves. The bytes are
# estimates, fitted to peaks measured on the CPU (docs/inference_speed.md).


def condition_radius(blocks):
    """Radius of ``RRDBNet.condition`` in LR pixels: a first and a last convolution, fifteen in each RRDB."""
    return 1 + 15 * blocks + 1


def radius(blocks, scale, upsampler):
    """Radius of the whole RRDBNet, LR pixels of input to the pixels of output that belong to them."""
    if upsampler == "pixelshuffle":
        way_up = 2  # two convolutions at LR resolution
    else:  # one convolution after each doubling, two more at HR resolution
        way_up = math.ceil(sum(2.0**-octave for octave in range(1, scale.bit_length())) + 2 / scale) + 1
    return condition_radius(blocks) + max(way_up, BICUBIC_RADIUS)


def trunk_bytes(encoder):
    """Bytes per LR pixel: every block's output, and a dense block's concatenation three times."""
    widest = encoder.features + 4 * growth(encoder)
    return 4 * (encoder.features * (encoder.blocks + 1) + 3 * widest)
