"""SR3 (arXiv 2104.07636), DDPM (arXiv 2006.11239), unconditional or not, and SR3's regression baseline."""

import math
from dataclasses import dataclass, field
from typing import Literal

from ...config.schema import DiffusionConfig, setting
from ...errors import UserError
from ...inference.tile_size import Cost, Reach
from ..distillation import Distillable, DistillableSettings
from ..family import BICUBIC_RADIUS, OnePass, check_levels, unfolded
from . import convert


@dataclass(frozen=True)
class SR3Config:
    """SR3's U-Net (arXiv 2104.07636), and DDPM's."""

    width: int = setting(64, at_least=1)  # channels of the first level
    multipliers: tuple[int, ...] = (1, 2, 4, 8, 8)  # channels of each level, times width
    blocks: int = setting(2, at_least=1)  # residual blocks of each level on the way down; one more on the way up
    attention: tuple[int, ...] = (16,)  # self-attention in the levels of these resolutions, counted from image_size
    image_size: int = setting(128, at_least=1)  # HR pixels that resolutions are counted from; pictures may differ
    space_to_depth: Literal[1, 2, 4] = 1  # work on r×r pixels folded into channels: 1 (the papers), 2 or 4
    groups: int = setting(32, at_least=1)  # GroupNorm groups
    dropout: float = setting(0.2, at_least=0, below=1)  # share of values dropped while training
    # what the network is told: √ᾱ (SR3); the step (DDPM); nothing, it makes the picture from LR↑ in one pass, without
    # diffusion (SR3's regression baseline)
    noise_level: Literal["continuous", "discrete", "none"] = "continuous"
    affine: bool = False  # the noise level scales and shifts the channels; false: it shifts them
    conditional: bool = True  # LR↑ beside x_t; false: an unconditional model


@dataclass(frozen=True)
class SR3Settings(DistillableSettings):
    sr3: SR3Config = field(default_factory=SR3Config)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)


class _SR3:
    """What SR3, DDPM and the regression baseline have in common: the U-Net."""

    Settings = SR3Settings
    convert = staticmethod(convert.convert)

    def check(self):
        sr3, divisor = self.config.sr3, self.size_multiple
        check_levels("sr3", sr3)
        channels = [sr3.width * multiplier for multiplier in sr3.multipliers]
        if any(count % sr3.groups for count in channels):
            raise UserError(
                f"'sr3.groups' must divide the channels of every level, got {sr3.groups} groups for {channels} "
                f"channels; {math.gcd(sr3.width, sr3.groups)} would do"
            )
        if sr3.image_size % divisor:
            raise UserError(
                f"'sr3.image_size' must be a multiple of {self.multiple_is} ({divisor}), got {sr3.image_size}"
            )
        if set(sr3.attention) - set(self._resolutions()):
            raise UserError(
                f"'sr3.attention' must be among the resolutions of the levels, "
                f"{', '.join(map(str, self._resolutions()))}, got {list(sr3.attention)}"
            )
        super().check()

    def _resolutions(self):
        sr3 = self.config.sr3
        return [sr3.image_size // sr3.space_to_depth >> level for level in range(len(sr3.multipliers))]

    @property
    def size_multiple(self):
        sr3 = self.config.sr3
        return sr3.space_to_depth * 2 ** (len(sr3.multipliers) - 1)

    @property
    def usual_size(self):
        return (self.config.sr3.image_size,) * 2

    def columns(self):
        return super().columns()._replace(dropout_keys=self.config.sr3.dropout > 0 and not self.distilled)

    def _unet(self, takes_lr_up):
        from .network import SR3UNet

        sr3 = self.config.sr3
        return SR3UNet(
            sr3.width, sr3.multipliers, sr3.blocks, sr3.attention, sr3.image_size, sr3.groups, sr3.dropout,
            sr3.noise_level, sr3.affine, takes_lr_up, sr3.space_to_depth,
        )  # fmt: skip

    def _enlarge(self):
        from ...layers.phase_upscale import BicubicUpscale

        return BicubicUpscale(self.scale)

    def reach(self):
        sr3 = self.config.sr3
        fields = unet_radius(len(sr3.multipliers), sr3.blocks, sr3.space_to_depth), BICUBIC_RADIUS
        return Reach(*fields, local=False)  # the normalisation sees the whole picture

    def cost(self):
        sr3 = self.config.sr3
        # A pixel of level l stands for 4^l of the first: the skips that are kept, some tensors of the finest levels.
        kept = sum((sr3.blocks + 1) * multiplier / 4**level for level, multiplier in enumerate(sr3.multipliers))
        finest = 12 * max(multiplier / 4**level for level, multiplier in enumerate(sr3.multipliers))
        attended = [level for level, size in enumerate(self._resolutions()) if size in sr3.attention]
        return Cost(
            denoise=4 * sr3.width * (kept + finest) / sr3.space_to_depth**2,
            # every pixel's weight for every other, before and after the softmax
            pairs=2 * 4 / (16 ** min([*attended, len(sr3.multipliers) - 1]) * sr3.space_to_depth**4),
            features=12,  # LR↑
            pictures=5,  # x_t, x_0, LR↑, and, with some samplers, the noise and the x_0 before
        )

    def summary(self):
        sr3 = self.config.sr3
        options = [f"{sr3.blocks} blocks a level", f"GroupNorm {sr3.groups}", f"{sr3.noise_level} noise level"]
        options += [f"attention at {', '.join(map(str, sr3.attention))} of {sr3.image_size}"] * bool(sr3.attention)
        options += ["scaled and shifted by the noise level"] * sr3.affine + ["unconditional"] * (not sr3.conditional)
        sizes = f"width {sr3.width}, multipliers {list(sr3.multipliers)}"
        diffusion = self.config.diffusion
        return [
            f"U-Net      {', '.join([sizes, *options])}",
            f"diffusion  {diffusion.steps} steps, {diffusion.schedule} schedule",
        ]


class Regression(_SR3, OnePass):
    """SR3's regression baseline (arXiv 2104.07636, section 4): its U-Net makes the picture from LR↑ in one pass."""

    def check(self):
        sr3 = self.config.sr3
        if not sr3.conditional:
            raise UserError(
                "'sr3.conditional' is false, but 'sr3.noise_level' none makes pictures from LR↑; set one back"
            )
        if sr3.affine:
            raise UserError("'sr3.affine' is how the noise level is told, but 'sr3.noise_level' is none; set one back")
        super().check()

    def model(self):
        from .network import SR3Regression

        return SR3Regression(self._unet(takes_lr_up=False), self._enlarge())


class SR3(_SR3, Distillable):
    """SR3, told √ᾱ, and DDPM, told the step; conditioned on LR↑, or unconditional."""

    @classmethod
    def of(cls, config):
        return (Regression if config.sr3.noise_level == "none" else cls)(config)

    def __init__(self, config):
        super().__init__(config)
        self.told = "level" if config.sr3.noise_level == "continuous" else "step"
        self.conditional = self.takes_lr_up = config.sr3.conditional

    def check(self):
        if not self.conditional and self.scale != 1:
            raise UserError(f"'data.scale' must be 1 where 'sr3.conditional' is false, got {self.scale}")
        super().check()
        if self.told == "level" and self.config.diffusion.loss_weight != "uniform":
            raise UserError(
                f"'diffusion.loss_weight' must be uniform where 'sr3.noise_level' is continuous, got "
                f"{self.config.diffusion.loss_weight}; or set sr3.noise_level=discrete"
            )

    def model(self):
        from . import network

        return network.SR3(self._unet(self.conditional), self._enlarge() if self.conditional else None)

    def target(self):
        from ...diffusion.process import ImageTarget

        return ImageTarget(self.config.diffusion.clip)

    def target_description(self):
        return {"target": "image"}

    def description(self):
        return super().description() | {"image_size": self.config.sr3.image_size}

    def networks(self, graphs):
        from ...inference.networks import EnlargedNetworks

        return EnlargedNetworks(graphs.get("encode"), graphs["step"])


def unet_radius(levels, blocks, space_to_depth=1):
    """Radius of SR3's U-Net without attention and normalisation, HR pixels.

    Each block has two 3×3 convolutions: ``blocks`` of them in a level on the way down, one more on the way up, two in
    the middle. One convolution halves a level, reading the finer level, and one follows each doubling; a doubled pixel
    comes from one coarse pixel. Two more begin and end it all.
    """
    inside = sum(2 * (2 * blocks + 1) * 2**level for level in range(levels)) + 4 * 2 ** (levels - 1)
    halvings = doublings = sum(2**level for level in range(levels - 1))
    return unfolded(inside + halvings + doublings + 2 ** (levels - 1) + 2, space_to_depth)
