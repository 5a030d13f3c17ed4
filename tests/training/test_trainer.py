"""Training in this process: what a run needs is refused before any work, resuming is exact; the device's queue."""

import mindspore as ms
import numpy as np
import pytest

from src.config.loader import with_overrides
from src.errors import UserError
from src.host.device import select_device
from src.imaging.io import write_image
from src.training.dry_run import dry_run
from src.training.run import run_training
from src.training.trainer import Training, connect, training_of, usable_sink
from src.weights.checkpoint import load_checkpoint
from tests import tiny, tiny_srgan

ONE_BLOCK = "encoder.blocks=1"


@pytest.fixture(autouse=True)
def device():
    select_device("CPU")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_pictures):
    """A run in one go."""
    select_device("CPU")
    config = tiny.config("rrdb", tiny_pictures, ONE_BLOCK)
    output = tmp_path_factory.mktemp("runs") / "whole"
    run_training(config, output)
    return config, output


def assert_resumed_run_equals(config, output, run, monkeypatch, stop):
    """Interrupt a run after some steps, resume it, and compare it with one in one go."""
    batches = Training.batches

    def interrupted(training, progress):
        for number, batch in enumerate(batches(training, progress)):
            if number == stop:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Training, "batches", interrupted)
        run_training(config, run)
    assert not (run / "model.ckpt").exists()
    run_training(config, run, resume=True)
    for name in ("curve.csv", "validation.csv"):
        assert (run / name).read_text() == (output / name).read_text()
    for name in ("model.ckpt", "checkpoints/step_00000004.ckpt"):
        one, two = load_checkpoint(output / name), load_checkpoint(run / name)
        assert one.step == two.step == 4 and one.arrays.keys() == two.arrays.keys()
        for key in one.arrays:
            np.testing.assert_array_equal(one.arrays[key], two.arrays[key], err_msg=key)


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(whole, tmp_path, monkeypatch):
    assert_resumed_run_equals(*whole, tmp_path / "run", monkeypatch, stop=3)


@pytest.mark.parametrize(
    ("against", "form", "more"),
    [("dense", "srresnet", ("train.accumulate=2",)), ("pixels", "compact", ("train.lr_schedule=cosine",))],
)
def test_so_does_one_of_two_networks(tiny_pictures, tmp_path, monkeypatch, against, form, more):
    config = tiny_srgan.adversarial(against, form, tiny_pictures, *more)
    run_training(config, tmp_path / "whole")
    assert_resumed_run_equals(config, tmp_path / "whole", tmp_path / "run", monkeypatch, stop=3)
    state, model = (
        load_checkpoint(tmp_path / "run" / name).arrays for name in ("checkpoints/step_00000004.ckpt", "model.ckpt")
    )
    assert {name.split(".")[0] for name in model} == {"generator"}
    assert {name.split(".")[0] for name in state.keys() - model} == {"discriminator", "ema", "optimizer", "run"}
    moments = {name for name in state if name.startswith("optimizer.moment1.")}
    assert {name.split(".")[2] for name in moments} == {"generator", "discriminator"}
    counts = [state[f"optimizer.{name}"] for name in ("global_step", "discriminator.global_step")]
    assert [count.item() for count in counts] == [4, 4]
    assert any(np.abs(state[name]).max() > 0 for name in moments if ".discriminator." in name)
    parts = [row.rpartition(",")[2] for row in (tmp_path / "run" / "curve.csv").read_text().splitlines()[1:]]
    assert all(
        {part.partition("=")[0] for part in each.split()} == {"pixel", "adversarial", "discriminator"} for each in parts
    )


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 3])
def test_so_does_one_of_stage_2_whose_encoder_trains_along(
    tiny_pictures, tiny_checkpoints, tmp_path, monkeypatch, stop
):
    config = tiny.config(
        "srdiff", tiny_pictures, f"encoder.checkpoint={tiny_checkpoints['rrdb']}", "encoder.frozen=false"
    )
    run_training(config, tmp_path / "whole")
    assert_resumed_run_equals(config, tmp_path / "whole", tmp_path / "run", monkeypatch, stop)
    kinds = {name.split(".")[0] for name in load_checkpoint(tmp_path / "whole" / "model.ckpt").arrays}
    assert kinds == {"encoder", "unet"}
    config = with_overrides(config, [f"encoder.checkpoint={tmp_path / 'gone'}"])
    run_training(config, tmp_path / "run", resume=True)  # which needs no encoder any more
    with pytest.raises(UserError, match="no encoder at"):
        run_training(config, tmp_path / "new", resume=True)


def test_the_files_of_a_run(whole):
    _, output = whole
    assert sorted(path.name for path in output.iterdir()) == [
        ".lock", "best.ckpt", "checkpoints", "config.yaml", "curve.csv", "model.ckpt", "speed.csv", "tensorboard",
        "train.log", "validation.csv",
    ]  # fmt: skip
    state, model = (load_checkpoint(output / name).arrays for name in ("checkpoints/step_00000004.ckpt", "model.ckpt"))
    assert {name.split(".")[0] for name in model} == {"encoder"}
    extra = state.keys() - model.keys()
    assert {name.split(".")[0] for name in extra} == {"ema", "optimizer", "run"}
    assert {name for name in extra if name.startswith("ema.")} == {f"ema.{name}" for name in model}
    for name in model:
        np.testing.assert_array_equal(model[name], state[f"ema.{name}"])


def test_a_finished_run_is_resumed_without_a_step(whole):
    config, output = whole
    before = (output / "curve.csv").read_text()
    run_training(config, output, resume=True)
    assert (output / "curve.csv").read_text() == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.steps=3", "has done 4 steps, but train.steps is 3: set it to 4 or more"),
        ("encoder.features=12", "step_00000004.ckpt: 'encoder.* but the configuration makes it"),
    ],
)
def test_a_run_cannot_be_resumed_as_another(whole, setting, message):
    config, output = whole
    before = (output / "config.yaml").read_text()
    with pytest.raises(UserError, match=message):
        run_training(with_overrides(config, [setting]), output, resume=True)
    assert (output / "config.yaml").read_text() == before


@pytest.mark.slow
def test_resuming_takes_the_configurations_learning_rate(tmp_path, tiny_pictures):
    settings = "train.lr_schedule=constant", "train.steps=1"
    run_training(tiny.config("rrdb", tiny_pictures, *settings), tmp_path / "run")
    config = tiny.config("rrdb", tiny_pictures, *settings, "train.lr=1e-9", "train.steps=2")
    run_training(config, tmp_path / "run", resume=True)
    one, two = (load_checkpoint(tmp_path / "run" / "checkpoints" / f"step_0000000{k}.ckpt").arrays for k in (1, 2))
    moved = max(np.abs(one[name] - two[name]).max() for name in one if name.startswith("encoder."))
    assert moved < 1e-7


def test_the_seed_decides_the_weights(tiny_pictures):
    def weights(seed):
        return {
            name: p.asnumpy() for name, p in training_of(tiny.config("rrdb", tiny_pictures, seed)).weights().items()
        }

    first, again, other = weights("seed=3"), weights("seed=3"), weights("seed=4")
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["encoder.first_conv.weight"], other["encoder.first_conv.weight"])


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
def test_a_run_may_start_from_other_weights(tiny_pictures, tiny_checkpoints, system, caplog):
    caplog.set_level("INFO")
    init = f"train.init={tiny_checkpoints[system]}"
    arrays = load_checkpoint(tiny_checkpoints[system]).arrays
    for name, parameter in training_of(tiny.config(system, tiny_pictures, "seed=5", init)).weights().items():
        np.testing.assert_array_equal(parameter.asnumpy(), arrays[name])
    assert f"the weights start from {tiny_checkpoints[system]}'s, after 0 steps" in caplog.text
    assert ("encoder.checkpoint is not read" in caplog.text) == (system == "srdiff")


def test_the_weights_to_start_from_are_of_the_same_system(tiny_pictures, tiny_checkpoints):
    with pytest.raises(UserError, match="is an srdiff, the configuration an rrdb: name another"):
        training_of(tiny.config("rrdb", tiny_pictures, f"train.init={tiny_checkpoints['srdiff']}"))


def test_the_steps_of_some_epochs(tiny_pictures):
    config = tiny.config("rrdb", tiny_pictures, "train.steps=0", "train.epochs=5")
    assert training_of(config).steps == 7  # 3 pictures, 2 in a batch


@pytest.mark.slow
def test_a_dry_run_tells_what_a_run_will_cost(tiny_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = dry_run(tiny.config("rrdb", tiny_pictures))
    assert [line.split("  ")[0] for line in lines] == [
        "configuration", "pictures", "parameters", "memory", "first step", "one step",
    ]  # fmt: skip
    assert lines[1].split() == ["pictures", "3"] and "trained)" in lines[2] and "4 steps take" in lines[5]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_dry_run_needs_no_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = dry_run(tiny.config("srdiff", None, "data.train=a", "data.val=b", "encoder.checkpoint=none.ckpt"))
    assert lines[1].split() == ["pictures", "1"] and "trained)" in lines[2]
    assert lines[-1].startswith("needed         data.train=a data.val=b: not there")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("system", "settings", "message"),
    [
        ("rrdb", {"data.val": "missing"}, "missing does not exist"),
        ("rrdb", {"data.val": "empty"}, "no pictures in"),
        ("rrdb", {"data.val": "broken"}, "cannot read .*a.png"),
        ("rrdb", {"data.val": "small"}, "smaller than the scale 4"),
        ("rrdb", {"data.val": "mismatched"}, "should be 8×8, a 4th of"),
        ("rrdb", {"data.train": "missing"}, "missing does not exist"),
        ("rrdb", {"data.train": "empty"}, "no pictures in"),
        ("rrdb", {"data.train": "small"}, "smaller than"),
        ("srdiff", {"encoder.checkpoint": "missing.ckpt"}, "no encoder at .*: train stage 1 first"),
        ("srdiff", {"encoder.checkpoint": "empty"}, "no encoder at"),
        ("srdiff", {"encoder.checkpoint": "broken/a.png"}, "not a whole MindSpore checkpoint"),
        ("srdiff", {"encoder.checkpoint": ""}, "encoder.checkpoint is empty"),
    ],
)
def test_what_is_missing_is_found_before_any_work(tiny_pictures, tmp_path, photo, system, settings, message):
    (tmp_path / "empty").mkdir()
    write_image(tmp_path / "small" / "a.png", photo[:3, :64])
    write_image(tmp_path / "broken" / "a.png", photo[:64, :64])
    (tmp_path / "broken" / "a.png").write_bytes((tmp_path / "broken" / "a.png").read_bytes()[:3000])
    write_image(tmp_path / "mismatched" / "HR" / "a.png", photo[:32, :32])
    write_image(tmp_path / "mismatched" / "LR" / "a.png", photo[:10, :8])
    overrides = [f"{key}={tmp_path / value if value else ''}" for key, value in settings.items()]
    config = tiny.config(system, tiny_pictures, *overrides)
    with pytest.raises(UserError, match=message):
        run_training(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_validation_pictures_too_small_for_a_score(tiny_pictures, tmp_path, photo, caplog):
    caplog.set_level("INFO")
    write_image(tmp_path / "val" / "a.png", photo[100:105, 100:105])
    settings = f"data.val={tmp_path / 'val'}", "eval.protocol=classic", "train.steps=1", ONE_BLOCK
    run_training(tiny.config("rrdb", tiny_pictures, *settings), tmp_path / "run")
    assert "step 1 bicubic: LR-PSNR inf dB\n" in (tmp_path / "run" / "train.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("system", "trained", "message"),
    [
        ("rrdb", ["encoder.features=16"], "add encoder.features=16 or name another encoder.checkpoint"),
        ("rrdb", ["data.scale=2"], "add data.scale=2 or name"),
        ("rrdb", ["encoder.upsampler=nearest"], "add encoder.upsampler=nearest"),
        ("srdiff", ["encoder.blocks=3"], "add encoder.blocks=3"),
    ],
)
def test_an_encoder_of_another_size(tiny_pictures, tmp_path, system, trained, message):
    fold = ["unet.space_to_depth=2"] if system == "srdiff" else []
    path = tiny.save_untrained(tmp_path / "encoder.ckpt", tiny.config(system, None, *trained, *fold))
    with pytest.raises(UserError, match=message):
        training_of(tiny.config("srdiff", tiny_pictures, f"encoder.checkpoint={path}"))


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
def test_the_encoder_of_either_stage_is_loaded(tiny_pictures, tiny_checkpoints, system):
    training = training_of(tiny.config("srdiff", tiny_pictures, f"encoder.checkpoint={tiny_checkpoints[system]}"))
    arrays = load_checkpoint(tiny_checkpoints[system]).arrays
    for parameter in training.model.encoder.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), arrays[parameter.name])


def test_an_encoder_that_starts_from_nothing_is_pointed_out(tiny_pictures, caplog):
    training_of(tiny.config("srdiff", tiny_pictures, "encoder.checkpoint=", "encoder.frozen=false"))
    assert "the encoder starts from random weights" in caplog.text


def test_a_changed_setting_is_pointed_out_on_resuming(whole, caplog):
    config, output = whole
    run_training(with_overrides(config, ["train.lr=1e-7"]), output, resume=True)
    assert "train.lr was 0.001 when the run was started and is 1e-07 now" in caplog.text


def test_the_cpu_has_no_queue_and_says_so(caplog):
    assert not usable_sink(True) and "data.sink is for Ascend and GPU" in caplog.text
    caplog.clear()
    assert not usable_sink(False) and caplog.text == ""


def test_a_step_is_joined_with_the_queue(monkeypatch):
    """mindspore hands out empty placeholders, and runs the Cell on the next batch for each."""
    queue = iter(np.arange(3.0))
    asked = {}

    class Connected:
        def __init__(self, cell):
            self.cell, self.training = cell, False

        def set_train(self):
            self.training = True

        def __call__(self, *placeholder):
            assert placeholder == () and self.training
            return self.cell(next(queue))

    def helper(dataset, **options):
        asked.update(options, dataset=dataset)
        return [(), (), ()]

    monkeypatch.setattr(ms, "DatasetHelper", helper)
    monkeypatch.setattr(ms, "connect_network_with_dataset", lambda cell, helper: Connected(cell))
    step, arguments = connect(lambda batch: batch * 2, "a dataset")
    assert [step(argument) for argument in arguments] == [0, 2, 4]
    assert asked == {"dataset": "a dataset", "dataset_sink_mode": True, "sink_size": 1, "epoch_num": 1}
