"""A training run from its first step to its last, through interruptions, on one rank or many."""

import contextlib
import dataclasses
import logging
from functools import partial

from tqdm.contrib.logging import logging_redirect_tqdm

from src.build import config_json, config_of
from src.build_training import Training
from src.config.loader import config_to_dict, dump_yaml
from src.errors import UserError
from src.imaging.strip import strip
from src.metrics.evaluate import BASELINE, METRICS
from src.tracking import Tracker, open_tracker


def run_training(config, output, resume=False, world=None):
    """Train, validate and save; the folder ``output`` holds everything (see ``src.training.run_folder``).

    Args:
        config: a checked ``Config``.
        output: the run's folder; only the first rank uses it.
        resume: go on from the newest checkpoint.
        world: the ranks that train together; None for one alone.

    Raises:
        UserError: a file is missing or cannot be written, the run's folder is in use, or the training has diverged.
    """
    from src.training.run_folder import RunFolder, holds_checkpoints

    training = Training(config, world, pretrained=not (resume and holds_checkpoints(output)))
    with contextlib.ExitStack() as stack:
        folder = None
        if training.world.is_first:
            folder = stack.enter_context(contextlib.closing(RunFolder(output, resume)))
        run = Run(training, folder)
        stack.push(run.close)
        run.start(resume)
        run.train()


class Run:
    """A run under way.

    Args:
        training: a ``Training``.
        folder: the ``RunFolder``; None on all ranks but the first, which write nothing.
    """

    def __init__(self, training, folder):
        self.training, self.folder = training, folder
        self.config = training.config
        self.text = config_json(self.config)
        self.progress = None
        self.limit = None
        self.tracker = Tracker()
        self.went_back_to = None

    def close(self, kind=None, *_):
        """End the logs; ``kind`` of error ended the run."""
        self.tracker.close(failed=kind is not None)

    def start(self, resume):
        """Begin, or take up where the newest checkpoint is.

        Raises:
            UserError: no checkpoint is whole, or it is beyond the end of the run.
        """
        checkpoint = self.folder.newest() if resume and self.folder else None
        if checkpoint:
            if checkpoint.step > self.training.steps:
                raise UserError(
                    f"{self.folder.path} has done {checkpoint.step} steps, but train.steps is {self.training.steps}: "
                    f"set it to {checkpoint.step} or more"
                )
            _tell_changes(config_of(checkpoint), self.config)
        self._continue_from(checkpoint)
        logging.info(
            "%s: steps %d to %d, %d pictures%s", self.config.name, self.progress.step, self.training.steps,
            len(self.training.patches), _shared_by(self.training.world),
        )  # fmt: skip

    def train(self):
        """Train to the end, going back to the last checkpoint where it diverges; write the result.

        Raises:
            UserError: it diverged again before the next checkpoint, or before the first.
        """
        from src.training.loop import Diverged

        if not self._is_finished():
            self.training.validation.compile()
            with logging_redirect_tqdm():
                self._validate_if_missed()
                while self.progress.step < self.training.steps:
                    try:
                        self._train()
                    except Diverged as error:
                        self._go_back(error)
        if self.folder:
            path = self.folder.save_result(self.training.weights(), self.text, self.training.steps)
            for file in (path, path.with_name("best.ckpt")):
                if file.exists():  # no validation picture may have had a score
                    self.tracker.file(file)
            logging.info("finished: %s", path)

    def _continue_from(self, checkpoint):
        """Make every rank stand where the first does: at a checkpoint, or at the beginning."""
        from src.training.distributed import broadcast, broadcast_numbers
        from src.training.divergence import LossLimit
        from src.training.loop import Progress

        training, world = self.training, self.training.world
        progress, losses = Progress(), []
        if self.folder:
            if checkpoint:
                training.restore(checkpoint)
                progress = _progress_in(checkpoint, training.samples)
            self.folder.start_at(progress.step, dump_yaml(self.config))
            losses = self.folder.losses()
        broadcast(training.state().values(), world)
        head = [progress.step, progress.samples, progress.skipped_in_row, len(progress.losses)]
        head = broadcast_numbers(head, world)
        tail = broadcast_numbers([*progress.losses, *losses], world)
        self.progress = Progress(*head[:3])
        self.progress.losses, losses = list(tail[: head[3]]), tail[head[3] :]
        self.limit = LossLimit(self.config.train.max_loss_ratio, losses)
        training.step.update.skip_above(self.limit.value)
        if self.folder:
            self.tracker.close()  # of before a divergence: what was logged since is to be removed
            self.tracker = _tracker(self.config, self.folder, progress.step)

    def _go_back(self, error):
        """Take up the last checkpoint after a divergence, with the data that come after what it diverged on."""
        from src.training.distributed import broadcast_numbers

        samples = self.progress.samples
        checkpoint = self.folder.newest() if self.folder else None
        (step,) = broadcast_numbers([checkpoint.step if checkpoint else -1], self.training.world)
        remedy = "try a smaller train.lr, or a longer train.warmup_steps"
        if step < 0:
            raise UserError(f"{error}, and there is no checkpoint to go back to: {remedy}")
        if step == self.went_back_to:
            raise UserError(f"{error}, again after going back to step {step}: {remedy}, and --resume")
        logging.warning("%s: going back to step %d, to go on with other data", error, step)
        self.went_back_to = step
        self._continue_from(checkpoint)
        self.progress.samples = samples

    def _train(self):
        from src.training.loop import train

        training = self.training
        settings = self.config.train
        train(
            *training.steps_from(self.progress), progress=self.progress, last_step=training.steps,
            samples=training.samples, learning_rate_at=training.schedule.at, log=self._log, validate=self._validate,
            save=self._save, max_skipped=settings.max_skipped, log_every=settings.log_every,
            val_every=settings.val_every, save_every=settings.save_every, bar=training.world.is_first,
        )  # fmt: skip

    def _log(self, row):
        if self.folder:
            self.folder.add_curve(row)
            values = {name: value for name, value in dataclasses.asdict(row).items() if name != "step"}
            if self.training.scaler is not None:
                values["loss_scale"] = float(self.training.scaler.scale_value.asnumpy())
            self.tracker.scalars(row.step, {f"train/{name}": value for name, value in values.items()})
        # as it was written, so that a resumed run, which reads it, has the same limit
        self.limit.add(float(f"{row.loss:.6g}"))
        self.training.step.update.skip_above(self.limit.value)

    def _save(self, progress):
        if self.folder:
            self.folder.save(
                self.training.state() | _arrays_of(progress), self.text, progress.step, self.config.train.keep
            )

    def _validate(self, step):
        strips = {}
        report = self.training.validate(keep=partial(self._keep_strip, strips))
        if not self.folder:
            return
        name, metric = self.config.name, self.config.train.best_metric
        best, score = self.folder.best(name, metric), getattr(report.mean(name), metric)
        for method in report.scores:
            mean = report.mean(method)
            self.folder.add_validation(step, method, mean)
            logging.info("step %d %s: %s", step, method, _shown(mean))
            group = "val" if method == name else method
            self.tracker.scalars(step, {f"{group}/{key}": getattr(mean, key) for key in METRICS})
        self.tracker.pictures(step, strips)
        if score is not None and (best is None or (score < best if metric == "lpips" else score > best)):
            self.folder.save_result(self.training.weights(), self.text, step, "best.ckpt")

    def _keep_strip(self, strips, name, method, sr):
        if method != BASELINE and len(strips) < self.config.train.log_pictures:
            hr, lr = self.training.validation.picture(name)
            strips[f"val/{name}"] = strip(lr, sr, hr)

    def _validate_if_missed(self):
        """Validate where the run was interrupted between saving and validating."""
        from src.training.distributed import broadcast_numbers

        step, every = self.progress.step, self.config.train.val_every
        due = step > 0 and (step == self.training.steps or (every and step % every == 0))
        missed = due and self.folder is not None and not self.folder.validated(step)
        if broadcast_numbers([int(missed)], self.training.world)[0]:
            self._validate(step)

    def _is_finished(self):
        from src.training.distributed import broadcast_numbers

        step = self.progress.step
        finished = step == self.training.steps and self.folder is not None and self.folder.validated(step)
        return bool(broadcast_numbers([int(finished)], self.training.world)[0])


def _tracker(config, folder, step):
    train = config.train
    return open_tracker(
        folder.path, tensorboard=train.tensorboard, wandb=train.wandb, project=train.wandb_project,
        name=config.name, config=config_to_dict(config), step=step,
    )  # fmt: skip


def _arrays_of(progress):
    """What a checkpoint keeps of the progress beside the step."""
    import numpy as np

    arrays = {"run.counts": np.array([progress.samples, progress.skipped_in_row], np.int64)}
    if progress.losses:
        arrays["run.losses"] = np.array(progress.losses, np.float32)
    return arrays


def _progress_in(checkpoint, samples):
    """The progress that a checkpoint keeps; one from before there was any has ``samples`` in each step."""
    from src.training.loop import Progress

    arrays, step = checkpoint.arrays, checkpoint.step
    seen, skipped = arrays["run.counts"].tolist() if "run.counts" in arrays else (step * samples, 0)
    return Progress(step, seen, skipped, arrays["run.losses"].tolist() if "run.losses" in arrays else [])


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


def _shared_by(world):
    return f", {world.size} devices" if world.size > 1 else ""


def _shown(mean):
    """The scores as text; pictures may be too small for one, and LPIPS may not have been asked for."""
    formats = {"psnr": "PSNR {:.2f} dB", "ssim": "SSIM {:.4f}", "lr_psnr": "LR-PSNR {:.2f} dB", "lpips": "LPIPS {:.4f}"}
    scores = {key: getattr(mean, key) for key in formats}
    return ", ".join(formats[key].format(score) for key, score in scores.items() if score is not None)
