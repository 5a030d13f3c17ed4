"""The loop: when it logs, validates and saves, skipped steps, interruptions, and which losses are believed."""

import math
import signal
from itertools import islice

import numpy as np
import pytest

from src.training.loop import Diverged, LossLimit, Progress, train

NAN = float("nan")


class Scalar:
    """A tensor on a device; fetching it is counted."""

    fetched = 0

    def __init__(self, value):
        self.value = value

    def asnumpy(self):
        Scalar.fetched += 1
        return np.float32(self.value)


class Run:
    """A training run whose loss at step k (from 1) is ``losses(k)``; everything that happens is recorded.

    A step whose loss is NaN is skipped.
    """

    def __init__(self, losses=lambda k: k, interrupt_at=None, error=KeyboardInterrupt, progress=None):
        self.losses, self.interrupt_at, self.error = losses, interrupt_at, error
        self.progress = progress or Progress()
        self.events, self.rows, self.fetches, self.saved = [], [], [], []
        Scalar.fetched = 0

    def batches(self, first, last):
        for number in range(first, last):
            if number == self.interrupt_at:
                raise self.error
            yield number

    def step(self, number):
        self.fetches.append(Scalar.fetched)
        loss = self.losses(number + 1)
        return Scalar(loss), Scalar(number), Scalar(not math.isnan(loss))

    def save(self, progress, event="save"):
        self.events.append((event, progress.step))
        self.saved.append(Progress(*progress.counts(), losses=list(progress.losses)))

    def log(self, row):
        self.events.append(("log", row.step))
        self.rows.append(row)

    def __call__(self, last=10, **options):
        train(
            self.step, self.batches(self.progress.step, last), progress=self.progress, last_step=last, samples=2,
            learning_rate_at=lambda step: step / 100, log=self.log,
            validate=lambda step: self.events.append(("validate", step)), save=self.save,
            save_interrupted=lambda progress: self.save(progress, "interrupted"), **options,
        )  # fmt: skip
        return self

    def named(self, name):
        return [event[1] for event in self.events if event[0] == name]


def lines(run):
    return [(row.step, row.loss, row.learning_rate, row.gradient_norm, row.skipped) for row in run.rows]


def test_it_logs_the_mean_loss_and_the_rate_of_the_last_step():
    run = Run()(log_every=4)
    assert lines(run) == [(4, 2.5, 0.03, 3, 0), (8, 6.5, 0.07, 7, 0), (10, 9.5, 0.09, 9, 0)]
    assert all(row.samples_per_second > 0 and 0 <= row.waiting <= 1 for row in run.rows)
    assert (run.progress.step, run.progress.samples) == (10, 20)


def test_it_saves_and_validates_when_it_is_time_and_at_the_end():
    run = Run()(log_every=100, save_every=3, val_every=5)
    assert run.named("save") == [3, 6, 9, 10] and run.named("validate") == [5, 10]
    run = Run()(log_every=100, save_every=100, val_every=0)
    assert run.named("save") == run.named("validate") == [10]
    assert run.events.index(("save", 10)) < run.events.index(("validate", 10))


@pytest.mark.parametrize("stop", range(1, 10))
@pytest.mark.parametrize("losses", [lambda k: k, lambda k: NAN if k in (2, 5, 6) else k], ids=["taken", "skipped"])
def test_a_run_resumed_from_any_step_logs_what_an_uninterrupted_one_does(stop, losses):
    whole = Run(losses)(log_every=4)
    first = Run(losses, interrupt_at=stop)
    with pytest.raises(KeyboardInterrupt):
        first(log_every=4)
    second = Run(losses, progress=first.saved[-1])(log_every=4)
    np.testing.assert_equal(lines(first) + lines(second), lines(whole))
    assert second.progress.samples == 20


def test_the_device_is_waited_for_only_to_log_and_to_save():
    run = Run()(log_every=5, save_every=100)
    assert run.fetches[:5] == [0] * 5 and len(set(run.fetches[5:])) == 1


def test_the_time_spent_waiting_for_data_is_measured(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("src.training.loop.time.perf_counter", lambda: clock[0])

    class Slow(Run):
        def batches(self, first, last):
            for number in range(first, last):
                clock[0] += 3
                yield number

        def step(self, number):
            clock[0] += 1
            return super().step(number)

    run = Slow()(log_every=5)
    assert [(row.waiting, row.samples_per_second) for row in run.rows] == [(0.75, 0.5)] * 2


def test_skipped_steps_are_counted_and_left_out_of_the_mean():
    run = Run(lambda k: NAN if k in (2, 3) or k > 8 else k)(log_every=4)
    np.testing.assert_equal(
        lines(run), [(4, 2.5, 0.03, 3, 2), (8, 6.5, 0.07, 7, 0), (10, NAN, 0.09, 9, 2)]
    )  # fmt: skip


def test_too_many_skipped_steps_in_a_row_end_it_and_are_never_saved():
    run = Run(lambda k: NAN if k >= 5 else 1.0)
    with pytest.raises(Diverged, match="the training diverged: up to step 8, 4 steps in a row were skipped") as raised:
        run(20, log_every=2, save_every=3, max_skipped=4)
    assert raised.value.step == 8 and run.named("save") == [3]


def test_a_checkpoint_that_is_due_at_a_skipped_step_is_saved_at_the_next_that_is_not():
    run = Run(lambda k: NAN if k in (3, 4, 9) else 1.0)(12, log_every=100, save_every=3)
    assert run.named("save") == [5, 6, 10, 12]
    assert [progress.saved for progress in run.saved] == [5, 6, 10, 12]


@pytest.mark.parametrize("stop", range(1, 12))
def test_a_resumed_run_saves_where_an_uninterrupted_one_does(stop):
    def losses(k):
        return NAN if k in (3, 4, 9) else 1.0

    first = Run(losses, interrupt_at=stop)
    with pytest.raises(KeyboardInterrupt):
        first(12, log_every=100, save_every=3)
    second = Run(losses, progress=first.saved[-1])(12, log_every=100, save_every=3)
    assert first.named("save") + second.named("save") == [5, 6, 10, 12]


def test_steps_skipped_before_an_interruption_count():
    run = Run(lambda k: NAN, progress=Progress(6, 12, skipped_in_row=2))
    with pytest.raises(Diverged, match="up to step 8, 4 steps in a row"):
        run(20, log_every=1, max_skipped=4)


def test_single_skipped_steps_do_not_end_it():
    run = Run(lambda k: NAN if k % 2 else 1.0)(40, log_every=5, max_skipped=2)
    assert sum(row.skipped for row in run.rows) == 20


def test_an_interruption_saves_and_goes_on(caplog):
    caplog.set_level("INFO")
    run = Run(interrupt_at=4)
    with pytest.raises(KeyboardInterrupt):
        run(log_every=100, save_every=100)
    assert run.named("interrupted") == [4] and run.saved[0].losses == [1, 2, 3, 4] and run.named("save") == []
    assert "interrupted after step 4, which is saved: --resume goes on from there" in caplog.text


def test_an_interruption_before_the_first_step_saves_nothing():
    run = Run(interrupt_at=5, progress=Progress(5, 10))
    with pytest.raises(KeyboardInterrupt):
        run()
    assert run.events == []


def test_an_interruption_is_not_lost_where_the_run_is_about_to_diverge():
    run = Run(lambda k: NAN, interrupt_at=4)
    with pytest.raises(KeyboardInterrupt):
        run(log_every=100, save_every=100, max_skipped=3)
    assert run.named("interrupted") == [4] and run.saved[0].skipped_in_row == 4
    with pytest.raises(Diverged):  # when it is resumed
        Run(lambda k: NAN, progress=run.saved[0])(log_every=1, save_every=100, max_skipped=3)


@pytest.fixture(autouse=True)
def answered_interrupts():
    """Answer SIGINT also where the tests run in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_signal_in_the_step_that_diverges_wins():
    class Signalled(Run):
        def log(self, row):
            if row.step == 4:
                signal.raise_signal(signal.SIGINT)
            super().log(row)

    run = Signalled(lambda k: NAN)
    with pytest.raises(KeyboardInterrupt):
        run(log_every=1, save_every=100, max_skipped=4)
    assert run.named("interrupted") == [4]


def test_a_second_signal_waits_until_the_first_ones_checkpoint_is_saved():
    class Impatient(Run):
        def save(self, progress, event="save"):
            signal.raise_signal(signal.SIGINT)
            super().save(progress, event)

    run = Impatient(interrupt_at=4)
    with pytest.raises(KeyboardInterrupt):
        run(log_every=100, save_every=100)
    assert run.named("interrupted") == [4]


def test_an_error_of_the_data_comes_through():
    def broken():
        yield from islice(range(10), 2)
        raise OSError("gone")

    run = Run()
    run.batches = lambda first, last: broken()
    with pytest.raises(OSError, match="gone"):
        run()
    assert run.events == [] and run.progress.step == 2


@pytest.mark.parametrize("place", ["step", "log", "save"])
def test_a_signal_while_a_step_is_done_waits_for_its_end(place):
    """So that no line of the log is lost, and none comes twice."""
    whole = Run()(log_every=1, save_every=100)

    class Signalled(Run):
        def at(self, name, step):
            if name == place and step == 4:
                signal.raise_signal(signal.SIGINT)

        def step(self, number):
            self.at("step", number + 1)
            return super().step(number)

        def log(self, row):
            self.at("log", row.step)
            super().log(row)

        def save(self, progress, event="save"):
            if event == "save":
                self.at("save", progress.step)
            super().save(progress, event)

    first = Signalled()
    with pytest.raises(KeyboardInterrupt):
        first(log_every=1, save_every=4)
    second = Run(progress=first.saved[-1])(log_every=1, save_every=100)
    assert first.progress.step == 4 and lines(first) + lines(second) == lines(whole)


def test_the_loss_has_no_limit_without_enough_lines():
    limit = LossLimit(10, [1.0, math.nan, 2.0, 3.0, math.inf, 4.0])
    assert limit.value == math.inf
    limit.add(2.0)
    assert limit.value == 20


def test_nan_is_never_taken_into_the_limit():
    limit = LossLimit(10, [1.0] * 5)
    limit.add(math.nan)
    assert limit.value == 10 and len(limit.losses) == 5


def test_the_limit_follows_the_last_twenty_lines_and_not_their_outliers():
    limit = LossLimit(10, [100.0] * 20)
    for _ in range(11):
        limit.add(1.0)
    assert limit.value == 10
    for _ in range(9):
        limit.add(1e9)
    assert limit.value == 10


def test_a_resumed_run_has_the_same_limit():
    losses = [0.5 + 0.1 * math.sin(k) for k in range(50)]
    limit = LossLimit(30)
    for loss in losses:
        limit.add(loss)
    assert LossLimit(30, losses).value == limit.value


def test_ratio_zero_has_no_limit():
    assert LossLimit(0, [1.0] * 9).value == math.inf
