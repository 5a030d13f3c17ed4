"""Upscalers in a row."""

import numpy as np
import pytest

from src.build import load_upscaler
from src.errors import UserError
from src.inference.cascade import Cascade
from src.inference.process import Process
from src.inference.tile_size import TileOptions
from tests import tiny_sr3
from tests.inference.fake_networks import enlarger, unconditional

LR = np.random.default_rng(0).uniform(-1, 1, (2, 3, 5, 9)).astype(np.float32)
PICTURE = np.arange(45 * 3, dtype=np.uint8).reshape(5, 9, 3)


def test_the_scales_multiply_and_pictures_stay_floats_between_the_stages():
    cascade = Cascade([enlarger(2), enlarger(4)])
    assert (cascade.scale, cascade.conditional, cascade.name) == (8, True, "x2 + x4")
    found = cascade.sample(LR)
    np.testing.assert_allclose(found, LR.repeat(8, 2).repeat(8, 3), atol=1e-4)  # 8 bits would be 4e-3 apart
    (picture,) = cascade.upscale([PICTURE])
    np.testing.assert_array_equal(picture, PICTURE.repeat(8, 0).repeat(8, 1))
    given = -LR.repeat(2, 2).repeat(2, 3)  # LR↑ of the first stage
    np.testing.assert_allclose(cascade.sample(None, lr_up=given), given.repeat(4, 2).repeat(4, 3), atol=1e-4)


def test_what_overshoots_is_clipped_between_the_stages():
    first = unconditional(1.5, "diffusion.clip=false")
    seen = []
    second = enlarger(2)
    encode = second.networks.encode
    second.networks.encode = lambda lr, lr_up=None: seen.append(lr) or encode(lr, lr_up)
    Cascade([first, second]).sample(None, shape=(1, 3, 4, 4))
    assert seen[0].max() == 1


def test_the_first_may_be_unconditional():
    cascade = Cascade([unconditional(), enlarger(2), enlarger(4)])
    assert (cascade.scale, cascade.conditional) == (8, False)
    found = cascade.sample(None, shape=(2, 3, 4, 6), consistency=True)  # of the two that have something to agree with
    assert found.shape == (2, 3, 32, 48)
    np.testing.assert_allclose(found, 0.25, atol=1e-3)


def test_every_stage_has_its_own_defaults_and_lists_name_them_one_by_one():
    stages = [enlarger(2, "eval.steps=1"), enlarger(4, "eval.steps=3")]
    cascade = Cascade(stages)

    def steps(**options):
        for stage in stages:
            stage.networks.noise_levels.clear()
        cascade.sample(LR, **options)
        counts = [len(stage.networks.noise_levels) for stage in stages]
        assert cascade.passes((2, 5, 9), cascade.resolve(**options)) == sum(counts)
        return counts

    assert steps() == [1, 3]
    assert steps(steps=2) == [2, 2]
    assert steps(steps=[4, 1]) == [4, 1]
    assert [stage["steps"] for stage in cascade.about(cascade.resolve(steps=[4, 1]))["stages"]] == [4, 1]
    with pytest.raises(UserError, match="steps has 3 values for 2 models: give one for each"):
        cascade.sample(LR, steps=[1, 2, 3])
    with pytest.raises(UserError, match="from 1 to 4 for this model, not 5"):
        cascade.resolve(steps=[1, 5])


class Draws:
    """A network's stand-in that passes x_t on as its x_0, so that noise decides."""

    lr_up_suffices = True

    def encode(self, lr, lr_up=None):
        return lr.repeat(2, 2).repeat(2, 3), lr.repeat(2, 2).repeat(2, 3)

    def denoise(self, x_t, t, condition):
        return x_t


def test_the_stages_noise_differs_and_the_first_one_is_what_it_is_alone():
    def stage():
        up = enlarger(2, "eval.steps=1", "diffusion.clip=false")
        up.networks = Draws()
        return up

    cascade, alone = Cascade([stage(), stage()]), stage()
    lr = LR[:1, :, :4, :4]
    kept = []
    second = cascade.stages[1]
    encode = second.encode
    second.encode = lambda lr: kept.append(lr) or encode(lr)
    found = cascade.sample(lr, seed=3)
    np.testing.assert_array_equal(kept[0], alone.sample(lr, seed=3).clip(-1, 1))
    assert np.abs(found - alone.sample(kept[0], seed=3)).max() > 0.1
    np.testing.assert_array_equal(found, alone.sample(kept[0], seed=3 + 2**64))
    np.testing.assert_array_equal(cascade.sample(np.repeat(lr, 2, 0), seed=[9, 3])[1:], found)


def test_each_stage_cuts_its_own_pictures():
    options = TileOptions(tile=32, halo=4)
    cascade = Cascade([enlarger(2, tile_options=options), enlarger(4, tile_options=options)])
    assert cascade.tiles((1, 10, 10)).startswith("model 2: 9 tiles of ")
    np.testing.assert_allclose(cascade.sample(LR), LR.repeat(8, 2).repeat(8, 3), atol=1e-4)
    assert Cascade([enlarger(2), enlarger(4)]).tiles((1, 10, 10)) is None


def test_a_batch_fits_every_stage():
    first, second = enlarger(2), enlarger(4)
    first.batch = lambda wanted, height, width: wanted
    second.batch = lambda wanted, height, width: wanted - height // 10
    assert Cascade([first, second]).batch(4, 5, 9) == 3


def test_the_process_is_the_last_stages():
    process = Process(3)
    Cascade([enlarger(2), enlarger(4)]).sample(LR, steps=2, process=process)
    frames = process.frames(1)
    assert [frame.label for frame in frames] == ["1/2", "2/2"] and frames[0].upper.shape == (40, 72, 3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match="model 2 of the cascade, gray, makes pictures from nothing"):
        Cascade([enlarger(2), unconditional()])
    with pytest.raises(UserError, match="this model enlarges pictures: give them as lr, and no shape"):
        Cascade([enlarger(2), enlarger(2)]).sample(None, shape=(1, 3, 4, 4))
    made = Cascade([unconditional(), enlarger(2)])
    with pytest.raises(UserError, match="from nothing and enlarges none"):
        made.sample(LR)
    with pytest.raises(UserError, match="the shape of the result is that of lr: leave one of them out"):
        made.sample(LR, shape=(1, 3, 4, 4))
    with pytest.raises(UserError, match="from nothing, but of which size"):
        made.sample(None)
    with pytest.raises(UserError, match="give them as lr, an array"):
        Cascade([enlarger(2), enlarger(2)]).sample(None)


def test_checkpoints_in_a_row(tmp_path, tiny_checkpoints):
    paths = [tiny_sr3.checkpoint(tmp_path / "a.ckpt", *tiny_sr3.UNCONDITIONAL), tiny_checkpoints["rrdb"]]
    cascade = load_upscaler(paths, "CPU", tile_options=TileOptions(max_memory=8))
    assert cascade.sample(None, shape=(2, 3, 8, 12), seed=1, steps=1).shape == (2, 3, 32, 48)
    cascade.check_samples(3)  # the first one samples
    assert "sampler" not in cascade.about(cascade.resolve())["stages"][1]
    with pytest.raises(UserError, match="takes no steps that could be shown"):
        cascade.check_process()
    with pytest.raises(UserError, match="no model at"):
        load_upscaler([paths[0], tmp_path / "no.ckpt"], "CPU")
