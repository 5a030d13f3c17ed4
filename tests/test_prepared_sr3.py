"""Prepared LR↑ pictures in training, validation and evaluation of SR3."""

import dataclasses

import mindspore as ms
import numpy as np
import pytest

from src.build import load_upscaler
from src.commands import evaluate, evaluation_setup
from src.dataset.pairs import find_pairs, load_pair, prepared_lr_up
from src.errors import UserError
from src.families.registry import family_of
from src.host.device import select_device
from src.host.ranks import World
from src.imaging.io import read_rgb, write_image
from src.training.loop import Progress
from src.training.trainer import training_of
from src.training.validation import Validation, validation_of, validation_pairs
from tests import tiny, tiny_sr3


@pytest.fixture(autouse=True)
def device():
    select_device("CPU")


@pytest.fixture(scope="module")
def triples(tmp_path_factory, photo):
    """Return a folder with train/ and val/ as the port prepares them; LR↑ is HR's negative, which none would make."""
    folder = tmp_path_factory.mktemp("triples")
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            hr = photo[40 * number : 40 * number + 16, 100:116]
            for part, picture in (("hr_16", hr), ("lr_4", hr[::4, ::4]), ("sr_4_16", 255 - hr)):
                write_image(folder / split / part / f"{number:05d}.png", picture)
    return folder


def config(triples, *overrides):
    data = f"data.train={triples / 'train'}", f"data.val={triples / 'val'}"
    return tiny_sr3.config(*data, *tiny_sr3.ONE_LEVEL, *overrides)


def test_the_loss_sees_the_given_picture():
    select_device("CPU", graph=False)  # the graph of a training step is below
    made = tiny_sr3.config("sr3.dropout=0")
    ms.set_seed(1)
    model = family_of(made).model()
    loss, given = family_of(made).objectives(model)[0].loss, family_of(made).objectives(model, lr_up=True)[0].loss
    random = np.random.default_rng(0)
    hr, noise = (ms.Tensor(random.standard_normal((2, 3, 16, 16)), ms.float32) for _ in range(2))
    lr, t = ms.Tensor(random.uniform(-1, 1, (2, 3, 4, 4)), ms.float32), ms.Tensor([0.5, 2.5], ms.float32)
    own = model.encode(lr)[0]
    expected = loss(hr, lr, t, noise).asnumpy()
    np.testing.assert_allclose(given(hr, lr, t, noise, own).asnumpy(), expected, rtol=1e-6)
    assert abs(given(hr, lr, t, noise, -own).asnumpy() - expected) > 1e-4 * expected


def test_a_step_of_training_takes_the_prepared_pictures(triples):
    training = training_of(config(triples, "sr3.dropout=0", "train.draws=2", "train.ema_decay=0"))
    batches = next(training.batches(Progress()))
    ((hr, _, _, _, lr_up),) = batches
    np.testing.assert_allclose(lr_up.asnumpy(), -hr.asnumpy(), atol=1e-6)
    loss, _, taken, _ = training.step(batches)
    assert taken and np.isfinite(loss.asnumpy())


def test_models_that_make_lr_up_themselves_do_not(triples):
    for made in (tiny.config("srdiff"), tiny.config("rrdb"), tiny_sr3.config(*tiny_sr3.UNCONDITIONAL)):
        assert not family_of(made).takes_lr_up
    (pair, *_) = find_pairs(triples / "val", scale=4)
    lr = load_pair(pair, 4)[1]
    assert (
        list(prepared_lr_up(pair, lr, 4)) == ["lr_up"]
        and prepared_lr_up(dataclasses.replace(pair, lr_up=None), lr, 4) == {}
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    select_device("CPU")
    return tiny_sr3.checkpoint(tmp_path_factory.mktemp("model") / "sr3.ckpt", *tiny_sr3.ONE_LEVEL)


def expected_pictures(upscaler, triples):
    """The samples of the validation pictures, their prepared LR↑ given by hand."""
    for number, path in enumerate(sorted((triples / "val/sr_4_16").iterdir())):
        lr_up = read_rgb(path).transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
        sample = upscaler.sample(None, lr_up=lr_up, seed=number)
        yield np.clip(np.rint((sample[0].transpose(1, 2, 0) + 1) * 127.5), 0, 255).astype(np.uint8)


def test_validation_and_evaluation_take_the_prepared_pictures(triples, checkpoint):
    made = config(triples)
    upscaler = load_upscaler(checkpoint, "CPU")
    expected = list(expected_pictures(upscaler, triples))
    seen = {}

    def keep(name, method, sr):
        seen[method, name] = sr

    pairs = validation_pairs(made, lr_up=True)
    Validation(upscaler, World(), pairs, seed=0, protocol="sr3", lpips_net="none", lr_up=True).run(keep)
    models = [evaluation_setup.Model("sr3_tiny", "sr3.ckpt", upscaler, made, made, upscaler.sampling)]
    assert seen.keys() == {(method, name) for method in ("bicubic", "sr3_tiny") for name in ("00000", "00001")}
    for number, picture in enumerate(expected):
        np.testing.assert_array_equal(seen.pop(("sr3_tiny", f"0000{number}")), picture)
    pairs = evaluation_setup.find_pictures(models, made, 4)[1].pairs
    evaluate.score_pictures(models, pairs, protocol="sr3", scale=4, seed=0, keep=keep)
    for number, picture in enumerate(expected):
        np.testing.assert_array_equal(seen["sr3_tiny", f"0000{number}"], picture)
    (other,) = upscaler.upscale([load_pair(pairs[0], 4)[1]], seeds=[0])
    assert np.abs(other.astype(int) - expected[0]).max() > 8


def test_a_broken_lr_up_shows_before_the_training(tmp_path, triples, photo):
    for part in ("hr_16", "lr_4", "sr_4_16"):
        for split in ("train", "val"):
            for path in (triples / split / part).iterdir():
                write_image(tmp_path / split / part / path.name, read_rgb(path))
    broken = tmp_path / "val/sr_4_16/00001.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(UserError, match=r"sr_4_16/00001\.png"):
        validation_pairs(config(tmp_path), lr_up=True)


def test_a_schedule_that_the_model_cannot_sample_shows_before_the_training(triples):
    family = family_of(config(triples, "eval.spacing=linear_beta:0.5,0.9999"))
    validation = validation_of(family, family.model(), World())
    with pytest.raises(UserError, match="less than the .* that the network was trained with"):
        validation.compile()
