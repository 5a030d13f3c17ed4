"""The training loop: it knows steps, logs and when to save, not what is being trained."""

import logging
import math
import time
from collections import deque
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from tqdm import tqdm

from ..host.signals import held_back

COUNTS, LOSSES = "run.counts", "run.losses"  # the names in a checkpoint
_WINDOW = 20  # log lines that the limit of the loss is made from
_ENOUGH = 5  # log lines before which there is no limit


@dataclass
class Progress:
    """Where a run stands; a checkpoint keeps it, so that what comes after is the same as without an interruption."""

    step: int = 0  # optimiser steps done
    # samples seen, by all devices: the number of the next. It is not a function of the step, for the number of devices
    # may change, and going back to a checkpoint leaves data out.
    samples: int = 0
    skipped_in_row: int = 0  # steps skipped in a row up to the last fetched one
    saved: int = 0  # the step of the last checkpoint that was saved because it was time
    returns: int = 0  # how often a run that diverged went back to that checkpoint
    losses: list = field(default_factory=list)  # since the last log line, with NaN for skipped steps

    def counts(self):
        return [self.step, self.samples, self.skipped_in_row, self.saved, self.returns]

    def arrays(self):
        """What a checkpoint keeps beside its step: name → array."""
        arrays = {COUNTS: np.array(self.counts()[1:], np.int64)}
        return arrays | {LOSSES: np.array(self.losses, np.float32)} if self.losses else arrays


def progress_in(arrays, step, batch_size):
    """The :class:`Progress` that a checkpoint keeps; one from before it was kept saw ``batch_size`` samples a step."""
    if COUNTS not in arrays:
        return Progress(step, step * batch_size, saved=step)
    losses = arrays[LOSSES].tolist() if LOSSES in arrays else []
    return Progress(step, *arrays[COUNTS].tolist(), losses=losses)


@dataclass(frozen=True)
class Row:
    """What one line of the log says of the steps since the line before."""

    step: int  # steps done
    loss: float  # mean of the steps that were taken; NaN if none was
    learning_rate: float  # of the last step
    gradient_norm: float  # of the last step, before clipping
    skipped: int  # steps that were not taken, since their loss or gradient was not finite or far too large
    samples_per_second: float  # over all devices; not a function of the run, like what follows
    waiting: float  # share of the time, 0…1, that was spent waiting for data
    parts: dict = field(default_factory=dict)  # name → a part of the loss, or another objective's, of the last step


class Diverged(Exception):
    """The last steps, up to ``step``, were all skipped: the weights lead nowhere any more."""

    def __init__(self, step, skipped):
        super().__init__(f"the training diverged: up to step {step}, {skipped} steps in a row were skipped")
        self.step = step


def train(
    step_function, batches, *, progress, last_step, samples, learning_rate_at, log, validate, save, save_interrupted,
    max_skipped=25, log_every=100, val_every=0, save_every=5000, bar=True,
):  # fmt: skip
    """Run optimiser steps progress.step … last_step − 1, one for each of the batches, and keep ``progress`` up to date.

    Args:
        step_function: ``step_function(batch)`` → loss, gradient norm and whether the step was taken, scalar tensors,
            and parts of losses as of ``src.training.step.JointStep``, or none.
        samples: pictures in a step, over all devices, for the speed that is shown.
        learning_rate_at: step → float, to be shown and logged.
        log: ``log(row)``, every ``log_every`` steps and at the end, with a :class:`Row`.
        validate: ``validate(step)``, every ``val_every`` steps (0: never) and at the end.
        save: ``save(progress)``, every ``save_every`` steps and at the end; never after a step that was skipped, but
            after the next that was not.
        save_interrupted: ``save_interrupted(progress)``, before a KeyboardInterrupt goes on.
        max_skipped: so many skipped steps in a row, with nothing saved since the first, raise :class:`Diverged`.
    """
    shown = tqdm(
        total=last_step, initial=progress.step, unit="step", desc="train", dynamic_ncols=True, disable=not bar
    )  # fmt: skip
    window = _Window(progress, samples)
    first = progress.step
    try:
        for batch in _timed(batches, window):
            with held_back():  # an update, its count, its line in the log and its checkpoint stay together
                window.add(*step_function(batch))
                done = progress.step
                if done % log_every == 0 or done == last_step:
                    row = window.close(learning_rate_at(done - 1))
                    shown.set_postfix_str(_text(row), refresh=False)
                    log(row)
                shown.update(1)
                due = done // save_every > progress.saved // save_every or done == last_step
                if due:
                    window.fetch()
                    if not progress.skipped_in_row:
                        progress.saved, progress.returns = done, 0
                        save(progress)
            if progress.skipped_in_row >= max_skipped:
                raise Diverged(done, progress.skipped_in_row)
            if (val_every and done % val_every == 0) or done == last_step:
                validate(done)
                window.restart()
    except KeyboardInterrupt:
        with held_back():  # a second signal waits
            if progress.step > first:
                window.fetch()
                save_interrupted(progress)
                logging.info("interrupted after step %d, which is saved: --resume goes on from there", progress.step)
        raise
    finally:
        shown.close()


class LossLimit:
    """The largest loss that is believed: ``ratio`` times the median of the last log lines; 0 for no limit."""

    def __init__(self, ratio, losses=()):
        self.ratio = ratio
        self.losses = deque((loss for loss in losses if math.isfinite(loss)), maxlen=_WINDOW)

    def add(self, loss):
        if math.isfinite(loss):
            self.losses.append(loss)

    @property
    def value(self):
        """The limit; infinity without enough log lines, and where losses cross 0, as a hinge's may."""
        if not self.ratio or len(self.losses) < _ENOUGH or min(self.losses) <= 0:
            return math.inf
        return self.ratio * median(self.losses)


class _Window:
    """Losses and time since the last log line; losses stay on the device until they are asked for."""

    def __init__(self, progress, samples):
        self.progress, self.samples = progress, samples
        self.pending = []
        self.restart()

    def restart(self):
        self.start = time.perf_counter()
        self.waited = 0.0
        self.count = 0

    def add(self, loss, norm, taken, parts=()):
        self.pending.append((loss, taken))
        self.norm, self.parts = norm, parts
        self.count += 1
        self.progress.step += 1
        self.progress.samples += self.samples

    def fetch(self):
        progress = self.progress
        pending, self.pending = self.pending, []
        for loss, taken in pending:
            taken = bool(taken.asnumpy())
            progress.losses.append(float(loss.asnumpy()) if taken else math.nan)
            progress.skipped_in_row = 0 if taken else progress.skipped_in_row + 1

    def close(self, learning_rate):
        """The :class:`Row` of the steps since the last; begin anew."""
        self.fetch()
        progress = self.progress
        losses = np.array(progress.losses)
        taken = losses[~np.isnan(losses)]
        seconds = max(time.perf_counter() - self.start, 1e-9)
        row = Row(
            step=progress.step, loss=float(taken.mean()) if taken.size else math.nan, learning_rate=learning_rate,
            gradient_norm=float(self.norm.asnumpy()), skipped=int(losses.size - taken.size),
            samples_per_second=self.count * self.samples / seconds, waiting=self.waited / seconds,
            parts=_numbers(self.parts),
        )  # fmt: skip
        progress.losses = []
        self.restart()
        return row


def _timed(batches, window):
    """Pass the batches on, and tell the window how long each was waited for."""
    start = time.perf_counter()
    for batch in batches:
        window.waited += time.perf_counter() - start
        yield batch
        start = time.perf_counter()


def _numbers(parts):
    return {name: value for names, part in parts for name, value in zip(names, part.asnumpy().tolist(), strict=True)}


def _text(row):
    skipped = f", {row.skipped} skipped" if row.skipped else ""
    return (
        f"loss {row.loss:.4f}, lr {row.learning_rate:.2e}, {row.samples_per_second:.1f} samples/s, "
        f"{row.waiting:.0%} waiting for data{skipped}"
    )
