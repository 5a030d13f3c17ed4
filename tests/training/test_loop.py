"""The loop: when it logs, validates and saves, and what a NaN or an interruption does."""

import numpy as np
import pytest

from src.errors import UserError
from src.interrupts import Terminated
from src.training.loop import train


class Scalar:
    """A tensor on a device; fetching it is counted."""

    fetched = 0

    def __init__(self, value):
        self.value = value

    def asnumpy(self):
        Scalar.fetched += 1
        return np.float32(self.value)


class Run:
    """A training run whose loss at step k (from 1) is ``losses(k)``; everything that happens is recorded."""

    def __init__(self, losses=lambda k: k, norms=lambda k: 1, interrupt_at=None, error=KeyboardInterrupt):
        self.losses, self.norms, self.interrupt_at, self.error = losses, norms, interrupt_at, error
        self.events, self.steps, self.fetches = [], 0, []
        Scalar.fetched = 0

    def batches(self, count):
        for number in range(count):
            if number == self.interrupt_at:
                raise self.error
            yield (number,)

    def step(self, number):
        self.steps += 1
        self.fetches.append(Scalar.fetched)
        return Scalar(self.losses(number + 1)), Scalar(self.norms(number + 1))

    def __call__(self, first=0, last=10, **options):
        train(
            self.step, self.batches(last - first), first_step=first, last_step=last, batch_size=2,
            learning_rate_at=lambda step: step / 100, log=lambda *row: self.events.append(("log", *row[:4])),
            validate=lambda step: self.events.append(("validate", step)),
            save=lambda step: self.events.append(("save", step)), **options,
        )  # fmt: skip
        return self.events

    def named(self, name):
        return [event[1] for event in self.events if event[0] == name]


def test_it_logs_the_mean_loss_and_the_rate_of_the_last_step():
    events = Run()(log_every=4)
    assert [event for event in events if event[0] == "log"] == [
        ("log", 4, 2.5, 0.03, 1), ("log", 8, 6.5, 0.07, 1), ("log", 10, 9.5, 0.09, 1),
    ]  # fmt: skip


def test_it_saves_and_validates_when_it_is_time_and_at_the_end():
    run = Run()
    run(log_every=100, save_every=3, val_every=5)
    assert run.named("save") == [3, 6, 9, 10] and run.named("validate") == [5, 10]
    run = Run()
    run(log_every=100, save_every=100, val_every=0)
    assert run.named("save") == run.named("validate") == [10]
    assert run.events.index(("save", 10)) < run.events.index(("validate", 10))


def test_a_resumed_run_counts_from_where_it_was():
    run = Run()
    run(first=6, last=10, log_every=4, save_every=4, val_every=0)
    assert run.steps == 4 and run.named("save") == [8, 10] and run.named("log") == [8, 10]


def test_the_device_is_waited_for_only_to_log_and_to_save():
    run = Run()
    run(log_every=5, save_every=100)
    assert run.fetches[:5] == [0] * 5 and len(set(run.fetches[5:])) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_a_number_ends_the_run_and_is_never_saved(what, value):
    spoilt = {"loss": "losses", "gradient": "norms"}[what]
    run = Run(**{spoilt: lambda k: value if k >= 5 else 1.0})
    with pytest.raises(UserError, match=f"the {what} became {value} by step 6: .*--resume and a smaller train.lr"):
        run(log_every=100, save_every=3)
    assert run.named("save") == [3]


@pytest.mark.parametrize("error", [KeyboardInterrupt, Terminated])
def test_an_interruption_saves_and_goes_on(error, caplog):
    caplog.set_level("INFO")
    run = Run(interrupt_at=4, error=error)
    with pytest.raises(error):
        run(log_every=100, save_every=100)
    assert run.named("save") == [4]
    assert "interrupted after step 4, which is saved: --resume goes on from there" in caplog.text


def test_an_interruption_before_the_first_step_saves_nothing():
    run = Run(interrupt_at=0)
    with pytest.raises(KeyboardInterrupt):
        run(first=5)
    assert run.events == []


def test_an_interruption_after_a_nan_saves_nothing():
    run = Run(losses=lambda k: float("nan"), interrupt_at=4)
    with pytest.raises(UserError, match="the loss became nan"):
        run(log_every=100, save_every=100)
    assert run.events == []
