"""The validation of models that make pictures from nothing: fixed levels and noise, and what it refuses."""

import numpy as np
import pytest

from src.build import build_model
from src.build_denoising import LEVELS, DenoisingValidation
from src.dataset.randomness import VALIDATION, generator
from src.errors import UserError
from src.imaging.io import write_image
from src.runtime import select_device
from src.training.distributed import World
from tests import tiny_sr3


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photo):
    select_device("CPU")
    made = tmp_path_factory.mktemp("held out")
    for number, (height, width) in enumerate([(16, 16), (21, 40), (32, 16)]):
        write_image(made / f"{number}.png", photo[100 + number :][:height, 200 : 200 + width])
    return made


def validation(folder, *overrides, model=None):
    data = f"data.val={folder}", *tiny_sr3.FROM_NOTHING, "train.best_metric=loss"
    config = tiny_sr3.config(*data, *overrides)
    return DenoisingValidation(config, model or build_model(config), World())


@pytest.mark.parametrize("level", ["continuous", "discrete"])
def test_the_same_levels_and_noise_each_time(folder, photo, level, monkeypatch):
    looked = validation(folder, "diffusion.steps=20", f"sr3.noise_level={level}", "seed=7")
    loss, batches = looked._loss, []

    def recorded(*batch):
        batches.append([array.asnumpy() for array in batch])
        return loss(*batch)

    monkeypatch.setattr(looked, "_loss", recorded)
    first, second = looked.run(), looked.run()
    assert first.names == ["0", "1", "2"] and first.rows().shape == (3, 1)
    np.testing.assert_array_equal(first.rows(), second.rows())
    assert first.mean("sr3_tiny").loss == np.mean(first.rows()) and (first.rows() > 0).all()
    for number, (hr, lr, times, noise) in enumerate(batches[:3]):
        np.testing.assert_array_equal(hr, lr)
        assert np.array_equal(noise, generator(0, VALIDATION, number).standard_normal((LEVELS, 3, 16, 16), np.float32))
        expected = (np.arange(LEVELS) + 0.5) * 20 / LEVELS
        np.testing.assert_array_equal(times, expected if level == "continuous" else np.floor(expected))
    middle = photo[101:122, 200:240][2:18, 12:28]
    np.testing.assert_allclose(batches[1][0][0].transpose(1, 2, 0), middle / 127.5 - 1, atol=1e-6)


def test_a_few_pictures_are_drawn(folder):
    kept = []
    looked = validation(folder, "train.log_pictures=2", "seed=5")
    looked.run(lambda *what: kept.append(what))
    ((name, method, grid),) = kept
    assert (name, method, grid.shape, grid.dtype) == ("samples", "sr3_tiny", (16, 34, 3), np.uint8)
    assert (grid[:, :16] != grid[:, 18:]).any() and looked.shown(name, grid) is grid
    none = validation(folder, "train.log_pictures=0", model=looked_model(looked))
    none.compile()
    none.run(lambda *what: kept.append(what))
    assert len(kept) == 1


def looked_model(looked):
    return looked._loss.model


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.best_metric=psnr"], "'train.best_metric' must be loss where .*; set train.best_metric=loss"),
        (["train.val_lpips=alex"], "'train.val_lpips' must be none where .*; set train.val_lpips=none"),
        (["data.patch_size=18"], r"0.png is 16×16, smaller than data.patch_size 18: remove it, or lower"),
        (["data.val=missing"], "missing does not exist"),
    ],
)
def test_what_cannot_be_validated_is_refused(folder, overrides, message):
    with pytest.raises(UserError, match=message):
        validation(folder, *overrides, model=object())


def test_pictures_cannot_agree_with_an_input_that_is_not_there(folder):
    with pytest.raises(UserError, match="consistency is with LR pictures"):
        validation(folder, "eval.consistency=true").compile()
