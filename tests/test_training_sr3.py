"""Training SR3 in this process, through the same loop as SRDiff."""

import numpy as np
import pytest

from scripts import quickstart_pictures
from src.build import load_upscaler
from src.families.registry import read_config
from src.host.device import select_device
from src.training.dry_run import dry_run
from src.training.loop import Progress
from src.training.run import run_training
from src.training.trainer import Training, training_of
from src.weights.checkpoint import load_checkpoint
from tests import tiny, tiny_sr3
from tests.event_files import events


@pytest.fixture(autouse=True)
def device():
    select_device("CPU")


def config(pictures, *overrides):
    data = f"data.train={pictures / 'train'}", f"data.val={pictures / 'val'}"
    return tiny_sr3.config(*data, "train.val_every=2", *tiny_sr3.ONE_LEVEL, *overrides)


UNCONDITIONAL = (*tiny_sr3.TRAINED_UNCONDITIONAL, "train.log_pictures=3")
RUNS = {
    "continuous": ("train.draws=2",),
    "unconditional": ("sr3.noise_level=discrete", "train.accumulate=2", *UNCONDITIONAL),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_and_its_resumption(tmp_path, tiny_pictures, monkeypatch, name):
    made = config(tiny_pictures, "sr3.dropout=0.3", *RUNS[name])
    run_training(made, tmp_path / "whole")
    batches = Training.batches

    def interrupted(training, progress):
        for number, batch in enumerate(batches(training, progress)):
            if number == 3:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Training, "batches", interrupted)
        run_training(made, tmp_path / "again")
    run_training(made, tmp_path / "again", resume=True)
    for table in ("curve.csv", "validation.csv"):
        assert (tmp_path / "again" / table).read_text() == (tmp_path / "whole" / table).read_text()
    for kind in ("model.ckpt", "checkpoints/step_00000004.ckpt"):
        one, two = (load_checkpoint(tmp_path / run / kind).arrays for run in ("whole", "again"))
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], two[key], err_msg=key)
    up = load_upscaler(tmp_path / "whole/model.ckpt", "CPU")
    if name == "unconditional":
        check_what_was_logged_of_drawn_pictures(tmp_path / "whole")
        assert up.sample(None, shape=(1, 3, 16, 16)).shape[2] == 16
    else:
        assert up.sample(np.zeros((1, 3, 4, 4), np.float32)).shape[2] == 16


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sr3_lite_8_32", "sr3_lite_uncond_32"])
def test_the_lite_models_learn(tmp_path, name):
    quickstart_pictures.write(tmp_path, 2)
    smaller = "sr3.width=16", "sr3.groups=4", "sr3.multipliers=[1]", "train.steps=40", "train.warmup_steps=0"
    data = f"data.train={tmp_path / 'train'}", f"data.val={tmp_path / 'val'}"
    made = read_config(tiny.ROOT / "configs" / f"{name}.yaml", [*data, *smaller])
    training = training_of(made)
    assert training.pictures == 9 and len(training.validation.pairs) == 2
    batches = list(training.batches(Progress()))
    losses = [float(training.step(batch)[0].asnumpy()) for batch in [*batches, batches[0]]]
    assert losses[-1] < 0.85 * losses[0]  # of the same patches, t and noise


def check_what_was_logged_of_drawn_pictures(run):
    rows = [line.split(",") for line in (run / "validation.csv").read_text().splitlines()]
    assert rows[0][-1] == "loss" and [row[:-1] for row in rows[1:]] == [[s, "sr3_tiny", "", "", "", ""] for s in "24"]
    losses = [float(row[-1]) for row in rows[1:]]
    assert load_checkpoint(run / "best.ckpt").step == (2, 4)[np.argmin(losses)]
    pytest.importorskip("tensorboardX")
    logged = {}
    for path in sorted((run / "tensorboard").iterdir()):
        logged |= {value.tag: value for event in events(path) for value in event.summary.value}
    assert logged["val/loss"].simple_value == pytest.approx(losses[-1], rel=1e-5)
    assert (logged["val/samples"].image.height, logged["val/samples"].image.width) == (34, 34)  # 2 by 2, one empty


@pytest.mark.slow
def test_validation_drops_nothing(tiny_pictures):
    dropping, other = (
        training_of(config(tiny_pictures, f"sr3.dropout={rate}", "train.ema_decay=0")) for rate in (0.5, 0)
    )
    assert dropping.shown is dropping.model
    np.testing.assert_array_equal(dropping.validate().rows(), other.validate().rows())


@pytest.mark.slow
def test_a_dry_run(tiny_pictures):
    made = config(tiny_pictures, *tiny_sr3.TRAINED_UNCONDITIONAL)
    assert any("configuration  sr3_tiny (sr3)" in line for line in dry_run(made))
