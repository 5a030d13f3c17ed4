"""The objects of a training run, made from its configuration."""

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import mindspore as ms
from mindspore import nn

from ..dataset.batches import training_batches
from ..dataset.degradation import degradation_of
from ..dataset.patches import PatchPairs
from ..errors import UserError
from ..families.registry import config_of, family_of
from ..host.ranks import World
from ..layers.batch_norm import BatchNorm2d
from ..layers.precision import compute_in_16_bits, loss_scaler, usable_level
from ..layers.ranks import MeanOverRanks
from ..weights.checkpoint import PREFIX, load_arrays, load_checkpoint, load_into, put
from .distributed import gradient_mean
from .ema import MovingAverage
from .optimizers import RateSchedule, adam
from .step import JointStep, TrainStep, Update
from .teacher import teacher_of
from .validation import DenoisingValidation, Validation, validation_of


def training_of(config, world=None, pretrained=True, done=(0, 0)):
    """Return the :class:`Training` of a checked configuration, by the ranks of ``world``, or None for one alone.

    ``pretrained`` loads what the configuration starts from, which is not needed before :meth:`Training.restore`;
    ``done`` are (steps, samples) that the run has done so far.
    """
    world, data, train, family = world or World(), config.data, config.train, family_of(config)
    _check_folders(data)
    initial = _initial_weights(family) if pretrained else []
    patches = PatchPairs(
        data.train, scale=data.scale, patch_size=data.patch_size, seed=config.seed, flip=data.flip, rotate=data.rotate,
        cache_bytes=data.cache_mb << 20, lr_up=family.takes_lr_up, lr_kernel=data.lr_kernel,
        degradation=degradation_of(config.degradation),
    )  # fmt: skip
    samples = train.batch_size * train.accumulate * world.size
    # of epochs: the steps done, and as many as the rest of the samples fill
    rest = max(0, (train.epochs * len(patches) - done[1]) // samples)
    steps = train.steps or max(1, done[0] + rest)
    ms.set_seed(config.seed)  # of the initial weights; all else has generators of its own
    model = family.model()
    objectives = family.objectives(model, patches.lr_up)
    networks = {each.part: each.network for each in objectives if each.part}
    teacher = teacher_of(family, model)  # before the weights: it says what a file is not
    for part, checkpoint in initial:
        network = networks[part] if part in networks else getattr(model, part) if part else model
        load_into(network, family.pretrained_arrays(part, checkpoint), checkpoint.path)

    level = usable_level(train.amp_level, train.amp_dtype)
    main = [each.part for each in objectives].index("")
    trained = [parameter for parameters, _ in objectives[main].groups for parameter in parameters]
    shown, average = _copy_for_validation(family, model, trained, level)
    for network in (model, *networks.values()):
        compute_in_16_bits(network, level, train.amp_dtype)
    for _, cell in (pair for each in objectives for pair in each.loss.cells_and_names() if world.size > 1):
        if hasattr(cell, "over_ranks"):  # statistics of a batch, which is that of all ranks
            cell.over_ranks(world.size)
    schedules = [[(parameters, _rate(train, lr, steps)) for parameters, lr in each.groups] for each in objectives]
    joint = [
        TrainStep(each.loss, _update(train, world, groups, level, each.part, average), train.accumulate)
        for each, groups in zip(objectives, schedules, strict=True)
    ]
    return Training(
        model, shown, JointStep(joint, joint[main]), schedules[main][0][1], validation_of(family, shown, world),
        partial(_dataset, family, patches, world, steps), teacher, world,
        networks=[*networks.values()],
        pictures=len(patches), steps=steps, samples=samples, accumulate=train.accumulate, sink=data.sink,
    )  # fmt: skip


@dataclass(eq=False)
class Training:
    """What one run trains, and what resuming it needs."""

    model: nn.Cell  # the network, whose parameters are trained or frozen
    shown: nn.Cell  # what validation runs: the model, or a copy that holds averages or is in float32
    step: JointStep
    schedule: RateSchedule  # the learning rate that is shown
    validation: Validation | DenoisingValidation  # of what is shown
    dataset: Callable  # progress → the mindspore dataset of the batches that are left
    teacher: Callable | None  # from a step's number and a batch to what the losses take; None: as it is
    world: World
    networks: list  # that training alone needs, such as a discriminator
    pictures: int  # to train on
    steps: int  # optimiser steps of the whole run
    samples: int  # in one optimiser step, over all ranks
    accumulate: int = 1  # batches in one optimiser step
    sink: bool = False  # feed the device through a queue of its own

    def __post_init__(self):
        self.update = self.step.main.update
        self.average, self.scaler = self.update.average, self.update.scaler
        self.optimizers = [step.update.optimizer for step in self.step.steps]
        self.trained = [parameter for optimizer in self.optimizers for parameter in optimizer.parameters]

    def steps_from(self, progress):
        """What trains the rest of the run: a step function, and an iterable of its arguments, one a step."""
        if usable_sink(self.sink):
            return connect(self.step.main.whole, self.dataset(progress))
        return self.step, self.batches(progress)

    def batches(self, progress):
        """Yield what is left of the run: for each step a list of batches, which are tuples as the loss takes them."""
        iterator, step = self.dataset(progress).create_tuple_iterator(num_epochs=1), progress.step
        while batches := list(islice(iterator, self.accumulate)):
            yield [self.teacher(step, *batch) for batch in batches] if self.teacher else batches
            step += 1

    def state(self):
        """Everything that resuming needs: parameter name → parameter, the optimiser's under ``optimizer.*``."""
        averages, updates = (self.average.averages, [self.average.updates]) if self.average else ([], [])
        networks = [*self.parameters(), *averages]
        rest = [*self._optimizer_state(), *self._scaler_state(), *updates]
        return {parameter.name: parameter for parameter in networks} | {
            "optimizer." + parameter.name: parameter for parameter in rest
        }

    def weights(self):
        """The finished network's parameters by name: the averages where there are any."""
        self._refresh_shown()
        return {source.name: shown for source, shown in self._shown_pairs()}

    def restore(self, checkpoint):
        """Load all of :meth:`state` from a checkpoint."""
        arrays, path = checkpoint.arrays, checkpoint.path
        load_arrays(self.parameters(), arrays, path)
        load_arrays(self._optimizer_state(), arrays, path, prefix="optimizer.")

        def load_if_there(parameters, what):
            there = all("optimizer." + parameter.name in arrays for parameter in parameters)
            if there:
                load_arrays(parameters, arrays, path, prefix="optimizer.")
            else:
                logging.warning("%s has no %s: it begins here", path, what)
            return there

        load_if_there(self._scaler_state(), "loss scale")
        if self.average and load_if_there([self.average.updates], "moving average"):
            load_arrays(self.average.averages, arrays, path)
        elif self.average:
            self.average.start()

    def validate(self, keep=None):
        """Look at the validation pictures with the weights shown; ``keep`` as in :mod:`src.training.validation`."""
        self._refresh_shown()
        return self.validation.run(keep)

    def _refresh_shown(self):
        """Copy into the network that validation runs what is not an average there."""
        if self.shown is self.model:
            return
        averages = {average.name for average in self.average.averages} if self.average else ()
        for source, shown in self._shown_pairs():
            if shown.name not in averages:
                put(shown, source.asnumpy())

    def _shown_pairs(self):
        return zip(self.model.get_parameters(), self.shown.get_parameters(), strict=True)

    def parameters(self):
        """Those of all networks."""
        return [parameter for network in (self.model, *self.networks) for parameter in network.get_parameters()]

    def _optimizer_state(self):
        names = {parameter.name for parameter in self.trained}
        state = [parameter for optimizer in self.optimizers for parameter in optimizer.get_parameters()]
        # of the learning rate the configuration says what it is, also on resuming
        return [each for each in state if each.name not in names and each.name.split(".")[-1] != "learning_rate"]

    def _scaler_state(self):
        return [state for step in self.step.steps for state in _state_of(step.update.scaler)]


def _check_folders(data):
    for name, path in (("data.train", data.train), ("data.val", data.val)):
        if not Path(path).exists():
            raise UserError(
                f"{name}: {path} does not exist: make it with src/dataset/div2k_preprocess.py, or name a folder of "
                f"pictures with {name}=DIR"
            )


def _dataset(family, patches, world, steps, progress):
    """The mindspore dataset of the batches that are left of a run."""
    train, data = family.config.train, family.config.data
    return training_batches(
        patches, batch_size=train.batch_size, batches=(steps - progress.step) * train.accumulate,
        first_sample=progress.samples, workers=data.workers, prefetch=data.prefetch, rank=world.rank, ranks=world.size,
        **family.columns()._asdict(),
    )  # fmt: skip


def _rate(train, lr, steps):
    return RateSchedule(
        lr, train.lr_schedule, steps, train.lr_decay_every, train.lr_decay_factor, train.lr_milestones,
        train.lr_min * lr / train.lr, train.warmup_steps,
    )  # fmt: skip


def _update(train, world, groups, level, part, average):
    """The ``Update`` of the parameters in groups; those of a part other than the model have states named by it."""
    optimizer = adam(groups, train.beta1, train.beta2)
    scaler = loss_scaler(level, train.amp_dtype, train.loss_scale, train.loss_scale_window)
    if part:
        for state in (*optimizer.get_parameters(), *_state_of(scaler)):
            if f"{part}." not in state.name:  # its counts and rates: moments have the names of weights
                state.name = f"{part}.{state.name}"
    means = (MeanOverRanks(world.size), gradient_mean(optimizer.parameters, world)) if world.size > 1 else (None, None)
    return Update(optimizer, train.clip_norm, None if part else average, scaler, train.accumulate, *means)


def _state_of(scaler):
    return [scaler.scale_value, scaler.counter] if hasattr(scaler, "counter") else []


def _copy_for_validation(family, model, trained, level):
    """The network that validation runs, and the ``MovingAverage`` in it, or None."""
    decay = family.config.train.ema_decay
    if not decay and level == "O0" and not any(isinstance(cell, BatchNorm2d) for _, cell in model.cells_and_names()):
        return model, None
    copy = family.model()
    for parameter in copy.get_parameters():
        parameter.name = PREFIX + parameter.name
    if not decay:
        return copy, None
    average = MovingAverage(trained, copy.get_parameters(), decay)
    average.start()
    return copy, average


def _initial_weights(family):
    """What training starts from: a list of (part of the model or "", checkpoint)."""
    config, initial = family.config, []
    for part, path in family.pretrained():
        checkpoint = load_checkpoint(path)
        family.check_pretrained(part, config_of(checkpoint), path)
        logging.info("the %s is %s's, after %d steps", part or "network", path, checkpoint.step)
        initial.append((part, checkpoint))
    if not config.train.init:
        return initial
    checkpoint = load_checkpoint(config.train.init)
    before = config_of(checkpoint)
    if type(before) is not type(config):
        raise UserError(
            f"train.init={config.train.init} is an {before.system}, the configuration an {config.system}: name another"
        )
    family.check_pretrained("", before, config.train.init)
    logging.info("the weights start from %s's, after %d steps", config.train.init, checkpoint.step)
    if not family.one_pass:
        now = dataclasses.asdict(config.diffusion)
        for name, value in dataclasses.asdict(before.diffusion).items():
            if now[name] != value:
                logging.warning("they were trained with diffusion.%s=%s, and it is %s now", name, value, now[name])
    return [*initial, ("", checkpoint)]


def usable_sink(wanted):
    """Whether batches are to go through the device's queue; the CPU has none, and says so."""
    if wanted and ms.get_context("device_target") == "CPU":
        logging.warning("the CPU has no queue for data: data.sink is for Ascend and GPU")
        return False
    return wanted


def connect(cell, dataset):
    """Join a Cell, which takes a dataset's columns, with the device's queue.

    Return a function of one argument that runs the Cell on the next batch in the queue, and an iterable of as many
    arguments for it as there are batches: they are placeholders.
    """
    helper = ms.DatasetHelper(dataset, dataset_sink_mode=True, sink_size=1, epoch_num=1)
    connected = ms.connect_network_with_dataset(cell, helper)
    connected.set_train()
    return (lambda placeholder: connected(*placeholder)), helper
