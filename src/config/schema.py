"""The settings that all families share, with default, meaning, choices (``Literal``) and range (:func:`setting`).

A family's own sections are made the same way and live with it. Something in the package reads each setting.
"""

import functools
import math
import operator
import re
import reprlib
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Literal, NamedTuple, get_args, get_origin, get_type_hints

from ..errors import UserError

_EXPECTED = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "text",
    tuple[int, ...]: "a list of whole numbers such as [1, 2, 4]",
    tuple[float, ...]: "a list of numbers such as [0.5, 2]",
}
_TEXT = {  # how a value is written
    int: (r"[-+]?(0|[1-9][0-9]{0,999})", int),
    float: (r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", float),
    bool: (r"true|True|TRUE|false|False|FALSE", lambda text: text.lower() == "true"),
}
_LIMITS = {"at_least": operator.ge, "above": operator.gt, "at_most": operator.le, "below": operator.lt}


def setting(default, *rules, **limits):
    """Return a dataclass field whose values the loader limits.

    ``rules`` are pairs of what a value must be, in words, and a function that tells whether it is; ``limits`` are
    numbers called at_least, above, at_most or below.
    """
    tests = [(_LIMITS[name], limit) for name, limit in limits.items()]
    if limits:
        words = " and ".join(f"{name.replace('_', ' ')} {limit}" for name, limit in limits.items())
        rules = (*rules, (words, lambda value: all(holds(value, limit) for holds, limit in tests)))
    return field(default=default, metadata={"rules": rules})


class Setting(NamedTuple):
    """What a setting holds: a kind of value, and rules as :func:`setting` takes them."""

    kind: object
    rules: tuple

    def read(self, value, what):
        """Return a value of YAML or JSON as its kind: text becomes a number, a list a tuple; errors begin with what."""
        found = _as(self.kind, value)
        if found is None:
            advice = "; write it in quotes" if self.kind is str else ""
            raise UserError(f"{what} expects {_EXPECTED[self.kind]}, got {shown(value)}{advice}")
        for expected, holds in self.rules:
            if not holds(found):
                raise UserError(f"{what} must be {expected}, got {found!r}")
        return found


def _as(kind, value):
    """Return ``value`` as ``kind``, or None where it is of another."""
    if get_origin(kind) is tuple:
        items = [_as(get_args(kind)[0], item) for item in value] if isinstance(value, list | tuple) else [None]
        return None if None in items else tuple(items)
    if isinstance(value, str) and kind in _TEXT:
        pattern, read = _TEXT[kind]
        value = read(value) if re.fullmatch(pattern, value) else None
    if kind is float and type(value) is int and abs(value) < 1e300:
        value = float(value)
    return value if type(value) is kind and (kind is not float or math.isfinite(value)) else None


def shown(value):
    """Return a value for an error message, short even where it is endless."""
    return "nothing" if value is None else reprlib.repr(value)


@functools.cache
def settings_of(schema, prefix=""):
    """Return {full name: :class:`Setting`} of a dataclass and its sections, in their order."""
    found, kinds = {}, get_type_hints(schema)
    for each in fields(schema):
        name, kind, rules = prefix + each.name, kinds[each.name], each.metadata.get("rules", ())
        if is_dataclass(kind):
            found.update(settings_of(kind, f"{name}."))
        elif get_origin(kind) is Literal:
            choices = get_args(kind)
            found[name] = Setting(type(choices[0]), ((f"one of {', '.join(map(str, choices))}", choices.__contains__),))
        else:
            found[name] = Setting(kind, rules)
    return found


# The name becomes a folder's: runs/<name>. Reports give every model a row beside bicubic's.
FILE_NAME = ("a plain file name", lambda text: text.strip(" .") and not set("/\\\0") & set(text))
NOT_BICUBIC = ("another name than 'bicubic'", lambda text: text != "bicubic")
# NumPy's legacy seed, which mindspore.set_seed passes on, has 32 bits.
SEED = ("at least 0 and below 2^32", lambda number: 0 <= number < 2**32)
PATH = ("a path, not empty", str.strip)  # an empty one would mean the current folder
NOT_EMPTY = ("a name, not empty", str.strip)
RATIO = ("0 or above 1", lambda number: number == 0 or number > 1)


@dataclass(frozen=True)
class DataConfig:
    """Where the pictures are and how training patches are cut from them."""

    train: str = setting("data/df2k/train", PATH)  # of div2k_preprocess.py (X1/, X4/; hr_128/, lr_16/), or any pictures
    val: str = setting("data/df2k/val", PATH)  # the pictures that validation during training looks at
    test: str = ""  # the pictures that eval.py scores unless told otherwise; empty: those of val
    val_pictures: int = setting(10, at_least=0)  # validate on the first so many by name; 0 takes all
    scale: Literal[1, 2, 3, 4, 8] = 4  # each family says which it can; 1 where no LR picture is looked at
    # makes LR where there is none: MATLAB's bicubic, or the largest value of each scale × scale pixels
    lr_kernel: Literal["bicubic", "maxpool"] = "bicubic"
    patch_size: int = setting(160, at_least=1)  # HR pixels, the side of a training patch
    flip: bool = True  # random left-right mirroring
    rotate: bool = True  # random quarter turns
    workers: int = setting(2, at_least=1)  # parallel workers that decode and crop
    prefetch: int = setting(4, at_least=1)  # batches kept ready
    sink: bool = False  # Ascend and GPU: feed the device through a queue of its own (not with train.accumulate)
    cache_mb: int = setting(2048, at_least=0)  # decoded pictures are kept in memory if all of them fit in so many MiB


def between(least, most=math.inf):
    """The rule of a range, its ends in order, inside of limits."""
    words = f"two numbers, the lower one first, from {least}" + (f" to {most}" if most < math.inf else " up")
    return words, lambda ends: len(ends) == 2 and least <= ends[0] <= ends[1] <= most


def parts(count):
    """The rule of the probabilities of so many things of which one happens."""
    return (
        f"{count} numbers from 0 up with the sum 1",
        lambda numbers: len(numbers) == count and min(numbers) >= 0 and math.isclose(sum(numbers), 1, abs_tol=1e-6),
    )


PROBABILITY = {"at_least": 0, "at_most": 1}
ODD = ("two odd numbers", lambda sizes: all(size % 2 for size in sizes))
AROUND_ONE = ("a range above 0 with 1 in it", lambda ends: len(ends) == 2 and 0 < ends[0] <= 1 <= ends[1])
SIGMA = ("a range above 0", lambda ends: ends[0] > 0)


@dataclass(frozen=True)
class DegradationConfig:
    """How LR is made of HR in training and validation, in place of data.lr_kernel; names and values of Real-ESRGAN's.

    "real" is its two passes of blur, resize, noise and JPEG (arXiv 2107.10833, section 3). A range has equal chances.
    """

    kind: Literal["none", "real"] = "none"
    gt_usm: bool = False  # sharpen HR of training by an unsharp mask; LR is made of that, and all losses look at it
    # of all blurs
    kernel_size: tuple[int, ...] = setting((7, 21), between(1), ODD)  # pixels, odd
    # Gaussian, generalized Gaussian and plateau, each first the same in all directions, then not
    kernel_prob: tuple[float, ...] = setting((0.45, 0.25, 0.12, 0.03, 0.12, 0.03), parts(6))
    sinc_prob: float = setting(0.1, **PROBABILITY)  # of a low-pass filter that rings in place of these
    betag_range: tuple[float, ...] = setting((0.5, 4.0), AROUND_ONE)  # exponents of generalized ones, half below 1
    betap_range: tuple[float, ...] = setting((1.0, 2.0), AROUND_ONE)  # of plateaus
    final_sinc_prob: float = setting(0.8, **PROBABILITY)  # of a low-pass filter at the end
    # of all noise
    gaussian_noise_prob: float = setting(0.5, **PROBABILITY)  # else Poisson noise
    gray_noise_prob: float = setting(0.4, **PROBABILITY)  # of noise that is the same for all colours
    # the first pass
    blur_sigma: tuple[float, ...] = setting((0.2, 3.0), between(0), SIGMA)  # pixels
    resize_prob: tuple[float, ...] = setting((0.2, 0.7, 0.1), parts(3))  # enlarge, reduce, keep
    resize_range: tuple[float, ...] = setting((0.15, 1.5), AROUND_ONE)  # of HR's size
    noise_range: tuple[float, ...] = setting((1.0, 30.0), between(0))  # σ of Gaussian noise, of 255
    poisson_scale_range: tuple[float, ...] = setting((0.05, 3.0), between(0))  # times Poisson noise
    jpeg_range: tuple[int, ...] = setting((30, 95), between(1, 100))  # quality
    # the second pass
    second_blur_prob: float = setting(0.8, **PROBABILITY)
    blur_sigma2: tuple[float, ...] = setting((0.2, 1.5), between(0), SIGMA)
    resize_prob2: tuple[float, ...] = setting((0.3, 0.4, 0.3), parts(3))
    resize_range2: tuple[float, ...] = setting((0.3, 1.2), AROUND_ONE)  # of LR's size
    noise_range2: tuple[float, ...] = setting((1.0, 25.0), between(0))
    poisson_scale_range2: tuple[float, ...] = setting((0.05, 2.5), between(0))
    jpeg_range2: tuple[int, ...] = setting((30, 95), between(1, 100))


@dataclass(frozen=True)
class DiffusionConfig:
    """The Gaussian diffusion: what all families that have one can choose. ``Config`` itself has no such section."""

    steps: int = setting(100, at_least=1)
    schedule: Literal["cosine", "linear"] = "cosine"
    cosine_offset: float = setting(0.008, at_least=0)  # s of the cosine schedule
    beta_start: float = setting(1e-4, above=0, below=1)  # linear schedule
    beta_end: float = setting(0.02, above=0, below=1)  # linear schedule; of a residual, the last β is 0.999
    clip: bool = True  # clip x_0 to [−1, 1], in training and in sampling
    prediction: Literal["noise", "velocity"] = "noise"  # what the network predicts: ε or v (arXiv 2202.00512)
    loss: Literal["l1", "l2"] = "l1"
    # over t; min_snr is arXiv 2303.09556's; for x0 see losses/diffusion.py
    loss_weight: Literal["uniform", "min_snr", "x0"] = "uniform"


@dataclass(frozen=True)
class DistillConfig:
    """How a student, which takes eval.steps of eval.spacing, learns from a teacher, which takes more: distillation."""

    method: Literal["none", "regression", "progressive"] = "none"  # SinSR's, or halving; docs/distillation.md
    teacher: str = ""  # its checkpoint, of the same system; the student's weights start from it
    sampler: str = "ddim"  # the teacher's, one that adds no noise
    steps: int = setting(8, at_least=2)  # the teacher's
    truth: float = setting(0.0, at_least=0, at_most=1)  # share of HR in what pixels and features are compared with
    inverse: float = setting(0.0, at_least=0)  # regression: weight of naming x_T from the teacher's picture


@dataclass(frozen=True)
class TrainConfig:
    """The optimisation."""

    init: str = ""  # a checkpoint whose network, of the same sizes, the weights start from
    batch_size: int = setting(64, at_least=1)  # per device and pass
    accumulate: int = setting(1, at_least=1)  # passes whose gradients one optimiser step averages
    draws: int = setting(1, at_least=1)  # of t and noise for each patch of a batch, which share the encoder's pass
    steps: int = setting(400_000, at_least=0)  # optimiser steps; 0 computes them from epochs
    epochs: int = setting(0, at_least=0)  # passes over the training pictures, used where steps is 0
    lr: float = setting(2e-4, above=0)
    encoder_lr: float = setting(0.0, at_least=0)  # of an encoder that trains along; 0 takes lr
    lr_schedule: Literal["step", "milestones", "cosine", "constant"] = "step"
    lr_decay_every: int = setting(200_000, at_least=1)  # step schedule: halve (see lr_decay_factor) every so many steps
    lr_milestones: tuple[int, ...] = ()  # milestones: halve after these steps
    lr_decay_factor: float = setting(0.5, above=0, at_most=1)
    lr_min: float = setting(0.0, at_least=0)  # cosine schedule: the rate at the end
    warmup_steps: int = setting(0, at_least=0)  # the rate grows linearly over so many steps
    beta1: float = setting(0.9, above=0, below=1)  # Adam
    beta2: float = setting(0.999, above=0, below=1)
    pixel_loss: Literal["l1", "l2"] = "l1"  # of a network that makes its picture in one pass
    clip_norm: float = setting(10.0, at_least=0)  # clip the gradient's global norm; 0 does not clip
    # of the moving average of the weights, which validation and export use; 0: no average
    ema_decay: float = setting(0.9999, at_least=0, below=1)
    amp_level: Literal["O0", "O2", "O3"] = "O0"  # float32, or MindSpore's mixed precision, on Ascend and GPU
    amp_dtype: Literal["float16", "bfloat16"] = "float16"  # bfloat16 where the device has it
    loss_scale: float = setting(65536.0, at_least=1)  # float16: the first loss scale
    loss_scale_window: int = setting(2000, at_least=0)  # double it after so many steps without overflow; 0: never
    max_loss_ratio: float = setting(30.0, RATIO)  # skip a step of so many times the recent losses' median; 0: none
    max_skipped: int = setting(25, at_least=1)  # after so many skipped steps in a row, go back to the last checkpoint
    log_every: int = setting(100, at_least=1)
    log_pictures: int = setting(4, at_least=0)  # validation pictures shown as LR | SR | HR; or unconditional samples
    tensorboard: bool = True
    wandb: Literal["off", "offline", "online"] = "off"  # Weights & Biases
    wandb_project: str = setting("mindspore-sr", NOT_EMPTY)
    val_every: int = setting(5000, at_least=0)  # 0: only at the end
    val_lpips: Literal["none", "squeeze", "alex", "vgg"] = "none"  # LPIPS in validation
    # of the validations, for best.ckpt; "loss", that of denoising, where no LR picture is looked at
    best_metric: Literal["psnr", "ssim", "lr_psnr", "lpips", "loss"] = "psnr"
    save_every: int = setting(5000, at_least=1)
    keep: int = setting(3, at_least=1)  # checkpoints kept


@dataclass(frozen=True)
class EvalConfig:
    """How pictures are sampled and scored when the command line names nothing else."""

    protocol: Literal["srdiff", "classic", "y", "sr3"] = "srdiff"
    sampler: str = "ddpm"  # one of docs/sampling.md; diffusion/samplers.py knows them
    steps: int = setting(100, at_least=1)
    # of the steps in time, or β of their own: docs/sampling.md; diffusion/schedule.py knows them
    spacing: str = "uniform"
    eta: float = setting(0.0, at_least=0, at_most=1)  # of ddim: 0 is deterministic, 1 has DDPM's noise
    temperature: float = setting(1.0, at_least=0)  # scales all noise; towards 0 comes the most faithful picture
    consistency: bool = False  # project onto the pictures whose reduction is the LR picture, at each step


@dataclass(frozen=True)
class Config:
    """One experiment; each family adds its sections."""

    name: str = setting("srdiff_df2k_x4", FILE_NAME, NOT_BICUBIC)
    system: str = "srdiff"  # the family, which decides what other sections there are
    seed: int = setting(0, SEED)
    data: DataConfig = field(default_factory=DataConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
