"""SRDiff (arXiv 2104.14951): a diffusion of the residual, conditioned on the features of an RRDB encoder."""

import logging
import math
from dataclasses import dataclass, field
from typing import Literal

from ...config import schema
from ...config.schema import setting
from ...errors import UserError
from ...host.shipped import shipped
from ...inference.tile_size import Cost, Reach
from ..distillation import Distillable, DistillableSettings
from ..family import BICUBIC_RADIUS, check_levels, unfolded
from ..rrdb import family as rrdb
from . import convert


@dataclass(frozen=True)
class EncoderConfig(rrdb.EncoderConfig):
    """The LR encoder, as stage 1 trained it."""

    checkpoint: str = ""  # the pre-trained encoder; empty starts it from random weights
    frozen: bool = True  # False trains the encoder along


@dataclass(frozen=True)
class UNetConfig:
    """SRDiff's conditional U-Net (arXiv 2104.14951, section 3.3)."""

    width: int = 64  # channels of the first level
    multipliers: tuple[int, ...] = (1, 2, 3, 4)  # channels of each level, times width
    groups: int = setting(0, at_least=0)  # GroupNorm groups; 0: no normalisation
    attention: bool = False  # linear attention in the middle
    add_lr_up: bool = False  # add a convolution of LR↑ (or of the encoder's picture) after the first level
    space_to_depth: Literal[1, 2, 4] = 1  # work on r×r pixels folded into channels: 1 (the paper), 2 or 4
    condition_every: int = setting(3, at_least=1)  # the features of every so many encoder blocks: 3 (the paper)


@dataclass(frozen=True)
class DiffusionConfig(schema.DiffusionConfig):
    """The diffusion of the residual, residual_scale·(HR − what it is the residual of)."""

    residual_of: Literal["bicubic", "encoder"] = "bicubic"  # HR − LR↑ (the paper), or HR − the encoder's own picture
    residual_scale: float = setting(2.0, above=0)
    lr_divisor: Literal[255, 256] = 255  # LR↑ = bicubic(lr / divisor); 256 in the public PyTorch checkpoints


@dataclass(frozen=True)
class SRDiffSettings(DistillableSettings):
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)


class SRDiff(Distillable):
    """See the module."""

    Settings = SRDiffSettings
    convert = staticmethod(convert.convert)
    last_beta = 0.999  # of the linear schedule, so that the residual ends as noise

    def check(self):
        encoder, unet = self.config.encoder, self.config.unet
        rrdb.check_growth(encoder)
        least = unet.condition_every - 1  # the condition is every so many of the blocks' outputs and the trunk's
        if encoder.blocks < least:
            raise UserError(
                f"'encoder.blocks' must be at least {least} where system is srdiff and unet.condition_every "
                f"{least + 1}, got {encoder.blocks}"
            )
        check_levels("unet", unet)
        for channels in [unet.width * multiplier for multiplier in unet.multipliers if unet.groups]:
            if channels % unet.groups:
                raise UserError(
                    f"'unet.groups' must divide the channels of every level, got {unet.groups} groups for {channels} "
                    f"channels; {math.gcd(unet.width, unet.groups)} would do, or 0 for no normalisation"
                )
        self._check_residual()
        super().check()

    def _check_residual(self):
        diffusion, fold = self.config.diffusion, self.config.unet.space_to_depth
        if diffusion.residual_of == "encoder" and not self.config.encoder.frozen:
            raise UserError(
                "'diffusion.residual_of' encoder needs encoder.frozen=true, since nothing keeps its picture; or set "
                "bicubic"
            )
        if diffusion.residual_of == "encoder" and diffusion.lr_divisor != 255:
            raise UserError(
                f"'diffusion.lr_divisor' belongs to diffusion.residual_of=bicubic, got {diffusion.lr_divisor}; leave "
                "it out"
            )
        if self.scale % fold:
            raise UserError(
                f"'data.scale' must be a multiple of 'unet.space_to_depth', got {self.scale} and {fold}; set "
                f"unet.space_to_depth={self.scale}"
            )

    @property
    def trains_encoder(self):
        return not self.config.encoder.frozen

    @property
    def uses_lr_up(self):
        return self.config.unet.add_lr_up

    @property
    def size_multiple(self):
        unet = self.config.unet
        return unet.space_to_depth * 2 ** (len(unet.multipliers) - 1)

    @property
    def smallest_side(self):
        return 2 * self.size_multiple  # reflection takes the pixel beside the edge one: the last level needs two

    def model(self):
        from .network import ConditionalUNet, SRDiff

        config, unet = self.config, self.config.unet
        encoder = rrdb.build_encoder(config.encoder, self.scale, unet.condition_every)
        net = ConditionalUNet(
            unet.width, unet.multipliers, encoder.condition_channels, self.scale, unet.groups, unet.attention,
            unet.add_lr_up, unet.space_to_depth,
        )  # fmt: skip
        return SRDiff(encoder, net, config.diffusion.lr_divisor, config.diffusion.residual_of)

    def target(self):
        from ...diffusion.process import ResidualTarget

        return ResidualTarget(self.config.diffusion.residual_scale, self.config.diffusion.clip)

    def target_description(self):
        return {"target": "residual", "residual_scale": self.target().scale}

    def groups(self, model):
        train = self.config.train
        unet, encoder = model.unet.trainable_params(), model.encoder.trainable_params()
        if self.config.encoder.frozen:
            return [(unet, train.lr)]
        if train.encoder_lr:
            return [(unet, train.lr), (encoder, train.encoder_lr)]
        return [(model.trainable_params(), train.lr)]

    def pretrained(self):
        if self.distilled:
            return super().pretrained()
        path, init = self.config.encoder.checkpoint, self.config.train.init
        if init:
            logging.info("encoder.checkpoint is not read: train.init=%s holds an encoder as well", init)
            return []
        if not path:
            if self.config.encoder.frozen:
                raise UserError("encoder.checkpoint is empty and the encoder is frozen: name stage 1's model.ckpt")
            logging.warning("encoder.checkpoint is empty: the encoder starts from random weights")
            return []
        if not shipped(path).is_file():
            raise UserError(
                f"no encoder at {path} (encoder.checkpoint): train stage 1 first (configs/rrdb_*.yaml), "
                "and name its model.ckpt with encoder.checkpoint=PATH"
            )
        return [("encoder", path)]

    def check_pretrained(self, part, config, path):
        if part != "encoder":
            return
        if not isinstance(getattr(config, "encoder", None), rrdb.EncoderConfig):
            raise UserError(
                f"expected an RRDB or an SRDiff in encoder.checkpoint, got the {config.system} {path}: name stage 1's "
                "model.ckpt"
            )
        wanted = rrdb.encoder_sizes(self.config.encoder, self.scale)
        found = rrdb.encoder_sizes(config.encoder, config.data.scale)
        if wanted != found:
            remedy = " ".join(f"{name}={found[name]}" for name in found if wanted[name] != found[name])
            raise UserError(
                f"the encoder checkpoint {path} has {_sizes(found)}, but the configuration asks for "
                f"{_sizes(wanted)}; add {remedy} or name another encoder.checkpoint"
            )

    def check_teacher(self, teacher, path):
        super().check_teacher(teacher, path)
        own, theirs = (
            rrdb.encoder_sizes(each.config.encoder, each.scale)
            | {"unet.condition_every": each.config.unet.condition_every}
            for each in (self, teacher)
        )
        if own != theirs:
            remedy = " ".join(f"{name}={theirs[name]}" for name in own if own[name] != theirs[name])
            raise UserError(f"the teacher {path} has another encoder, which both have to share: set {remedy}")

    @property
    def condition_shape(self):
        return self.config.unet.width, self.config.unet.space_to_depth

    def networks(self, graphs):
        from ...inference.networks import DiffusionNetworks

        return DiffusionNetworks(graphs["encode"], graphs["step"], graphs.get("project"), uses_lr_up=self.uses_lr_up)

    def model_networks(self, model, size=(None, None, None)):
        from ...layers.graph import Graph, Project

        graphs = self.graphs(model, size)
        (lr,), (picture, *_) = (graphs[role][1] for role in ("encode", "step"))
        graphs["project"] = Project(model), [lr, picture]
        return self.networks({role: Graph(*graph) for role, graph in graphs.items()})

    def reach(self):
        unet, encoder = self.config.unet, self.config.encoder
        upsampler = encoder.upsampler if self.config.diffusion.residual_of == "encoder" else None
        return Reach(
            unet_radius(len(unet.multipliers), unet.space_to_depth),
            condition_radius(encoder.blocks, self.scale, upsampler),
            local=not (unet.attention or unet.groups),
        )

    def cost(self):
        unet, encoder = self.config.unet, self.config.encoder
        folded, factor = unet.space_to_depth**2, self.scale // unet.space_to_depth
        encode = rrdb.trunk_bytes(encoder)
        denoise = 32 * 4 * unet.width / folded  # as 32 tensors of the first level
        if factor > 1:  # the transposed convolution's columns, and its result twice
            encode += 4 * unet.width * ((2 * factor) ** 2 + 2 * factor**2)
        # pictures: x_t, x_0, LR↑, and, with some samplers, the noise and the x_0 before
        return Cost(denoise=denoise, encode=encode, features=4 * unet.width / folded, pictures=5)

    def summary(self):
        unet, diffusion = self.config.unet, self.config.diffusion
        options = [f"GroupNorm {unet.groups}"] * bool(unet.groups) + ["attention"] * unet.attention
        options += ["LR added at the input"] * unet.add_lr_up + [f"lr / {diffusion.lr_divisor}"]
        sizes = f"width {unet.width}, multipliers {list(unet.multipliers)}"
        return [
            rrdb.encoder_summary(self.config.encoder),
            f"U-Net      {', '.join([sizes, *options])}",
            f"diffusion  {diffusion.steps} steps, {diffusion.schedule} schedule",
        ]


def _sizes(sizes):
    features, blocks, growth, upsampler, scale = sizes.values()
    return f"{features} features, {blocks} blocks, growth {growth}, upsampler {upsampler}, scale {scale}"


def condition_radius(blocks, scale=4, upsampler=None):
    """Radius of the condition in LR pixels: the encoder's features and their projection, or LR↑'s convolution.

    ``upsampler`` is None but for an encoder whose own picture is the base picture.
    """
    base = rrdb.radius(blocks, scale, upsampler) if upsampler else BICUBIC_RADIUS
    return max(rrdb.condition_radius(blocks), base) + 2


def unet_radius(levels, space_to_depth):
    """Radius of the conditional U-Net without attention and normalisation, HR pixels.

    Each level has four 3×3 convolutions on the way down and, but for the last, four on the way up; the middle has
    four. A strided convolution reads one pixel of the finer level, a transposed one of 4×4 one of the coarser.
    """
    down = sum(4 * 2**level for level in range(levels)) + sum(2**level for level in range(levels - 1))
    middle = 4 * 2 ** (levels - 1)
    up = sum((4 + 1) * 2**level for level in range(1, levels))
    return unfolded(down + middle + up + 1, space_to_depth)
