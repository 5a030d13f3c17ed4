"""Refuses settings of SR3 and DDPM that do not fit each other."""

import math

from src.config.schema import DiffusionConfig, TrainConfig
from src.errors import UserError

_OF_THE_RESIDUAL = ("residual_of", "residual_scale", "lr_divisor")


def check_sr3(config):
    """Refuse a configuration of the system sr3 whose network cannot be built, or whose settings have no effect.

    Args:
        config: a :class:`~src.config.schema.Config`, each of whose settings is in its range.

    Raises:
        UserError: with the reason.
    """
    sr3, diffusion = config.sr3, config.diffusion
    _check_sizes(sr3)
    _check_attention(sr3)
    if config.is_regression:
        _check_regression(sr3)
    for name in _OF_THE_RESIDUAL:
        if getattr(diffusion, name) != getattr(DiffusionConfig, name):
            raise UserError(
                f"'diffusion.{name}' belongs to system=srdiff, where a residual is diffused, got "
                f"{getattr(diffusion, name)}; leave it out"
            )
    if sr3.noise_level == "continuous" and diffusion.loss_weight != "uniform":
        raise UserError(
            f"'diffusion.loss_weight' must be uniform where 'sr3.noise_level' is continuous, got "
            f"{diffusion.loss_weight}; or set sr3.noise_level=discrete"
        )


def check_losses(config):
    """Refuse the best validation by the loss where pictures are scored, and a loss that the training does not take.

    Args:
        config: a :class:`~src.config.schema.Config` of any system.

    Raises:
        UserError: as said.
    """
    if config.train.best_metric == "loss" and not config.is_from_nothing:
        raise UserError(
            "'train.best_metric' may be loss only where 'sr3.conditional' is false, and validation scores no pictures; "
            "set train.best_metric=psnr"
        )
    loss = config.train.pixel_loss
    if loss != TrainConfig.pixel_loss and not config.is_regression:
        raise UserError(
            f"'train.pixel_loss' is of a network that makes its picture in one pass, got {loss}; set "
            f"diffusion.loss={loss} in its place"
        )


def check_scale(config):
    """Refuse a scale of 1 where pictures are enlarged, and any other where they come from nothing.

    Args:
        config: a :class:`~src.config.schema.Config` of any system.

    Raises:
        UserError: as said.
    """
    if config.is_from_nothing and config.data.scale != 1:
        raise UserError(f"'data.scale' must be 1 where 'sr3.conditional' is false, got {config.data.scale}")
    if config.data.scale == 1 and not config.is_from_nothing:
        raise UserError("'data.scale' must be 2, 4 or 8 for a system that enlarges pictures, got 1")


def _check_regression(sr3):
    if not sr3.conditional:
        raise UserError("'sr3.conditional' is false, but 'sr3.noise_level' none makes pictures from LR↑; set one back")
    if sr3.affine:
        raise UserError("'sr3.affine' is how the noise level is told, but 'sr3.noise_level' is none; set one back")


def _check_sizes(sr3):
    # The embedding of the noise level is sin and cos halves.
    if sr3.width < 4 or sr3.width % 2:
        raise UserError(f"'sr3.width' must be even and at least 4, got {sr3.width}")
    if not sr3.multipliers or min(sr3.multipliers) < 1:
        raise UserError(f"'sr3.multipliers' must be one or more numbers from 1 up, got {list(sr3.multipliers)}")
    if any(sr3.width * multiplier % sr3.groups for multiplier in sr3.multipliers):
        raise UserError(
            f"'sr3.groups' must divide the channels of every level, got {sr3.groups} groups for "
            f"{[sr3.width * multiplier for multiplier in sr3.multipliers]} channels; "
            f"{math.gcd(sr3.width, sr3.groups)} would do"
        )


def _check_attention(sr3):
    divisor = sr3.space_to_depth * 2 ** (len(sr3.multipliers) - 1)
    if sr3.image_size % divisor:
        raise UserError(
            f"'sr3.image_size' must be a multiple of space_to_depth·2^(levels−1) ({divisor}), got {sr3.image_size}"
        )
    sizes = [sr3.image_size // sr3.space_to_depth >> level for level in range(len(sr3.multipliers))]
    if set(sr3.attention) - set(sizes):
        raise UserError(
            f"'sr3.attention' must be among the resolutions of the levels, {', '.join(map(str, sizes))}, got "
            f"{list(sr3.attention)}"
        )
