"""From a configuration to a training run's objects."""

import dataclasses
import logging
import resource
import sys
import time
from itertools import islice
from pathlib import Path

import mindspore as ms

from src import build_sr3
from src.build import build_loss, build_model, networks_of
from src.config.validate import check_encoder
from src.errors import UserError
from src.training.validation import DenoisingValidation, Validation
from src.weights.checkpoint import config_of


class Training:
    """Everything one run consists of, made from its configuration.

    Args:
        config: a checked ``Config``.
        world: the ranks that train together, a ``src.training.distributed.World``; None for one alone.
        pretrained: load the encoder that an SRDiff's configuration names; not needed before :meth:`restore`.
        done: (steps, samples) that the run has done so far.
        dedicated: this process runs nothing but this training. On the CPU the networks then run as products
            (:mod:`src.layers.products`), with which a convolution in this process would be a hundred times
            slower.

    Raises:
        UserError: the pictures to train or to validate on, or the encoder's checkpoint, are missing or do not fit.
    """

    def __init__(self, config, world=None, pretrained=True, done=(0, 0), dedicated=False):
        import mindspore as ms

        from src.dataset.patches import PatchPairs
        from src.training.distributed import World
        from src.weights.checkpoint import load_into

        data, train = config.data, config.train
        for name, path in (("data.train", data.train), ("data.val", data.val)):
            if not Path(path).exists():
                raise UserError(
                    f"{name}: {path} does not exist: make it with src/dataset/div2k_preprocess.py, or name a folder of "
                    f"pictures with {name}=DIR"
                )
        self.config = config
        self.world = world or World()
        encoder = load_pretrained_encoder(config) if pretrained and config.system == "srdiff" else None
        self.patches = PatchPairs(
            data.train, scale=data.scale, patch_size=data.patch_size, seed=config.seed,
            flip=data.flip, rotate=data.rotate, cache_bytes=data.cache_mb << 20, lr_up=build_sr3.takes_lr_up(config),
        )  # fmt: skip
        self.samples = train.batch_size * train.accumulate * self.world.size  # in one optimiser step
        self.steps = train.steps or self._steps_of_epochs(*done)
        ms.set_seed(config.seed)  # of the initial weights; all else has generators of its own
        self.model = build_model(config)
        if encoder:
            load_into(self.model.encoder, encoder.model_arrays(), encoder.path)
        if train.init and pretrained:
            load_into(self.model, _load_initial(config).model_arrays(), train.init)
        self._build_step(dedicated)
        self.validation = self._validation()

    def _steps_of_epochs(self, steps, samples):
        """The steps of the whole run: those done, and as many as the rest of the epochs' samples fill."""
        rest = self.config.train.epochs * len(self.patches) - samples
        return max(1, steps + max(0, rest // self.samples))

    def _build_step(self, dedicated):
        from src.layers.precision import compute_in_16_bits, loss_scaler, usable_level
        from src.training.distributed import Mean, gradient_mean
        from src.training.optimizers import adam
        from src.training.step import TrainStep, Update

        config, train = self.config, self.config.train
        level = usable_level(train.amp_level, train.amp_dtype)
        self.schedule, groups = self._rates()
        self.optimizer = adam(groups, train.beta1, train.beta2)
        self.trained = list(self.optimizer.parameters)
        self.shown, self.average = self._copy_for_validation(level)
        compute_in_16_bits(self.model, level, train.amp_dtype)
        self.scaler = loss_scaler(level, train.amp_dtype, train.loss_scale, train.loss_scale_window)
        several = self.world.size > 1
        update = Update(
            self.optimizer, train.clip_norm, average=self.average, scaler=self.scaler, passes=train.accumulate,
            mean=Mean(self.world) if several else None,
            gradient_mean=gradient_mean(self.trained, self.world) if several else None,
        )  # fmt: skip
        products = self._products(dedicated and level == "O0")
        loss = build_loss(config, products or self.model, self.patches.lr_up, build_sr3.drops(config))
        self.step = TrainStep(loss, update, train.accumulate)
        self.convolves = products is None

    def _products(self, wanted):
        """The network as products, for a process that from now on runs nothing else; None where that is not to be."""
        if not wanted:
            return None
        from src.build_dedicated import trained_form
        from src.host.device import release_isa

        found = trained_form(self.config, self.model)
        if found is not None:
            release_isa()
        return found

    def _validation(self):
        if self.config.is_from_nothing:
            return DenoisingValidation(self.config, self.shown, self.world)
        return Validation(self.config, self._networks_shown(), self.world)

    def _networks_shown(self):
        """What validation asks for its networks."""
        if not self.convolves:
            from src.build_dedicated import Refreshed

            return Refreshed(self.config, self.shown)
        networks = networks_of(self.config, self.shown)
        return lambda: networks

    def _rates(self):
        """Return the shown learning rate's schedule, and the parameters with theirs."""
        from src.training.optimizers import RateSchedule

        train = self.config.train

        def schedule(lr):
            return RateSchedule(
                lr, train.lr_schedule, self.steps, train.lr_decay_every, train.lr_decay_factor,
                train.lr_min * lr / train.lr, train.warmup_steps,
            )  # fmt: skip

        main = schedule(train.lr)
        if self.config.system != "srdiff":
            return main, [(self.model.trainable_params(), main)]
        unet, encoder = self.model.unet.trainable_params(), self.model.encoder.trainable_params()
        if self.config.encoder.frozen:
            return main, [(unet, main)]
        if train.encoder_lr:
            return main, [(unet, main), (encoder, schedule(train.encoder_lr))]
        return main, [(self.model.trainable_params(), main)]

    def _copy_for_validation(self, level):
        """Return the network that validation runs, and what moves its weights: the average, or None.

        It is a copy where it holds the averages, or where the trained one computes in 16 bits.
        """
        from src.training.ema import MovingAverage
        from src.weights.checkpoint import PREFIX

        decay = self.config.train.ema_decay
        if not decay and level == "O0":
            return self.model, None
        copy = build_model(self.config)
        for parameter in copy.get_parameters():
            parameter.name = PREFIX + parameter.name
        average = MovingAverage(self.trained, copy.get_parameters(), decay) if decay else None
        if average:
            average.start()
        return copy, average

    def steps_from(self, progress):
        """Return what trains the rest of the run: a step function, and an iterable of its arguments, one a step."""

        if usable(self.config.data.sink):
            return connect(self.step.whole, self._dataset(progress))
        return self.step, self.batches(progress)

    def batches(self, progress):
        """Return an iterator over what is left of the run: for each step a list of ``train.accumulate`` batches.

        A batch is a tuple of tensors in the order that the loss takes.
        """
        iterator = self._dataset(progress).create_tuple_iterator(num_epochs=1)
        while batches := list(islice(iterator, self.config.train.accumulate)):
            yield batches

    def _dataset(self, progress):
        from src.dataset.batches import training_batches

        config = self.config
        noise_steps, draws = (None, 1) if config.is_regression else (config.diffusion.steps, config.train.draws)
        return training_batches(
            self.patches, batch_size=config.train.batch_size,
            batches=(self.steps - progress.step) * config.train.accumulate,
            first_sample=progress.samples, workers=config.data.workers, prefetch=config.data.prefetch,
            noise_steps=noise_steps, draws=draws, continuous=config.is_continuous,
            dropout_keys=build_sr3.drops(config), rank=self.world.rank, ranks=self.world.size,
        )  # fmt: skip

    def state(self):
        """Everything that resuming needs: parameter name → parameter, the optimiser's under ``optimizer.*``."""
        averages = self.average.averages if self.average else []
        rest = [*self._optimizer_state(), *self._scaler_state(), *([self.average.updates] if self.average else [])]
        return (
            {parameter.name: parameter for parameter in self.model.get_parameters()}
            | {parameter.name: parameter for parameter in averages}
            | {"optimizer." + parameter.name: parameter for parameter in rest}
        )

    def weights(self):
        """The finished network's parameters by name: the averages where there are any."""
        self._refresh_shown()
        return {name: parameter for (name, _), parameter in self._shown_pairs()}

    def restore(self, checkpoint):
        """Load all of :meth:`state` from a checkpoint."""
        from src.weights.checkpoint import load_arrays, load_into

        arrays, path = checkpoint.arrays, checkpoint.path
        load_into(self.model, arrays, path)
        load_arrays(self._optimizer_state(), arrays, path, prefix="optimizer.")
        if self._has(arrays, self._scaler_state(), path, "loss scale"):
            load_arrays(self._scaler_state(), arrays, path, prefix="optimizer.")
        if not self.average:
            return
        if self._has(arrays, [self.average.updates], path, "moving average"):
            load_arrays(self.average.averages, arrays, path)
            load_arrays([self.average.updates], arrays, path, prefix="optimizer.")
        else:
            self.average.start()

    @staticmethod
    def _has(arrays, parameters, path, what):
        missing = [parameter for parameter in parameters if "optimizer." + parameter.name not in arrays]
        if missing:
            logging.warning("%s has no %s: it begins here", path, what)
        return not missing

    def validate(self, keep=None):
        """Look at the validation pictures with the weights shown; see ``Validation`` and ``DenoisingValidation``."""
        self._refresh_shown()
        return self.validation.run(keep)

    def _refresh_shown(self):
        """Copy into the network that validation runs what is not an average there."""
        from src.weights.checkpoint import put

        if self.shown is self.model:
            return
        averages = {average.name for average in self.average.averages} if self.average else ()
        for (_, source), shown in self._shown_pairs():
            if shown.name not in averages:
                put(shown, source.asnumpy())

    def _shown_pairs(self):
        named = ((parameter.name, parameter) for parameter in self.model.get_parameters())
        return zip(named, self.shown.get_parameters(), strict=True)

    def _optimizer_state(self):
        names = {parameter.name for parameter in self.trained}
        names.add("learning_rate")  # the configuration says what it is, also on resuming
        return [parameter for parameter in self.optimizer.get_parameters() if parameter.name not in names]

    def _scaler_state(self):
        return [self.scaler.scale_value, self.scaler.counter] if hasattr(self.scaler, "counter") else []


def _load_initial(config):
    """Return the :class:`Checkpoint` that a configuration's training starts from.

    Raises:
        UserError: the file is missing or of another system.
    """
    from src.weights.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(config.train.init)
    found = config_of(checkpoint).system
    if found != config.system:
        raise UserError(
            f"train.init={config.train.init} is an {found}, the configuration an {config.system}: name another"
        )
    logging.info("the weights start from %s's, after %d steps", config.train.init, checkpoint.step)
    before, now = dataclasses.asdict(config_of(checkpoint).diffusion), dataclasses.asdict(config.diffusion)
    for name in () if config.is_regression else now:
        if now[name] != before[name]:
            logging.warning("they were trained with diffusion.%s=%s, and it is %s now", name, before[name], now[name])
    return checkpoint


def load_pretrained_encoder(config):
    """Return the :class:`Checkpoint` of stage 1 that a configuration names; None if it names none and need not.

    Raises:
        UserError: the file is missing, or its network has another size.
    """
    from src.weights.checkpoint import load_checkpoint

    path = config.encoder.checkpoint
    if config.train.init:
        logging.info("encoder.checkpoint is not read: train.init=%s holds an encoder as well", config.train.init)
        return None
    if not path and config.encoder.frozen:
        raise UserError("encoder.checkpoint is empty and the encoder is frozen: name stage 1's model.ckpt")
    if not path:
        logging.warning("encoder.checkpoint is empty: the encoder starts from random weights")
        return None
    if not Path(path).is_file():
        raise UserError(
            f"no encoder at {path} (encoder.checkpoint): train stage 1 first (configs/rrdb_*.yaml), "
            "and name its model.ckpt with encoder.checkpoint=PATH"
        )
    checkpoint = load_checkpoint(path)
    trained = config_of(checkpoint)
    check_encoder(config, trained.encoder, trained.data.scale, path)
    logging.info("the encoder is %s's, after %d steps", path, checkpoint.step)
    return checkpoint


def dry_run(config, dedicated=False):
    """Build everything, run three steps on real patches; return lines of text: parameters, memory, time of a step."""
    from src.training.loop import Progress

    training = Training(config, dedicated=dedicated)
    train = config.train
    total = sum(parameter.size for parameter in training.model.get_parameters())
    trained = sum(parameter.size for parameter in training.trained)
    seconds = []
    for batches in islice(training.batches(Progress()), 3):
        start = time.perf_counter()
        loss, *_ = training.step(batches)
        loss.asnumpy()
        seconds.append(time.perf_counter() - start)
    least = min(seconds[1:] or seconds)
    copies = 3 + (training.shown is not training.model) + (train.accumulate > 1)
    state = 4 * (total + copies * trained) / 2**20
    batch = f"batch {train.batch_size}" + (f" x {train.accumulate} passes" if train.accumulate > 1 else "")
    return [
        f"configuration  {config.name} ({config.system}), {batch} x {config.data.patch_size}²",
        f"pictures       {len(training.patches)}",
        f"parameters     {total:,} ({trained:,} trained)",
        f"memory         {state:,.0f} MiB for parameters, gradients, their average and Adam's state; "
        f"{_peak_memory() / 2**20:,.0f} MiB at the peak of these steps, measured",
        f"first step     {seconds[0]:.1f} s with compilation",
        f"one step       {1000 * least:,.0f} ms; {training.steps:,} steps take about "
        f"{training.steps * least / 3600:,.1f} h",
    ]


def _peak_memory():
    """Bytes at the peak so far: of the accelerator's memory, or of the process where it is the CPU's."""
    import mindspore as ms

    if ms.get_context("device_target") == "CPU":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # KiB on Linux
    return ms.runtime.max_memory_allocated()


def usable(wanted):
    """Return whether batches are to go through the device's queue; the CPU has none, and says so."""
    if wanted and ms.get_context("device_target") == "CPU":
        logging.warning("the CPU has no queue for data: data.sink is for Ascend and GPU")
        return False
    return wanted


def connect(cell, dataset):
    """Join a Cell with the device's queue.

    Args:
        cell: its ``construct`` takes the dataset's columns.
        dataset: a mindspore dataset, of which one pass is made.

    Returns:
        a function of one argument that runs the Cell on the next batch in the queue, and an iterable of as many
        arguments for it as there are batches: they are placeholders.
    """
    helper = ms.DatasetHelper(dataset, dataset_sink_mode=True, sink_size=1, epoch_num=1)
    connected = ms.connect_network_with_dataset(cell, helper)
    connected.set_train()
    return _NextBatch(connected), helper


class _NextBatch:
    def __init__(self, connected):
        self.connected = connected

    def __call__(self, placeholder):
        return self.connected(*placeholder)
