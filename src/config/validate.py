"""Refuses settings that are out of range or do not fit each other, before any work starts."""

import math
from operator import attrgetter

from src.config.schema import DiffusionConfig, TrainConfig
from src.errors import UserError

_NAMES = ("uniform", "trailing", "quadratic", "logsnr", "linear_beta")
_FAMILIES = ("linear_beta", "quadratic_beta", "geometric_beta")
_LIST = "betas"


def check_spacing(config):
    """Refuse ``eval.spacing``, and of a diffusion model ``eval.steps`` that cannot be sampled.

    Args:
        config: a :class:`~src.config.schema.Config` of any system.

    Raises:
        UserError: the spacing is unknown, a β is not between 0 and 1, or the steps are too many or not the list's.
    """
    spacing, steps, trained = config.eval.spacing, config.eval.steps, config.diffusion.steps
    name, colon, numbers = spacing.partition(":")
    if colon:
        _check_betas(spacing, name, numbers.split(","), steps)
    elif spacing not in _NAMES:
        raise UserError(f"'eval.spacing' must be one of {', '.join(_NAMES)}, or have β of its own, got '{spacing}'")
    if steps > trained and not config.is_regression and not (colon and config.is_continuous):
        raise UserError(f"'eval.steps' must be at most 'diffusion.steps' ({trained}), got {steps}")


def _check_betas(spacing, name, numbers, steps):
    if name not in (*_FAMILIES, _LIST) or (name in _FAMILIES and len(numbers) != 2):
        families = ", ".join(f"{family}:FIRST,LAST" for family in _FAMILIES)
        raise UserError(f"'eval.spacing' with β of its own must be {families} or {_LIST}:B1,B2,…, got '{spacing}'")
    if not all(_is_beta(number) for number in numbers):
        raise UserError(f"'eval.spacing' must have β above 0 and below 1 after its colon, got '{spacing}'")
    if name == _LIST and len(numbers) != steps:
        raise UserError(f"'eval.spacing' lists {len(numbers)} β, but 'eval.steps' is {steps}; set eval.steps to that")


def _is_beta(text):
    try:
        return 0 < float(text) < 1
    except ValueError:
        return False


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


_CHOICES = {
    "system": ("rrdb", "srdiff", "sr3"),
    "data.scale": (1, 2, 4, 8),
    "encoder.upsampler": ("nearest", "pixelshuffle"),
    "unet.space_to_depth": (1, 2, 4),
    "sr3.space_to_depth": (1, 2, 4),
    "sr3.noise_level": ("continuous", "discrete", "none"),
    "diffusion.schedule": ("cosine", "linear"),
    "diffusion.lr_divisor": (255, 256),
    "diffusion.prediction": ("noise", "velocity"),
    "diffusion.loss": ("l1", "l2"),
    "diffusion.loss_weight": ("uniform", "min_snr", "x0"),
    "diffusion.residual_of": ("bicubic", "encoder"),
    "train.lr_schedule": ("step", "cosine", "constant"),
    "train.pixel_loss": ("l1", "l2"),
    "train.amp_level": ("O0", "O2", "O3"),
    "train.amp_dtype": ("float16", "bfloat16"),
    "train.wandb": ("off", "offline", "online"),
    "train.val_lpips": ("none", "squeeze", "alex", "vgg"),
    "train.best_metric": ("psnr", "ssim", "lr_psnr", "lpips", "loss"),
    "eval.protocol": ("srdiff", "classic", "y", "sr3"),
    "eval.sampler": ("ddpm", "ddim", "dpmpp_2m", "dpmpp_2m_sde", "sr3"),
}
_RANGES = (
    (
        "at least 1",
        lambda value: value >= 1,
        "data.patch_size data.workers data.prefetch encoder.features encoder.blocks diffusion.steps train.batch_size "
        "train.accumulate train.draws train.lr_decay_every train.loss_scale train.max_skipped train.log_every "
        "train.save_every train.keep eval.steps unet.condition_every sr3.width sr3.blocks sr3.image_size "
        "sr3.groups",
    ),
    (
        "at least 0",
        lambda value: value >= 0,
        "data.val_pictures data.cache_mb encoder.growth unet.groups diffusion.cosine_offset train.steps train.epochs "
        "train.encoder_lr train.lr_min train.warmup_steps train.clip_norm train.loss_scale_window train.log_pictures "
        "train.val_every eval.temperature",
    ),
    ("above 0", lambda value: value > 0, "diffusion.residual_scale train.lr"),
    (
        "above 0 and below 1",
        lambda value: 0 < value < 1,
        "diffusion.beta_start diffusion.beta_end train.beta1 train.beta2",
    ),
    ("at least 0 and below 1", lambda value: 0 <= value < 1, "train.ema_decay sr3.dropout"),
    ("0 or above 1", lambda value: value == 0 or value > 1, "train.max_loss_ratio"),
    ("at least 0 and at most 1", lambda value: 0 <= value <= 1, "eval.eta"),
    ("above 0 and at most 1", lambda value: 0 < value <= 1, "train.lr_decay_factor"),
    # NumPy's legacy seed, which mindspore.set_seed passes on, has 32 bits.
    ("at least 0 and below 2^32", lambda value: 0 <= value < 2**32, "seed"),
    # An empty path would mean the current folder.
    ("a path, not empty", lambda value: value.strip(), "data.train data.val"),
    ("a name, not empty", lambda value: value.strip(), "train.wandb_project"),
    # The name becomes a folder's: runs/<name>.
    (
        "a plain file name",
        lambda value: value.strip(" .") and not set("/\\\0") & set(value),
        "name",
    ),
    # Reports give every model a row beside bicubic's.
    ("another name than 'bicubic'", lambda value: value != "bicubic", "name"),
)


def check(config):
    """Refuse a configuration that cannot work, with the reason.

    Args:
        config: a :class:`~src.config.schema.Config`.

    Raises:
        UserError: a setting is out of its range, or two settings contradict each other.
    """
    for name, choices in _CHOICES.items():
        value = attrgetter(name)(config)
        if value not in choices:
            raise UserError(f"'{name}' must be one of {', '.join(map(str, choices))}, got {value!r}")
    for expected, holds, names in _RANGES:
        for name in names.split():
            value = attrgetter(name)(config)
            if not holds(value):
                raise UserError(f"'{name}' must be {expected}, got {value!r}")
    check_scale(config)
    check_spacing(config)
    _check_encoder_size(config)
    if config.system == "srdiff":
        _check_unet(config.unet)
        _check_residual(config)
    if config.system == "sr3":
        check_sr3(config)
    if not config.is_regression:
        _check_diffusion(config)
    _check_patch_size(config)
    _check_training(config)


def check_encoder(config, trained, scale, path):
    """Refuse an encoder that differs in size from the checkpoint it is to be loaded from.

    Args:
        config: the :class:`~src.config.schema.Config` of the run.
        trained: the :class:`~src.config.schema.EncoderConfig` that the checkpoint carries.
        scale: the scale that the checkpoint was trained for.
        path: the checkpoint, for the message.

    Raises:
        UserError: features, blocks, growth, upsampler or scale differ; the message names both sizes
            and the overrides that make them equal.
    """
    wanted = _encoder_size(config.encoder, config.data.scale)
    found = _encoder_size(trained, scale)
    if wanted != found:
        remedy = " ".join(f"{name}={found[name]}" for name in found if wanted[name] != found[name])
        raise UserError(
            f"the encoder checkpoint {path} has {_describe(found)}, but the configuration asks for "
            f"{_describe(wanted)}; add {remedy} or name another encoder.checkpoint"
        )


def _encoder_size(encoder, scale):
    return {
        "encoder.features": encoder.features,
        "encoder.blocks": encoder.blocks,
        "encoder.growth": encoder.growth or encoder.features // 2,
        "encoder.upsampler": encoder.upsampler,
        "data.scale": scale,
    }


def _describe(size):
    features, blocks, growth, upsampler, scale = size.values()
    return f"{features} features, {blocks} blocks, growth {growth}, upsampler {upsampler}, scale {scale}"


def _check_encoder_size(config):
    encoder = config.encoder
    if encoder.growth == 0 and encoder.features < 2:
        raise UserError("'encoder.growth' 0 means features / 2, got 1 feature; set encoder.growth=1")
    # The condition is every so many of the blocks' outputs and the trunk's.
    least = config.unet.condition_every - 1
    if config.system == "srdiff" and encoder.blocks < least:
        raise UserError(
            f"'encoder.blocks' must be at least {least} where system is srdiff and unet.condition_every "
            f"{least + 1}, got {encoder.blocks}"
        )


def _check_unet(unet):
    # The time embedding is sin and cos halves, with frequencies spaced by 1 / (half − 1).
    if unet.width < 4 or unet.width % 2:
        raise UserError(f"'unet.width' must be even and at least 4, got {unet.width}")
    if not unet.multipliers or min(unet.multipliers) < 1:
        raise UserError(f"'unet.multipliers' must be one or more numbers from 1 up, got {list(unet.multipliers)}")
    for multiplier in unet.multipliers if unet.groups else ():
        channels = unet.width * multiplier
        if channels % unet.groups:
            raise UserError(
                f"'unet.groups' must divide the channels of every level, got {unet.groups} groups for {channels} "
                f"channels; {math.gcd(unet.width, unet.groups)} would do, or 0 for no normalisation"
            )


def _check_diffusion(config):
    diffusion = config.diffusion
    if diffusion.beta_start > diffusion.beta_end:
        raise UserError(
            f"'diffusion.beta_start' must be at most 'diffusion.beta_end', got {diffusion.beta_start} and "
            f"{diffusion.beta_end}"
        )
    if diffusion.loss_weight == "x0" and diffusion.prediction == "noise":
        raise UserError("'diffusion.loss_weight' x0 needs diffusion.prediction=velocity; or set min_snr")


def _check_residual(config):
    diffusion = config.diffusion
    if diffusion.residual_of == "encoder" and not config.encoder.frozen:
        raise UserError(
            "'diffusion.residual_of' encoder needs encoder.frozen=true, since nothing keeps its picture; or set bicubic"
        )
    if diffusion.residual_of == "encoder" and diffusion.lr_divisor != 255:
        raise UserError(
            f"'diffusion.lr_divisor' belongs to diffusion.residual_of=bicubic, got {diffusion.lr_divisor}; leave it out"
        )
    if config.data.scale % config.unet.space_to_depth:
        raise UserError(
            f"'data.scale' must be a multiple of 'unet.space_to_depth', got {config.data.scale} and "
            f"{config.unet.space_to_depth}; set unet.space_to_depth={config.data.scale}"
        )


def _check_patch_size(config):
    """Refuse a patch that the LR grid or the U-Net's levels do not divide.

    The LR patch is patch / scale, and the U-Net halves its grid of patch / space_to_depth once for each
    level but the first; both divide it where their least common multiple does. Their product would be
    more than is needed, and would refuse the paper's own CelebA setting (160 pixels, ×8, 4 levels).
    """
    unit, smallest, reason = config.data.scale, config.data.scale, "the scale"
    if config.system == "srdiff":
        divisor = config.unet.space_to_depth * 2 ** (len(config.unet.multipliers) - 1)
        unit = math.lcm(unit, divisor)
        # Reflection padding takes the pixel beside the edge one: the last level needs two.
        smallest = -(-2 * divisor // unit) * unit
        reason = f"the scale ({config.data.scale}) and space_to_depth·2^(levels−1) ({divisor})"
    elif config.system == "sr3":
        divisor = config.sr3.space_to_depth * 2 ** (len(config.sr3.multipliers) - 1)
        unit = smallest = math.lcm(unit, divisor)
        reason = f"the scale ({config.data.scale}) and space_to_depth·2^(levels−1) ({divisor})"
    patch_size = config.data.patch_size
    if patch_size % unit or patch_size < smallest:
        below = patch_size // unit * unit
        nearest = f"{below} or {below + unit}" if below >= smallest else max(smallest, below + unit)
        raise UserError(
            f"'data.patch_size' must be a multiple of {unit} (of {reason}), at least {smallest}, got {patch_size}; "
            f"the nearest valid: {nearest}"
        )


def _check_training(config):
    train = config.train
    if not train.steps and not train.epochs:
        raise UserError("'train.steps' and 'train.epochs' are both 0; set one of them")
    if train.steps and train.epochs:
        raise UserError(
            f"'train.steps' ({train.steps}) and 'train.epochs' ({train.epochs}) contradict each other; set one to 0"
        )
    if train.lr_schedule == "cosine" and train.lr_min >= train.lr:
        raise UserError(f"'train.lr_min' must be below 'train.lr' ({train.lr}), got {train.lr_min}")
    if train.best_metric == "lpips" and train.val_lpips == "none":
        raise UserError("'train.best_metric' is lpips, but 'train.val_lpips' is none; set train.val_lpips=alex")
    check_losses(config)
    if config.data.sink and train.accumulate > 1:
        raise UserError(
            f"'data.sink' feeds one batch a step, but 'train.accumulate' is {train.accumulate}; set one of them back"
        )
    if train.encoder_lr and (config.system != "srdiff" or config.encoder.frozen):
        raise UserError(
            f"'train.encoder_lr' is {train.encoder_lr}, but no encoder trains along; set it to 0, or "
            "encoder.frozen=false"
        )
