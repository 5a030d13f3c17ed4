"""A training run from its first step to its last, through interruptions, on one rank or many."""

import contextlib
import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tqdm.contrib.logging import logging_redirect_tqdm

from ..config.loader import config_to_dict, dump_yaml
from ..errors import UserError
from ..families.registry import config_of
from ..host.ranks import World
from ..host.tracking import Tracker, open_tracker
from ..metrics.evaluate import BASELINE
from ..weights.checkpoint import config_json
from .distributed import broadcast, broadcast_numbers, check_same
from .loop import Diverged, LossLimit, Progress, progress_in, train
from .run_folder import RunFolder
from .trainer import Training, training_of

_PATHS = (  # may differ from host to host
    "data.train", "data.val", "data.test", "train.init", "encoder.checkpoint", "generator.checkpoint",
    "discriminator.checkpoint", "perceptual.weights", "distill.teacher",
)  # fmt: skip
_FORMATS = {"psnr": "PSNR {:.2f} dB", "ssim": "SSIM {:.4f}", "lr_psnr": "LR-PSNR {:.2f} dB", "lpips": "LPIPS {:.4f}"}
_FORMATS["loss"] = "loss {:.4g}"
_REMEDY = "try a smaller train.lr, or a longer train.warmup_steps"


def run_training(config, output, resume=False, world=None):
    """Train, validate and save; the folder ``output`` holds everything (see ``src.training.run_folder``).

    ``world`` has the ranks that train together, of which the first alone uses the folder; None is one alone. ``resume``
    goes on from the newest checkpoint.
    """
    world = world or World()
    with contextlib.ExitStack() as stack:
        folder = checkpoint = None
        done = 0, 0
        if resume:
            if world.is_first:
                folder = stack.enter_context(contextlib.closing(RunFolder(output, resume)))
                checkpoint = folder.newest()
                done = _progress_in(checkpoint).counts()[:2] if checkpoint else done
                if not checkpoint:
                    logging.info("no checkpoint in %s: beginning at step 0", folder.path)
            done = broadcast_numbers(done, world)
        training = training_of(config, world, world.is_first and checkpoint is None, done)
        if world.is_first and not resume:  # what is wrong with the data shows before there is a folder
            folder = stack.enter_context(contextlib.closing(RunFolder(output, resume)))
        run = _run_of(config, training, folder)
        stack.push(run.close)
        run.start(checkpoint)
        run.train()


def _run_of(config, training, folder):
    settings = config.train
    open_log = partial(
        open_tracker, folder.path, tensorboard=settings.tensorboard, wandb=settings.wandb,
        project=settings.wandb_project, name=config.name, config=config_to_dict(config),
    ) if folder else None  # fmt: skip
    intervals = {name: getattr(config.train, name) for name in ("max_skipped", "log_every", "val_every", "save_every")}
    return Run(
        training, folder, name=config.name, settings=_settings(config), config_json=config_json(config),
        config_yaml=dump_yaml(config), open_log=open_log, best_metric=settings.best_metric, keep=settings.keep,
        log_pictures=settings.log_pictures, max_loss_ratio=settings.max_loss_ratio, intervals=intervals,
    )  # fmt: skip


@dataclass(eq=False)
class Run:
    training: Training
    folder: RunFolder | None  # None on all ranks but the first, which write nothing
    name: str  # of the experiment
    settings: dict  # all of them by their full names
    config_json: str  # the configuration, for checkpoints
    config_yaml: str  # and for the folder
    open_log: Callable | None  # ``open_log(step=…)`` → the ``Tracker`` from that step on; None as the folder
    best_metric: str  # that decides which validation was the best
    keep: int  # checkpoints
    log_pictures: int  # how many results of a validation are logged
    max_loss_ratio: float  # of ``LossLimit``
    intervals: dict  # the arguments of ``train`` that say what happens how often
    progress: Progress | None = None
    limit: LossLimit | None = None
    tracker: Tracker = field(default_factory=Tracker)
    under_way: bool = False  # nothing but the training itself ends it from now on

    def close(self, kind=None, *_):
        self.tracker.close(failed=kind is not None)

    def start(self, checkpoint):
        """Begin, or take up where a checkpoint is; UserError if that is beyond the end, or the ranks differ."""
        training, world = self.training, self.training.world
        if checkpoint:
            if checkpoint.step > training.steps:
                raise UserError(
                    f"{self.folder.path} has done {checkpoint.step} steps, but train.steps is {training.steps}: "
                    f"set it to {checkpoint.step} or more"
                )
            for name, value in _settings(config_of(checkpoint)).items():
                now = self.settings.get(name, value)
                if now != value:
                    logging.warning("%s was %s when the run was started and is %s now", name, value, now)
        plan = {name: value for name, value in self.settings.items() if name not in _PATHS}
        pictures = [pair.name for pair in training.validation.pairs]
        plan |= {"number of pictures": training.pictures, "validation pictures": pictures, "steps": training.steps}
        check_same(plan, world)
        self._continue_from(checkpoint)
        logging.info(
            "%s: steps %d to %d, %d pictures%s", self.name, self.progress.step, training.steps, training.pictures,
            f", {world.size} devices" if world.size > 1 else "",
        )  # fmt: skip

    def train(self):
        """Train to the end, going back to the last checkpoint where it diverges; write the result."""
        steps = self.training.steps
        if not (self.progress.step == steps and self._is_validated()):
            self.training.validation.compile()
            with logging_redirect_tqdm():
                self._validate_if_missed()
                while (done := self.progress.step) < steps:
                    try:
                        self._train()
                    except Diverged as error:
                        self._go_back(error)
                    else:
                        if self.progress.step == done:
                            raise RuntimeError(f"no batch came after step {done}")
        if self.progress.skipped_in_row >= steps:
            raise UserError(f"all {steps} steps were skipped: {_REMEDY}")
        if self.folder:
            path = self.folder.save_result(self.training.weights(), self.config_json, steps)
            for file in (path, path.with_name("best.ckpt")):
                if file.exists():  # no validation picture may have had a score
                    self.tracker.file(file)
            logging.info("finished: %s", path)

    def _continue_from(self, checkpoint):
        """Make every rank stand where the first does: at a checkpoint, or at the beginning."""
        training, world = self.training, self.training.world
        progress, losses = Progress(), []
        if self.folder:
            if checkpoint:
                training.restore(checkpoint)
                progress = _progress_in(checkpoint)
            self.folder.start_at(progress.step, self.config_yaml)
            losses = self.folder.losses()
        broadcast(training.state().values(), world)
        *numbers, count = broadcast_numbers([*progress.counts(), len(progress.losses)], world)
        rest = broadcast_numbers([*progress.losses, *losses], world)
        self.progress = Progress(*numbers, losses=rest[:count])
        self.limit = LossLimit(self.max_loss_ratio, rest[count:])
        training.update.skip_above(self.limit.value)
        if self.folder:
            self._open_log(progress.step)
        self.under_way = True

    def _open_log(self, step):
        self.tracker.close()  # of before a divergence: what was logged since is to be removed
        try:
            self.tracker = self.open_log(step=step)
        except UserError as error:
            if not self.under_way:
                raise
            logging.warning("%s", error)
            self.tracker = Tracker()

    def _train(self):
        training = self.training
        train(
            *training.steps_from(self.progress), progress=self.progress, last_step=training.steps,
            samples=training.samples, learning_rate_at=training.schedule.at, log=self._log, validate=self._validate,
            save=self._save, save_interrupted=self._save_interrupted, bar=training.world.is_first, **self.intervals,
        )  # fmt: skip

    def _go_back(self, error):
        """Take up the last checkpoint, or the one before if that was, with the data after what it diverged on.

        The checkpoint is written anew with what is to be different from now on, so that a run that is interrupted after
        this goes on in the same way.
        """
        samples = self.progress.samples
        self._continue_from(self._checkpoint_to_go_back_to(error) if self.folder else None)
        self.progress.samples, self.progress.skipped_in_row = samples, 0
        self.progress.returns += 1
        self._save(self.progress)

    def _checkpoint_to_go_back_to(self, error):
        checkpoint = self.folder.newest("step")
        if checkpoint is None:
            raise UserError(f"{error}, and there is no checkpoint to go back to: {_REMEDY}")
        if _progress_in(checkpoint).returns:
            older = self.folder.before(checkpoint)
            if older is None:
                raise UserError(f"{error}, again after going back to step {checkpoint.step}: {_REMEDY}, and --resume")
            checkpoint = older
        self.folder.discard_after(checkpoint.step)
        logging.warning("%s: going back to step %d, to go on with other data", error, checkpoint.step)
        return checkpoint

    def _log(self, row):
        if self.folder:
            self.folder.add_curve(row)
            if row.skipped:
                text = "step %d: %d of the last steps skipped, loss or gradient not believed"
                logging.warning(text, row.step, row.skipped)
            values = dataclasses.asdict(row)
            values |= values.pop("parts")
            values = {f"train/{name}": value for name, value in values.items() if name != "step"}
            if self.training.scaler is not None:
                values["train/loss_scale"] = float(self.training.scaler.scale_value.asnumpy())
            self.tracker.scalars(row.step, values)
        # as it was written, so that a resumed run, which reads it, has the same limit
        self.limit.add(float(f"{row.loss:.6g}"))
        self.training.update.skip_above(self.limit.value)

    def _save(self, progress):
        if self.folder:
            self.folder.save(self.training.state() | progress.arrays(), self.config_json, progress.step, self.keep)
            self.tracker.saved(progress.step)

    def _save_interrupted(self, progress):
        if self.folder:
            self.folder.save_interrupted(self.training.state() | progress.arrays(), self.config_json, progress.step)

    def _validate(self, step):
        strips = {}

        def keep(name, method, sr):
            if method != BASELINE and len(strips) < self.log_pictures:
                strips[f"val/{name}"] = self.training.validation.shown(name, sr)

        report = self.training.validate(keep=keep if self.tracker else None)
        if not self.folder:
            return
        name, metric = self.name, self.best_metric
        means = {method: report.mean(method) for method in report.scores}
        if self.folder.improves(name, metric, getattr(means[name], metric)):
            self.folder.save_best(self.training.weights(), self.config_json, step)
        self.folder.add_validation(step, means)  # last: where it stands, the validation is done
        for method, mean in means.items():
            logging.info("step %d %s: %s", step, method, _shown(mean))
            group = "val" if method == name else method
            self.tracker.scalars(step, {f"{group}/{key}": value for key, value in dataclasses.asdict(mean).items()})
        self.tracker.pictures(step, strips)

    def _validate_if_missed(self):
        """Validate where the run was interrupted between saving and validating."""
        step, every = self.progress.step, self.intervals["val_every"]
        due = step > 0 and (step == self.training.steps or (every and step % every == 0))
        if due and not self._is_validated():
            self._validate(step)

    def _is_validated(self):
        """The first rank's answer, on every rank."""
        answer = bool(self.folder) and self.folder.validated(self.progress.step, self.name)
        return bool(broadcast_numbers([int(answer)], self.training.world)[0])


def _settings(config):
    named = {}
    for name, value in config_to_dict(config).items():
        named |= {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
    return named


def _progress_in(checkpoint):
    return progress_in(checkpoint.arrays, checkpoint.step, config_of(checkpoint).train.batch_size)


def _shown(mean):
    """The scores as text; pictures may be too small for one, and LPIPS may not have been asked for."""
    scores = {form: getattr(mean, key, None) for key, form in _FORMATS.items()}
    return ", ".join(form.format(score) for form, score in scores.items() if score is not None)
