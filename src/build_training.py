"""From a configuration to a training run."""

import logging
import resource
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.contrib.logging import logging_redirect_tqdm

from src.build import (
    build_loss,
    build_model,
    build_upscaler,
    config_json,
    config_of,
    networks_of,
)
from src.config.loader import config_to_dict, dump_yaml
from src.config.validate import check_encoder
from src.errors import UserError


class Training:
    """Everything one run consists of, made from its configuration.

    Args:
        config: a checked ``Config``.
        pretrained: load the encoder that an SRDiff's configuration names; not needed before :meth:`restore`.

    Raises:
        UserError: the pictures to train or to validate on, or the encoder's checkpoint, are missing or do not fit.
    """

    def __init__(self, config, pretrained=True):
        import mindspore as ms

        from src.dataset.patches import PatchPairs
        from src.training.checkpoints import load_into
        from src.training.optimizers import adam, learning_rate, learning_rate_at
        from src.training.step import TrainStep

        data, train = config.data, config.train
        self.config = config
        encoder = load_pretrained_encoder(config) if pretrained and config.system == "srdiff" else None
        self.patches = PatchPairs(
            data.train, scale=data.scale, patch_size=data.patch_size, seed=config.seed,
            flip=data.flip, rotate=data.rotate, cache_bytes=data.cache_mb << 20,
        )  # fmt: skip
        self.validation_pairs = find_validation_pairs(config)
        self.steps = train.steps or max(1, train.epochs * len(self.patches) // train.batch_size)
        ms.set_seed(config.seed)  # of the initial weights; all else has generators of its own
        self.model = build_model(config)
        if encoder:
            load_into(self.model.encoder, encoder.arrays, encoder.path)
        schedule = {
            "lr": train.lr, "schedule": train.lr_schedule, "total": self.steps, "decay_every": train.lr_decay_every,
            "decay_factor": train.lr_decay_factor, "minimum": train.lr_min,
        }  # fmt: skip
        self.learning_rate_at = partial(learning_rate_at, **schedule)
        self.trained = list(self._trained_parameters())
        self.optimizer = adam(self.trained, learning_rate(**schedule), train.beta1, train.beta2)
        self.step = TrainStep(build_loss(config, self.model), self.optimizer, train.clip_norm)
        self.step.set_train()
        self.networks = networks_of(config, self.model)

    def batches(self, first_step, last_step):
        """Return an iterator over the batches of these steps, tuples of tensors in the order that the loss takes."""
        from src.dataset.pipeline import training_batches

        config = self.config
        dataset = training_batches(
            self.patches, batch_size=config.train.batch_size, first_step=first_step, last_step=last_step,
            workers=config.data.workers, prefetch=config.data.prefetch,
            noise_steps=config.diffusion.steps if config.system == "srdiff" else None,
        )  # fmt: skip
        return dataset.create_tuple_iterator(num_epochs=1)

    def state(self):
        """Everything that resuming needs: parameter name → parameter, the optimiser's under ``optimizer.*``."""
        return self.weights() | {"optimizer." + p.name: p for p in self._optimizer_state()}

    def weights(self):
        """The network's parameters by name."""
        return {parameter.name: parameter for parameter in self.model.get_parameters()}

    def restore(self, checkpoint):
        """Load the network and the optimiser from a checkpoint; return the number of steps done."""
        from src.training.checkpoints import load_arrays, load_into

        load_into(self.model, checkpoint.arrays, checkpoint.path)
        load_arrays(self._optimizer_state(), checkpoint.arrays, checkpoint.path, prefix="optimizer.")
        return checkpoint.step

    def validate(self):
        """Upscale and score the validation pictures; return the ``Report``."""
        from src.dataset.pairs import load_pair
        from src.metrics.evaluate import evaluate, picture_seed

        config = self.config
        upscaler = build_upscaler(config, self.networks)
        sampling = {"sampler": config.eval.sampler, "steps": config.eval.steps, "temperature": config.eval.temperature}
        return evaluate(
            {config.name: lambda lr, i: upscaler.upscale([lr], seeds=[picture_seed(config.seed, i)], **sampling)[0]},
            ((pair.name, *load_pair(pair, config.data.scale)) for pair in self.validation_pairs),
            protocol=config.eval.protocol,
            scale=config.data.scale,
        )

    def compile_validation(self):
        """Compile the graphs that :meth:`validate` runs, so that what is wrong with them shows before the training."""
        upscaler = build_upscaler(self.config, self.networks)
        upscaler.upscale([np.zeros((8, 8, 3), np.uint8)], steps=1)

    def _trained_parameters(self):
        if self.config.system == "srdiff" and self.config.encoder.frozen:
            return self.model.unet.trainable_params()
        return self.model.trainable_params()

    def _optimizer_state(self):
        names = {parameter.name for parameter in self.trained}
        names.add("learning_rate")  # a constant one is a parameter; the configuration says what it is, also on resuming
        return [parameter for parameter in self.optimizer.get_parameters() if parameter.name not in names]


def find_validation_pairs(config):
    """Return the pairs to validate on; each is read once, since a broken one would end the training half-way.

    Raises:
        UserError: there are none, one cannot be read, or HR and LR do not fit.
    """
    from src.dataset.pairs import find_pairs, load_pair

    pairs = find_pairs(data=config.data.val, scale=config.data.scale)[: config.data.val_pictures or None]
    for pair in pairs:
        load_pair(pair, config.data.scale)
    return pairs


def load_pretrained_encoder(config):
    """Return the :class:`Checkpoint` of stage 1 that a configuration names; None if it names none and need not.

    Raises:
        UserError: the file is missing, or its network has another size.
    """
    from src.training.checkpoints import load_checkpoint

    path = config.encoder.checkpoint
    if not path and config.encoder.frozen:
        raise UserError("encoder.checkpoint is empty and the encoder is frozen: name stage 1's model.ckpt")
    if not path:
        logging.warning("encoder.checkpoint is empty: the encoder starts from random weights")
        return None
    if not Path(path).is_file():
        raise UserError(
            f"no encoder at {path} (encoder.checkpoint): train stage 1 first (configs/rrdb_*.yaml), "
            "or name its model.ckpt with encoder.checkpoint=PATH"
        )
    checkpoint = load_checkpoint(path)
    trained = config_of(checkpoint)
    check_encoder(config, trained.encoder, trained.data.scale, path)
    return checkpoint


def run_training(config, output, resume=False):
    """Train, validate and save; the folder ``output`` holds everything (see ``src.training.run_folder``).

    Raises:
        UserError: a file is missing or cannot be written, or the run's folder is in use.
    """
    from src.training.run_folder import RunFolder, holds_checkpoints

    training = Training(config, pretrained=not (resume and holds_checkpoints(output)))
    folder = RunFolder(output, resume)
    try:
        checkpoint = folder.newest() if resume else None
        first = training.restore(checkpoint) if checkpoint else 0
        if checkpoint:
            _tell_changes(config_of(checkpoint), config)
        if first > training.steps:
            raise UserError(
                f"{output} has done {first} steps, but train.steps is {training.steps}: set it to {first} or more"
            )
        folder.start_at(first, dump_yaml(config))
        logging.info("%s: steps %d to %d, %d pictures", config.name, first, training.steps, len(training.patches))
        text = config_json(config)
        if first < training.steps:
            training.compile_validation()
            with logging_redirect_tqdm():
                _train(training, folder, first, text)
        folder.save_result(training.weights(), text, training.steps)
        logging.info("finished: %s", folder.path / "model.ckpt")
    finally:
        folder.close()


def _tell_changes(before, now):
    """Warn of settings that differ from those that the run was started with: from here on the new ones hold."""
    before, now = config_to_dict(before), config_to_dict(now)
    for section, settings in now.items():
        old = before[section]
        pairs = [(section, old, settings)] if not isinstance(settings, dict) else [
            (f"{section}.{key}", old[key], value) for key, value in settings.items()
        ]  # fmt: skip
        for name, was, value in pairs:
            if was != value:
                logging.warning("%s was %s when the run was started and is %s now", name, was, value)


def _train(training, folder, first, text):
    from src.training.loop import train

    settings = training.config.train
    train(
        training.step, training.batches(first, training.steps), first_step=first, last_step=training.steps,
        batch_size=settings.batch_size, learning_rate_at=training.learning_rate_at,
        log=folder.add_curve, validate=partial(_validate, training, folder),
        save=lambda step: folder.save(training.state(), text, step, settings.keep),
        log_every=settings.log_every, val_every=settings.val_every, save_every=settings.save_every,
    )  # fmt: skip


def _validate(training, folder, step):
    report = training.validate()
    for method in report.scores:
        mean = report.mean(method)
        folder.add_validation(step, method, mean)
        logging.info("step %d %s: PSNR %s dB, SSIM %s, LR-PSNR %s dB", step, method, *_shown(mean))


def _shown(mean):
    """PSNR, SSIM and LR-PSNR as text; pictures may be too small for a score."""
    scores = (mean.psnr, ".2f"), (mean.ssim, ".4f"), (mean.lr_psnr, ".2f")
    return ["–" if score is None else format(score, digits) for score, digits in scores]


def dry_run(config):
    """Build everything, run three steps on real patches; return lines of text: parameters, memory, time of a step."""
    training = Training(config)
    total = sum(parameter.size for parameter in training.model.get_parameters())
    trained = sum(parameter.size for parameter in training.trained)
    seconds = []
    for batch in training.batches(0, 3):
        start = time.perf_counter()
        loss, _ = training.step(*batch)
        loss.asnumpy()
        seconds.append(time.perf_counter() - start)
    state = 4 * (total + 3 * trained) / 2**20
    hours = training.steps * min(seconds[1:]) / 3600
    return [
        f"configuration  {config.name} ({config.system}), batch {config.train.batch_size} x {config.data.patch_size}²",
        f"pictures       {len(training.patches)}",
        f"parameters     {total:,} ({trained:,} trained)",
        f"memory         {state:,.0f} MiB for parameters, gradients and Adam's state; "
        f"{_peak_memory() / 2**20:,.0f} MiB at the peak of these steps, measured",
        f"first step     {seconds[0]:.1f} s with compilation",
        f"one step       {1000 * min(seconds[1:]):,.0f} ms; {training.steps:,} steps take about {hours:,.1f} h",
    ]


def _peak_memory():
    """Bytes at the peak so far: of the accelerator's memory, or of the process where it is the CPU's."""
    import mindspore as ms

    if ms.get_context("device_target") == "CPU":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # KiB on Linux
    return ms.runtime.max_memory_allocated()
