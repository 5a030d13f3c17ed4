"""The training loop: it knows steps, logs and when to save, not what is being trained."""

import logging
import math
import time

import numpy as np
from tqdm import tqdm

from src.errors import UserError
from src.interrupts import held_back


def train(
    step_function, batches, *, first_step, last_step, batch_size, learning_rate_at,
    log, validate, save, log_every=100, val_every=0, save_every=5000,
):  # fmt: skip
    """Run optimiser steps first_step … last_step − 1.

    Args:
        step_function: ``step_function(*batch)`` → loss and gradient norm, scalar tensors.
        batches: iterable of tuples of tensors, one for each step.
        batch_size: pictures in a step, for the speed that is shown.
        learning_rate_at: step → float, to be shown and logged.
        log: ``log(step, loss, learning_rate, gradient_norm, samples_per_second)``, every ``log_every`` steps with the
            mean loss since the last call.
        validate: ``validate(step)``, every ``val_every`` steps (0: never) and at the end.
        save: ``save(step)``, every ``save_every`` steps, at the end, and when the user interrupts.

    Raises:
        UserError: the loss or the gradient is not a number any more; nothing is saved then.
        KeyboardInterrupt: after the checkpoint was saved.
    """
    bar = tqdm(total=last_step, initial=first_step, unit="step", desc="train", dynamic_ncols=True)
    window = _Window()
    done = first_step
    try:
        for batch in batches:
            with held_back():  # an update and its count stay together
                window.add(*step_function(*batch))
                done += 1
            if done % log_every == 0 or done == last_step:
                window.check(done)
                loss, norm, rate = window.close(batch_size)
                learning_rate = learning_rate_at(done - 1)
                bar.set_postfix_str(f"loss {loss:.4f}, lr {learning_rate:.2e}, {rate:.1f} samples/s", refresh=False)
                log(done, loss, learning_rate, norm, rate)
            bar.update(1)
            if done % save_every == 0 or done == last_step:
                window.check(done)
                with held_back():
                    save(done)
            if (val_every and done % val_every == 0) or done == last_step:
                validate(done)
                window.restart()
    except KeyboardInterrupt:
        if done > first_step:
            window.check(done)
            save(done)
            logging.info("interrupted after step %d, which is saved: --resume goes on from there", done)
        raise
    finally:
        bar.close()


class _Window:
    """Losses and time since the last log line; losses stay on the device until they are asked for."""

    def __init__(self):
        self.losses = []
        self.restart()

    def add(self, loss, norm):
        self.losses.append(loss)
        self.last = loss, norm
        self.count += 1

    def check(self, step):
        """Raise a UserError if the last step's loss or gradient is not a number: its update then spoilt the weights."""
        for name, value in zip(("loss", "gradient"), self.last, strict=True):
            if not math.isfinite(float(value.asnumpy())):
                raise UserError(
                    f"the {name} became {float(value.asnumpy())} by step {step}: go on from the last checkpoint "
                    "with --resume and a smaller train.lr"
                )

    def close(self, batch_size):
        """Return the mean loss, the last gradient norm and samples per second, and begin anew."""
        loss = float(np.mean([loss.asnumpy() for loss in self.losses]))
        norm = float(self.last[1].asnumpy())
        rate = self.count * batch_size / max(time.perf_counter() - self.start, 1e-9)
        self.losses = []
        self.restart()
        return loss, norm, rate

    def restart(self):
        """Begin to measure the time anew."""
        self.start = time.perf_counter()
        self.count = 0
