"""A run that diverges, or is interrupted in unlucky places; what its result is made of."""

import logging

import mindspore as ms
import numpy as np
import pytest

from src.errors import UserError
from src.host.device import select_device
from src.metrics.evaluate import Scores
from src.training.loop import Progress
from src.training.run import Run, run_training
from src.training.run_folder import RunFolder
from src.training.trainer import Training, training_of
from src.training.validation import Validation
from src.weights.checkpoint import load_checkpoint
from tests import tiny
from tests.event_files import logged

SETTINGS = "encoder.blocks=1", "train.steps=10", "train.max_skipped=2", "train.best_metric=lr_psnr"
NAN = float("nan")


@pytest.fixture(autouse=True)
def device(caplog):
    caplog.set_level(logging.INFO)
    select_device("CPU")


@pytest.fixture
def config(tiny_pictures):
    return tiny.config("rrdb", tiny_pictures, *SETTINGS)


@pytest.fixture
def spoil(monkeypatch):
    """``spoil(numbers)``: from now on batches whose first sample has one of these numbers are NaN."""
    batches = Training.batches

    def spoil(numbers, interrupt_at=None):
        def spoilt(training, progress):
            number = progress.samples
            for (hr, lr), *_ in batches(training, progress):
                if number == interrupt_at:
                    raise KeyboardInterrupt
                yield [(ms.Tensor(np.full(hr.shape, NAN, np.float32)) if number in numbers else hr, lr)]
                number += training.samples

        monkeypatch.setattr(Training, "batches", spoilt)

    return spoil


class Shown:
    """A report of one LR-PSNR."""

    scores = {"bicubic": None, "rrdb_lite_x4": None}

    def __init__(self, value):
        self.value = value

    def mean(self, method):
        return Scores(20.0, 0.5, None, self.value)


def curve(run):
    rows = [line.split(",") for line in (run / "curve.csv").read_text().splitlines()[1:]]
    return [int(row[0]) for row in rows], [int(row[4]) for row in rows]


def assert_same(one, two):
    for name in ("curve.csv", "validation.csv"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    for name in ("checkpoints/step_00000010.ckpt", "model.ckpt", "best.ckpt"):
        first, second = load_checkpoint(one / name), load_checkpoint(two / name)
        assert first.step == second.step and first.arrays.keys() == second.arrays.keys()
        for key in first.arrays:
            np.testing.assert_array_equal(first.arrays[key], second.arrays[key], err_msg=key)


@pytest.fixture(scope="module")
def run_with_a_bad_step(tiny_pictures, tmp_path_factory):
    """A run whose fourth step fails, and whose validations find 10, 30 and 20 dB; what it said."""
    select_device("CPU")
    folder, batches, scores = tmp_path_factory.mktemp("run") / "run", Training.batches, iter([10.0, 30.0, 20.0])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Training, "batches", lambda *arguments: spoilt(batches(*arguments), {3}))
        patched.setattr(Training, "validate", lambda training, keep: Shown(next(scores)))
        patched.setattr(Validation, "compile", lambda validation: None)
        run_training(tiny.config("rrdb", tiny_pictures, *SETTINGS, "train.val_every=4", "train.ema_decay=0.5"), folder)
    return folder


def spoilt(batches, numbers):
    for number, ((hr, lr), *_) in enumerate(batches):
        yield [(ms.Tensor(np.full(hr.shape, NAN, np.float32)) if number in numbers else hr, lr)]


def test_a_step_that_fails_is_skipped_and_counted(run_with_a_bad_step):
    run = run_with_a_bad_step
    assert curve(run) == (list(range(1, 11)), [0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    log = (run / "train.log").read_text(encoding="utf-8")
    assert "step 4: 1 of the last steps skipped" in log and "going back" not in log
    state = load_checkpoint(run / "checkpoints" / "step_00000010.ckpt").arrays
    assert state["optimizer.ema_updates"] == 9 and state["optimizer.global_step"] == 10
    assert all(np.isfinite(array).all() for array in state.values())


def test_the_best_validation_is_kept(run_with_a_bad_step):
    assert load_checkpoint(run_with_a_bad_step / "best.ckpt").step == 8
    assert load_checkpoint(run_with_a_bad_step / "model.ckpt").step == 10


def test_the_result_is_made_of_averages(run_with_a_bad_step):
    assert_made_of(run_with_a_bad_step, 10, averaged=True)


def assert_made_of(run, step, averaged):
    state = load_checkpoint(run / "checkpoints" / f"step_{step:08d}.ckpt")
    model = load_checkpoint(run / "model.ckpt").arrays
    assert any(name.startswith("ema.") for name in state.arrays) == averaged
    for name, array in state.model_arrays().items():
        np.testing.assert_array_equal(model[name], array)
    moved = any(not np.array_equal(array, model[name]) for name, array in state.model_arrays(ema=False).items())
    assert moved == averaged


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "averaged"), [("train.ema_decay=0", False), ("train.accumulate=2", True)])
def test_what_validation_and_the_result_are_made_of(tiny_pictures, tmp_path, setting, averaged):
    run_training(tiny.config("rrdb", tiny_pictures, "train.steps=3", setting), tmp_path / "run")
    assert_made_of(tmp_path / "run", 3, averaged)


@pytest.mark.slow
def test_after_many_it_goes_back_and_on_with_other_data(config, spoil, tmp_path, caplog):
    spoil({10, 12})  # steps 6, at which a checkpoint was due, and 7
    run_training(config, tmp_path / "run")
    assert "up to step 7, 2 steps in a row were skipped: going back to step 4, to go on with other data" in caplog.text
    assert curve(tmp_path / "run") == (list(range(1, 11)), [0] * 10)
    shown = [step for step, name, _ in logged(tmp_path / "run" / "tensorboard") if name == "train/loss"]
    assert shown == list(range(1, 11))
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "step_00000010.ckpt").arrays
    # ten steps and the three that are left out; none skipped; saved at 10 and not gone back to since
    assert state["run.counts"].tolist() == [26, 0, 10, 0]


@pytest.mark.slow
@pytest.mark.parametrize("stops", [(14,), (8, 12, 16, 20)])
def test_a_run_that_goes_back_and_is_interrupted_ends_as_one_that_is_not(config, spoil, tmp_path, stops):
    bad = {10, 12}
    spoil(bad)
    run_training(config, tmp_path / "whole")
    for stop in stops:  # the numbers of samples at which it is interrupted, before and after it has gone back
        spoil(bad, interrupt_at=stop)
        with pytest.raises(KeyboardInterrupt):
            run_training(config, tmp_path / "run", resume=True)
    spoil(bad)
    run_training(config, tmp_path / "run", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "run")


def test_an_interrupted_run_on_degraded_pictures_ends_as_one_that_is_not(tiny_pictures, spoil, tmp_path):
    config = tiny.config("rrdb", tiny_pictures, *SETTINGS, "degradation.kind=real", "degradation.gt_usm=true")
    spoil(())
    run_training(config, tmp_path / "whole")
    spoil((), interrupt_at=10)
    with pytest.raises(KeyboardInterrupt):
        run_training(config, tmp_path / "run")
    spoil(())
    run_training(config, tmp_path / "run", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
def test_a_kill_right_after_going_back_changes_nothing(config, spoil, tmp_path, monkeypatch):
    spoil({10, 12})
    run_training(config, tmp_path / "whole")
    go_back = Run._go_back

    def killed(run, error):
        go_back(run, error)
        raise SystemExit

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Run, "_go_back", killed)
        run_training(config, tmp_path / "run")
    run_training(config, tmp_path / "run", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
def test_when_it_fails_again_it_goes_back_further_and_then_stops(config, spoil, tmp_path, caplog):
    spoil(set(range(8, 1000)))
    with pytest.raises(UserError, match="up to step 4, .* again after going back to step 2: try a smaller train.lr"):
        run_training(config, tmp_path / "run")
    for last, back in ((6, 4), (6, 2)):
        assert f"up to step {last}, 2 steps in a row were skipped: going back to step {back}" in caplog.text
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step_00000002.ckpt"]
    assert not (tmp_path / "run" / "model.ckpt").exists()


@pytest.mark.slow
def test_of_two_ways_back_the_second_may_help(config, spoil, tmp_path, caplog):
    spoil({8, 10, 12, 14})
    run_training(config, tmp_path / "run")
    assert "going back to step 4" in caplog.text and "going back to step 2" in caplog.text
    assert curve(tmp_path / "run") == (list(range(1, 11)), [0] * 10)


def test_the_best_model_is_of_what_is_left_after_going_back(tiny_pictures, spoil, tmp_path, monkeypatch):
    config = tiny.config("rrdb", tiny_pictures, *SETTINGS, "train.val_every=3", "train.save_every=4")
    monkeypatch.setattr(Validation, "compile", lambda validation: None)
    scores = iter([20.0, 30.0, 10.0, 5.0, 5.0])  # at steps 3, 6, then again 6, 9 and 10
    monkeypatch.setattr(Training, "validate", lambda training, keep: Shown(next(scores)))
    spoil({12, 14})  # steps 7 and 8
    run_training(config, tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / "best.ckpt").step == 3


def test_without_a_checkpoint_it_stops_at_once(config, spoil, tmp_path, monkeypatch):
    monkeypatch.setattr(Validation, "compile", lambda validation: None)
    spoil({0, 2})
    with pytest.raises(UserError, match="2 steps in a row were skipped, and there is no checkpoint to go back to: try"):
        run_training(config, tmp_path / "run")


@pytest.mark.slow
def test_a_run_without_a_single_step_is_not_finished(tiny_pictures, spoil, tmp_path):
    spoil(set(range(100)))
    with pytest.raises(UserError, match="all 4 steps were skipped: try a smaller train.lr"):
        run_training(tiny.config("rrdb", tiny_pictures), tmp_path / "run")
    assert not (tmp_path / "run" / "model.ckpt").exists()


@pytest.mark.slow
def test_an_exploding_loss_is_skipped(tiny_pictures, tmp_path, monkeypatch):
    batches = Training.batches

    def exploding(training, progress):
        for number, ((hr, lr), *_) in enumerate(batches(training, progress)):
            yield [(hr * 1e4 if number == 7 else hr, lr)]

    monkeypatch.setattr(Training, "batches", exploding)
    for ratio, skipped in ((30, 1), (0, 0)):
        config = tiny.config("rrdb", tiny_pictures, *SETTINGS, f"train.max_loss_ratio={ratio}")
        run_training(config, tmp_path / str(ratio))
        assert curve(tmp_path / str(ratio))[1] == [0] * 7 + [skipped] + [0] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "at"), [((Run, "_validate"), 10), ((RunFolder, "save_best"), 4), ((RunFolder, "add_validation"), 4)]
)
def test_a_validation_that_was_interrupted_is_made_up_for(tiny_pictures, tmp_path, monkeypatch, place, at):
    config = tiny.config("rrdb", tiny_pictures, *SETTINGS, "train.val_every=4")
    scores = {4: 10.0, 8: 20.0, 10: 30.0}
    step = [0]
    monkeypatch.setattr(Training, "validate", lambda training, keep: Shown(scores[step[0]]))
    validate = Run._validate

    def validate_at(run, now):
        step[0] = now
        validate(run, now)

    monkeypatch.setattr(Run, "_validate", validate_at)
    run_training(config, tmp_path / "whole")
    owner, name = place
    original = getattr(owner, name)

    def interrupted(*arguments):
        if at in arguments:
            raise KeyboardInterrupt
        original(*arguments)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(owner, name, interrupted)
        run_training(config, tmp_path / "run")
    run_training(config, tmp_path / "run", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
def test_an_average_may_begin_late(tiny_pictures, tmp_path, caplog):
    settings = "train.steps=2", "train.ema_decay=0"
    run_training(tiny.config("rrdb", tiny_pictures, *settings), tmp_path / "run")
    run_training(tiny.config("rrdb", tiny_pictures, "train.steps=4"), tmp_path / "run", resume=True)
    assert "step_00000002.ckpt has no moving average: it begins here" in caplog.text
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "step_00000004.ckpt").arrays["optimizer.ema_updates"] == 2


@pytest.mark.slow
def test_passes_come_to_one_large_batch(tiny_pictures, tmp_path):
    whole = tiny.config("rrdb", tiny_pictures, "train.batch_size=4", "train.lr=1e-4")
    parts = tiny.config("rrdb", tiny_pictures, "train.batch_size=2", "train.accumulate=2", "train.lr=1e-4")
    one, two = training_of(whole), training_of(parts)
    for a, b in zip(one.batches(Progress()), two.batches(Progress()), strict=True):
        one.step(a)
        two.step(b)
    for name, parameter in one.weights().items():
        np.testing.assert_allclose(two.weights()[name].asnumpy(), parameter.asnumpy(), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_an_encoder_that_trains_along_may_have_its_own_rate(tiny_pictures, tiny_checkpoints, tmp_path):
    def moved(*settings):
        config = tiny.config(
            "srdiff", tiny_pictures, f"encoder.checkpoint={tiny_checkpoints['rrdb']}", "encoder.frozen=false",
            "train.steps=2", "train.ema_decay=0", *settings,
        )  # fmt: skip
        run = tmp_path / str(len(settings))
        run_training(config, run)
        before, after = (load_checkpoint(path).arrays for path in (tiny_checkpoints["rrdb"], run / "model.ckpt"))
        return max(np.abs(before[name] - after[name]).max() for name in before if name.startswith("encoder.first"))

    assert moved("train.encoder_lr=1e-6") < 1e-5 < 1e-4 < moved()


@pytest.mark.slow
def test_epochs_count_samples_whatever_a_step_takes(tiny_pictures, tmp_path, spoil):
    """3 pictures, 8 epochs: 24 samples; after four steps of 2, the other 16 are four steps of 4."""
    epochs = "train.steps=0", "train.epochs=8", "train.save_every=4"
    spoil((), interrupt_at=8)
    with pytest.raises(KeyboardInterrupt):
        run_training(tiny.config("rrdb", tiny_pictures, *epochs), tmp_path / "run")
    spoil(())
    run_training(tiny.config("rrdb", tiny_pictures, *epochs, "train.batch_size=4"), tmp_path / "run", resume=True)
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoints" / "step_00000008.ckpt")
    assert checkpoint.arrays["run.counts"][0] == 24
