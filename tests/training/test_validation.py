"""The validation: noise levels and noise of unconditional models, what is refused, and tiles on an Ascend."""

import numpy as np
import pytest

from src.dataset.pairs import load_pair
from src.dataset.patches import VALIDATION, generator
from src.errors import UserError
from src.families.registry import family_of
from src.host.device import select_device
from src.host.ranks import World
from src.imaging.io import write_image
from src.imaging.resize import make_lr
from src.inference.diffusion_upscaler import DiffusionUpscaler
from src.training.validation import LEVELS, validation_of, validation_pairs
from tests import tiny, tiny_sr3


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photo):
    select_device("CPU")
    made = tmp_path_factory.mktemp("held out")
    for number, (height, width) in enumerate([(16, 16), (21, 40), (32, 16)]):
        write_image(made / f"{number}.png", photo[100 + number :][:height, 200 : 200 + width])
    return made


def validation(folder, *overrides):
    data = f"data.val={folder}", *tiny_sr3.TRAINED_UNCONDITIONAL, *tiny_sr3.ONE_LEVEL
    family = family_of(tiny_sr3.config(*data, *overrides))
    return validation_of(family, family.model(), World())


@pytest.mark.parametrize("level", ["continuous", "discrete"])
def test_each_picture_is_looked_at_with_the_same_levels_and_noise(folder, photo, level, monkeypatch):
    looked, batches = validation(folder, "diffusion.steps=20", f"sr3.noise_level={level}", "seed=7"), []

    def recorded(*batch):
        batches.append([array.asnumpy() for array in batch])
        return batch[0].max()

    monkeypatch.setattr(looked, "loss", recorded)
    looked.run()
    assert len(batches) == 3
    for number, (hr, lr, times, noise) in enumerate(batches):
        np.testing.assert_array_equal(hr, lr)
        assert np.array_equal(noise, generator(0, VALIDATION, number).standard_normal((LEVELS, 3, 16, 16), np.float32))
        expected = (np.arange(LEVELS) + 0.5) * 20 / LEVELS
        np.testing.assert_array_equal(times, expected if level == "continuous" else np.floor(expected))
    middle = photo[101:122, 200:240][2:18, 12:28]
    np.testing.assert_allclose(batches[1][0][0].transpose(1, 2, 0), middle / 127.5 - 1, atol=1e-6)


def test_losses_and_a_few_pictures(folder, monkeypatch):
    kept = []
    looked = validation(folder, "train.log_pictures=2", "seed=5")
    report, again = looked.run(lambda *what: kept.append(what)), looked.run()
    assert report.names == ["0", "1", "2"] and report.rows().shape == (3, 1)
    np.testing.assert_array_equal(report.rows(), again.rows())
    assert report.mean("sr3_tiny").loss == np.mean(report.rows()) and (report.rows() > 0).all()
    ((name, method, grid),) = kept
    assert (name, method, grid.shape, grid.dtype) == ("samples", "sr3_tiny", (16, 34, 3), np.uint8)
    assert (grid[:, :16] != grid[:, 18:]).any() and looked.shown(name, grid) is grid
    pixels, together = DiffusionUpscaler.pixels, []

    def recorded(upscaler, condition, *arguments, **options):
        together.append(condition.shape[0])
        return pixels(upscaler, condition, *arguments, **options)

    monkeypatch.setattr(DiffusionUpscaler, "pixels", recorded)
    monkeypatch.setattr(DiffusionUpscaler, "batch", lambda *_: 1)  # more would be cut into tiles
    looked.run(lambda *what: kept.append(what))
    assert together == [1, 1] and np.abs(kept[1][2].astype(int) - grid).max() <= 1


def test_no_pictures_are_drawn_where_none_are_wanted(folder, monkeypatch):
    looked, kept = validation(folder, "train.log_pictures=0"), []
    monkeypatch.setattr(looked, "loss", lambda hr, *rest: hr.max())
    looked.compile()
    looked.run(lambda *what: kept.append(what))
    assert kept == []


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
        validation(folder, *overrides)


@pytest.mark.parametrize("pictures", [0, 1])
def test_a_schedule_that_the_model_cannot_sample_shows_before_the_training(folder, pictures):
    looked = validation(folder, "eval.spacing=linear_beta:0.5,0.9999", f"train.log_pictures={pictures}")
    with pytest.raises(UserError, match="less than the .* that the network was trained with"):
        looked.compile()


def test_pictures_cannot_agree_with_an_input_that_is_not_there(folder, monkeypatch):
    looked = validation(folder, "eval.consistency=true")
    monkeypatch.setattr(looked, "loss", lambda hr, *rest: hr.max())
    with pytest.raises(UserError, match="consistency is with LR pictures"):
        looked.compile()


def test_lr_by_another_kernel(tmp_path, tiny_pictures, photo):
    config = tiny.config("rrdb", tiny_pictures, "data.lr_kernel=maxpool")
    (pair,) = validation_pairs(config)
    hr, lr = load_pair(pair, 4)
    np.testing.assert_array_equal(lr, make_lr(hr, 4, "maxpool"))
    for part, side in (("X1", 16), ("X4", 4)):
        write_image(tmp_path / "val" / part / "a.png", photo[:side, :side])
    with pytest.raises(UserError, match="the kernel maxpool cannot make LR pictures, they are there, in .*X4:"):
        validation_pairs(tiny.config("rrdb", tmp_path, "data.lr_kernel=maxpool"))


def test_pictures_are_degraded_the_same_for_every_run(tmp_path, photo):
    for part, step in (("X1", 1), ("X4", 4)):
        for number in range(2):
            write_image(tmp_path / "val" / part / f"{number}.png", photo[100 * number :][:64:step, 100:164:step])
    found = [validation_pairs(tiny.config("rrdb", tmp_path, "degradation.kind=real", f"seed={s}")) for s in (1, 2)]
    for number, (one, other) in enumerate(zip(*found, strict=True)):
        hr, lr = load_pair(one, 4)
        np.testing.assert_array_equal(hr, photo[100 * number :][:64, 100:164])
        np.testing.assert_array_equal(lr, load_pair(other, 4)[1])
        assert lr.shape == (16, 16, 3) and (lr != hr[::4, ::4]).any()


def test_on_an_ascend_pictures_are_cut_into_tiles_of_one_size(tiny_pictures, monkeypatch):
    family = family_of(tiny.config("srdiff", tiny_pictures))
    model = family.model()
    monkeypatch.setattr("src.training.validation.ms.get_context", lambda name: "Ascend")
    monkeypatch.setattr("src.training.validation.device_memory", lambda: 32 << 30)
    assert validation_of(family, model, World()).upscaler.tiling.size == (128, 128)
