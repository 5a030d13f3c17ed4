"""The contract of a family: all that the house asks of one, answered for one configuration.

``OnePass`` and ``Diffusion`` answer the half that families have in common. mindspore is imported late: commands ask a
family whether a configuration can work before anything heavy is loaded.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import fields
from typing import NamedTuple

from ..config.loader import config_to_dict
from ..config.schema import Config, EvalConfig, TrainConfig
from ..diffusion.noise_level import noise_level
from ..diffusion.samplers import SAMPLERS
from ..diffusion.schedule import check_spacing, make_schedule
from ..errors import UserError
from ..inference.sampling import Sampling
from ..inference.tile_size import FixedTiling, TileOptions, Tiling, memory_budget

BICUBIC_RADIUS = 2  # BicubicUpscale reads two LR pixels on each side


class Columns(NamedTuple):
    """What a training batch holds beside hr and lr, see ``src.dataset.batches.training_batches``."""

    noise_steps: int | None = None  # T, for t and noise
    draws: int = 1
    continuous: bool = False
    dropout_keys: bool = False


class Objective(NamedTuple):
    """What one optimiser minimises."""

    loss: object  # a Cell that maps the columns of a batch to a scalar; see ``src.training.step.TrainStep``
    groups: list  # of (parameters, learning rate); the first rate is the one that is shown
    part: str = ""  # of the training: the name of a network that training alone needs, whose parameters these are
    network: object = None  # that network, a Cell


class Family(ABC):
    """One kind of network, set up by one configuration, of the class that :attr:`Settings` names."""

    Settings = Config  # the settings: the common ones and the sections of this family
    one_pass = False  # no diffusion: one pass is the result
    conditional = True  # looks at an LR picture
    told = "step"  # or "level" (√ᾱ): what the network is told of the noise
    takes_lr_up = False  # its condition is LR↑, so that a prepared one is used as given
    multiple_is = "space_to_depth·2^(levels−1)"  # size_multiple in words
    usual_size = None  # (height, width) of HR that it was made for; None where any is as good
    scales = (2, 4, 8)  # what it can enlarge by
    scales_are_of = "a system that enlarges pictures"
    edges = "symmetric"  # how pictures are continued to a multiple of size_multiple, as of ``inference.tiling.Grid``
    trains_encoder = False  # along with the rest
    distilled = False  # trained by a teacher, a ``src.training.teacher.Teacher``, which makes its batches

    def __init__(self, config):
        self.config = config
        self.scale = config.data.scale

    @classmethod
    def of(cls, config):
        """The family set up by a configuration."""
        return cls(config)

    def check(self):
        """Refuse settings that do not fit each other; each by itself is in its range."""
        sampler = self.config.eval.sampler
        if self.conditional and self.scale not in self.scales:
            *others, last = map(str, self.scales)
            listed = f"{', '.join(others)} or {last}" if others else last
            raise UserError(f"'data.scale' must be {listed} for {self.scales_are_of}, got {self.scale}")
        if sampler not in SAMPLERS:
            raise UserError(f"'eval.sampler' must be one of {', '.join(SAMPLERS)}, got {sampler!r}")
        self._check_spacing()
        self._check_patch_size()
        self._check_training()
        self._check_degradation()

    def _check_spacing(self):
        check_spacing(self.config.eval.spacing, self.config.eval.steps)

    def _check_patch_size(self):
        """Refuse a patch that the LR grid or the U-Net's levels do not divide.

        Both divide it where their least common multiple does: their product would refuse the paper's own CelebA
        setting (160 pixels, ×8, 4 levels).
        """
        scale, multiple, patch_size = self.scale, self.size_multiple, self.config.data.patch_size
        unit = math.lcm(scale, multiple)
        smallest = -(-self.smallest_side // unit) * unit
        reason = f"the scale ({scale})" + (f" and {self.multiple_is} ({multiple})" if self.multiple_is else "")
        if patch_size % unit or patch_size < smallest:
            below = patch_size // unit * unit
            nearest = f"{below} or {below + unit}" if below >= smallest else max(smallest, below + unit)
            raise UserError(
                f"'data.patch_size' must be a multiple of {unit} (of {reason}), at least {smallest}, got {patch_size}; "
                f"the nearest valid: {nearest}"
            )

    def _check_training(self):
        train = self.config.train
        if not train.steps and not train.epochs:
            raise UserError("'train.steps' and 'train.epochs' are both 0; set one of them")
        if train.steps and train.epochs:
            raise UserError(
                f"'train.steps' ({train.steps}) and 'train.epochs' ({train.epochs}) contradict each other; set one to 0"
            )
        if (train.lr_schedule == "milestones") != bool(train.lr_milestones):
            raise UserError(
                f"'train.lr_milestones' are {list(train.lr_milestones)}, and 'train.lr_schedule' is "
                f"{train.lr_schedule}; set both or neither"
            )
        if train.lr_schedule == "cosine" and train.lr_min >= train.lr:
            raise UserError(f"'train.lr_min' must be below 'train.lr' ({train.lr}), got {train.lr_min}")
        if train.best_metric == "lpips" and train.val_lpips == "none":
            raise UserError("'train.best_metric' is lpips, but 'train.val_lpips' is none; set train.val_lpips=alex")
        if train.best_metric == "loss" and self.conditional:
            raise UserError(
                "'train.best_metric' may be loss only where 'sr3.conditional' is false, and validation scores no "
                "pictures; set train.best_metric=psnr"
            )
        if train.pixel_loss != TrainConfig.pixel_loss and not self.one_pass:
            raise UserError(
                f"'train.pixel_loss' is of a network that makes its picture in one pass, got {train.pixel_loss}; set "
                f"diffusion.loss={train.pixel_loss} in its place"
            )
        if self.config.data.sink and train.accumulate > 1:
            raise UserError(
                f"'data.sink' feeds one batch a step, but 'train.accumulate' is {train.accumulate}; set one of them "
                "back"
            )
        if train.encoder_lr and not self.trains_encoder:
            raise UserError(
                f"'train.encoder_lr' is {train.encoder_lr}, but no encoder trains along; set it to 0, or "
                "encoder.frozen=false"
            )

    def _check_degradation(self):
        kind, kernel = self.config.degradation.kind, self.config.data.lr_kernel
        if kind != "none" and not self.conditional:
            raise UserError(f"'degradation.kind' is {kind}, but no LR picture is looked at; set degradation.kind=none")
        if kind != "none" and kernel != "bicubic":
            raise UserError(
                f"'data.lr_kernel' is {kernel}, but 'degradation.kind' {kind} makes LR; set data.lr_kernel=bicubic"
            )

    @property
    @abstractmethod
    def size_multiple(self):
        """HR sizes must be multiples of this."""

    @property
    def smallest_side(self):
        """HR pixels that a patch must have at least."""
        return self.size_multiple

    @abstractmethod
    def model(self):
        """Return the network, an nn.Cell whose parameters are named by part (``encoder.*``, ``unet.*``)."""

    def part(self, name):
        """Return a network that has a checkpoint of its own, by name; "" is :meth:`model`."""
        return self.model()

    @abstractmethod
    def columns(self):
        """Return the :class:`Columns` of training batches."""

    @abstractmethod
    def objectives(self, model, lr_up=False):
        """Return what training minimises, an :class:`Objective` for each optimiser, in the order of their steps.

        One of them is the model's own. ``lr_up``: batches bring LR↑.
        """

    def fetch_weights(self):
        """Fetch what is missing of a loss's weights, which are no part of the project; UserError where none has any."""
        raise UserError("this configuration has no perceptual loss: leave out --vgg-download, or set loss.perceptual")

    def groups(self, model):
        """The trained parameters as a list of (parameters, learning rate)."""
        return [(model.trainable_params(), self.config.train.lr)]

    def pretrained(self):
        """Return a list of (part, path of a checkpoint that is there): what is loaded before the first step."""
        return []

    def pretrained_arrays(self, part, checkpoint):
        """Return what a checkpoint of :meth:`pretrained`, or of train.init, holds for the part: name → array."""
        return checkpoint.model_arrays()

    def check_pretrained(self, part, config, path):
        """Refuse a checkpoint of :meth:`pretrained` whose network, of the settings ``config``, does not fit.

        The part "" is all of the model, of a checkpoint of the same system (train.init).
        """
        return None

    @abstractmethod
    def graphs(self, model, size=(None, None, None)):
        """Return role → (Cell, inputs): what inference runs and exports hold.

        ``size`` is batch, height and width of the LR picture, or of an unconditional model's picture; None is free.
        """

    @abstractmethod
    def networks(self, graphs):
        """Return the ``src.inference.networks`` around callables by role."""

    def model_networks(self, model, size=(None, None, None)):
        """:meth:`networks` of a model's own graphs, as MindSpore runs them; ``size`` as of :meth:`graphs`."""
        from ..layers.graph import Graph

        return self.networks({role: Graph(*graph) for role, graph in self.graphs(model, size).items()})

    @abstractmethod
    def upscaler(self, networks, tiling):
        """Return the ``src.inference.upscaler.Upscaler`` around networks."""

    @abstractmethod
    def reach(self):
        """Return the receptive field, a ``src.inference.tile_size.Reach``."""

    @abstractmethod
    def cost(self):
        """Return the bytes per pixel, a ``src.inference.tile_size.Cost``."""

    def tiling(self, options=None, device_memory=None, alone=False):
        """Return what cuts large pictures as ``TileOptions`` say, a ``src.inference.tile_size.Tiling``.

        ``device_memory`` is in bytes, None where the networks run in the machine's memory; ``alone`` is as of
        ``src.inference.tile_size.memory_budget``.
        """
        options = options or TileOptions()
        if options.fixed and not self.conditional:
            raise UserError("--fixed-tiles are for models that enlarge pictures: leave them out")
        if options.fixed:
            return FixedTiling.of(self.scale, self.size_multiple, options, self.edges)
        budget = memory_budget(options, device_memory, alone)
        return Tiling(self.scale, self.size_multiple, self.reach(), self.cost(), options, budget, self.edges)

    def model_upscaler(self, model, device, device_memory=None, tile_options=None, alone=False):
        """Return the upscaler around :meth:`model_networks` on a device; the rest as of :meth:`tiling`."""
        options = (tile_options or TileOptions()).on(device, self.conditional and self.reach().local)
        tiling = self.tiling(options, device_memory, alone)
        size = (1, *tiling.size) if options.fixed else (None, None, None)
        return self.upscaler(self.model_networks(model, size), tiling)

    def sampling(self):
        """The model's own ``Sampling``, that of the section ``eval``."""
        options = self.config.eval
        return Sampling(
            options.sampler, options.steps, options.spacing, options.eta, options.temperature, options.consistency
        )

    def description(self):
        """Return what an export says of the model, a dict: all that running it needs, and the whole configuration."""
        return {
            "cut": "whole",
            "conditional": self.conditional,
            "scale": self.scale,
            "size_multiple": self.size_multiple,
            "edges": self.edges,
            "value_range": [-1, 1],
            "colour": "RGB",
            "sampling": {"consistency": self.config.eval.consistency},
            "reach": self.reach()._asdict(),
            "cost": self.cost()._asdict(),
            "config": config_to_dict(self.config),
        }

    @abstractmethod
    def summary(self):
        """Return lines of text that say which network it is."""

    @staticmethod
    def convert(obj, given):
        """Return the ``src.weights.conversion.Conversion`` of a PyTorch file's content; None if another family's.

        ``given`` is a nested dict of settings that somebody names.
        """
        return None


class OnePass(Family):
    """A network that makes its picture from the LR picture in one pass."""

    one_pass = True

    def columns(self):
        return Columns()

    def objectives(self, model, lr_up=False):
        from ..losses.pixel import RegressionLoss

        return [Objective(RegressionLoss(model, self.config.train.pixel_loss), self.groups(model))]

    def graphs(self, model, size=(None, None, None)):
        import mindspore as ms

        from ..layers.graph import Whole

        batch, height, width = size
        return {"whole": (Whole(model), [ms.Tensor(shape=[batch, 3, height, width], dtype=ms.float32)])}

    def networks(self, graphs):
        from ..inference.networks import RegressionNetworks

        return RegressionNetworks(graphs["whole"])

    def upscaler(self, networks, tiling):
        from ..inference.upscaler import OnePassUpscaler

        config = self.config
        return OnePassUpscaler(networks, tiling, name=config.name, system=config.system, sampling=self.sampling())


class Diffusion(Family):
    """A network that removes noise, once per step."""

    last_beta = None  # of the schedule, where it is another than the family of β says
    uses_lr_up = False  # LR↑ is a part of its condition
    condition_shape = (3, 1)  # channels of the condition, and HR pixels on a side of one of its own

    def check(self):
        super().check()
        diffusion = self.config.diffusion
        if diffusion.beta_start > diffusion.beta_end:
            raise UserError(
                f"'diffusion.beta_start' must be at most 'diffusion.beta_end', got {diffusion.beta_start} and "
                f"{diffusion.beta_end}"
            )
        if diffusion.loss_weight == "x0" and diffusion.prediction == "noise":
            raise UserError("'diffusion.loss_weight' x0 needs diffusion.prediction=velocity; or set min_snr")

    def _check_spacing(self):
        options = self.config.eval
        check_spacing(options.spacing, options.steps, self.config.diffusion.steps, self.told == "level")

    def schedule(self):
        """The noise schedule that the network is trained with."""
        diffusion = self.config.diffusion
        return make_schedule(
            diffusion.schedule, diffusion.steps, diffusion.cosine_offset, diffusion.beta_start, diffusion.beta_end,
            last_beta=self.last_beta,
        )  # fmt: skip

    @abstractmethod
    def target(self):
        """Return what is diffused, a target of :mod:`src.diffusion.process`."""

    @abstractmethod
    def target_description(self):
        """Return what an export says of :meth:`target`: a dict."""

    def noise_level(self):
        """What the network is told, see :mod:`src.diffusion.noise_level`."""
        return noise_level("continuous" if self.told == "level" else "discrete", self.schedule())

    def columns(self):
        return Columns(self.config.diffusion.steps, self.config.train.draws, self.told == "level")

    def objectives(self, model, lr_up=False):
        return [Objective(self.loss(model, lr_up, self.columns().dropout_keys), self.groups(model))]

    def loss(self, model, lr_up=False, dropout=False):
        """Return the loss Cell of (hr, lr, t, noise), and, if batches have them, lr_up and dropout's keys."""
        from ..losses.diffusion import DiffusionLoss

        diffusion = self.config.diffusion
        return DiffusionLoss(
            model, self.schedule(), self.target(), diffusion.prediction, diffusion.loss, diffusion.loss_weight,
            not self.trains_encoder, self.told == "level", lr_up, dropout,
        )  # fmt: skip

    def graphs(self, model, size=(None, None, None)):
        import mindspore as ms

        from ..layers.graph import Encode, Step

        def picture(factor, channels=3):
            sides = [side and side * factor for side in size[1:]]
            return ms.Tensor(shape=[size[0], channels, *sides], dtype=ms.float32)

        t = ms.Tensor(shape=[size[0]], dtype=ms.float32 if self.told == "level" else ms.int32)
        if not self.conditional:
            return {"step": (Step(model), [picture(self.scale), t])}
        channels, fold = self.condition_shape
        condition = picture(self.scale // fold, channels)
        return {"encode": (Encode(model), [picture(1)]), "step": (Step(model), [picture(self.scale), t, condition])}

    def upscaler(self, networks, tiling):
        from ..inference.diffusion_upscaler import DiffusionUpscaler

        config = self.config
        return DiffusionUpscaler(
            networks, tiling, name=config.name, system=config.system, sampling=self.sampling(),
            schedule=self.schedule(), target=self.target(), prediction=config.diffusion.prediction,
            noise_level=self.noise_level(), conditional=self.conditional, usual_size=self.usual_size,
        )  # fmt: skip

    def steps(self):
        """The sampling steps of the model's own options, a list of ``src.diffusion.schedule.Step``."""
        options = self.config.eval
        return self.schedule().steps(options.steps, options.spacing, self.told == "level")

    def description(self):
        schedule, steps, options = self.schedule(), self.steps(), self.config.eval
        names = [field.name for field in fields(EvalConfig) if field.name != "protocol"]
        levels, times = {"alphas_cumprod": schedule.alphas_cumprod.tolist()}, [step.t for step in steps]
        if any(step.alpha_bar != schedule.alpha_bar(step.t) for step in steps):  # levels of its own, least noisy first
            levels = {"alphas_cumprod": [step.alpha_bar for step in reversed(steps)],
                      "trained_alphas_cumprod": levels["alphas_cumprod"]}  # fmt: skip
            times = [*reversed(range(len(steps)))]
        process = {
            "prediction": self.config.diffusion.prediction,
            "noise_level": "continuous" if self.told == "level" else "discrete",
            "clip": self.target().clip,
        }
        return super().description() | levels | {
            "sampling": {name: getattr(options, name) for name in names} | {"times": times},
            "lr_up": "condition" if self.takes_lr_up else "part" if self.uses_lr_up else "apart",
            "process": self.target_description() | process,
        }  # fmt: skip


def unfolded(radius, space_to_depth):
    """The radius in pixels of one in folded cells: from the far side of one cell to that of another."""
    return radius * space_to_depth + space_to_depth - 1


def check_levels(name, unet):
    """Refuse a U-Net's width and levels that cannot be built; ``unet`` is the section of that name."""
    # The embedding of the step or the noise level is sin and cos halves, with frequencies spaced by 1 / (half − 1).
    if unet.width < 4 or unet.width % 2:
        raise UserError(f"'{name}.width' must be even and at least 4, got {unet.width}")
    if not unet.multipliers or min(unet.multipliers) < 1:
        raise UserError(f"'{name}.multipliers' must be one or more numbers from 1 up, got {list(unet.multipliers)}")
