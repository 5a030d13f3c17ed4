"""Training SR3 in this process, through the same loop as SRDiff."""

import numpy as np
import pytest

from src.build import load_upscaler
from src.build_run import run_training
from src.build_training import Training, dry_run
from src.errors import UserError
from src.runtime import select_device
from src.training.checkpoints import load_checkpoint
from tests import tiny_sr3


@pytest.fixture(autouse=True)
def device():
    select_device("CPU")


def config(pictures, *overrides):
    data = f"data.train={pictures / 'train'}", f"data.val={pictures / 'val'}"
    return tiny_sr3.config(*data, "train.val_every=2", *overrides)


@pytest.mark.parametrize("level", ["continuous", "discrete"])
def test_a_run_and_its_resumption(tmp_path, tiny_pictures, monkeypatch, level):
    made = config(tiny_pictures, "sr3.dropout=0", f"sr3.noise_level={level}", "train.draws=2")
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
    for name in ("curve.csv", "validation.csv"):
        assert (tmp_path / "again" / name).read_text() == (tmp_path / "whole" / name).read_text()
    one, two = (load_checkpoint(tmp_path / run / "model.ckpt").arrays for run in ("whole", "again"))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    assert load_upscaler(tmp_path / "whole/model.ckpt", "CPU").sample(np.zeros((1, 3, 4, 4), np.float32)).shape[2] == 16


def test_validation_drops_nothing(tiny_pictures):
    training = Training(config(tiny_pictures, "sr3.dropout=0.5", "train.ema_decay=0"))
    assert training.shown is not training.model and training.average is None
    first, second = (training.validate() for _ in range(2))
    np.testing.assert_array_equal(first.rows(), second.rows())


def test_a_dry_run(tiny_pictures):
    assert any("configuration  sr3_tiny (sr3)" in line for line in dry_run(config(tiny_pictures)))


def test_a_model_that_cannot_be_validated_is_not_trained(tiny_pictures):
    with pytest.raises(UserError, match="sr3.conditional=false"):
        Training(config(tiny_pictures, *tiny_sr3.FROM_NOTHING))
