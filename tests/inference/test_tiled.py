"""Pictures by tiles equal the pictures as a whole, with real (tiny) networks."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops

from src.diffusion.samplers import SeededNoise
from src.errors import UserError
from src.families.registry import family_of
from src.host.device import select_device
from src.imaging.spool import Stored, new_picture
from src.inference.upscaler import to_network
from tests import tiny

SIZES = [(20, 260), (250, 19), (93, 151)]  # LR; long enough for several windows, padded to the network's multiple of 8
CASES = [(SIZES[0], "ddpm"), (SIZES[0], "ddim"), (SIZES[0], "dpmpp_2m"), (SIZES[1], "ddim"), (SIZES[2], "ddpm")]


configs = {}


@pytest.fixture(scope="module")
def models():
    """The tiny networks, their weights doubled: now pixels far apart matter to each other, and tiles could go wrong."""
    select_device("CPU")
    models = {}
    of_encoder = "diffusion.residual_of=encoder", "unet.condition_every=1", "unet.add_lr_up=true"
    for system, options in (("rrdb", ()), ("srdiff", ()), ("of_encoder", of_encoder)):
        ms.set_seed(1)
        config = tiny.config("rrdb" if system == "rrdb" else "srdiff", None, *options)
        model = family_of(config).model()
        for parameter in model.get_parameters():
            if parameter.ndim == 4 and parameter.name.endswith("weight"):
                larger = ops.standard_normal(parameter.shape) * 0.1 if "last_conv" in parameter.name else parameter * 2
                parameter.set_data(larger)
        models[system] = tiny.around(config, family_of(config).model_networks(model))
        configs[system] = config
    return models


@pytest.fixture
def tiled(models):
    """``tiled(system, tile=…, halo=…, max_memory=…)``: the same networks behind other tiles."""

    def tiled(system, **options):
        return tiny.around(configs[system], models[system].networks, **options)

    return tiled


def picture(photo, size):
    lr = photo[40 : 40 + size[0], 100 : 100 + size[1]]
    return lr.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1


def deviation(found, expected):
    """The largest one, in units of the expected values' size."""
    return np.abs(found - expected).max() / max(1, np.abs(expected).max())


@pytest.mark.parametrize(("size", "sampler"), CASES)
def test_exact_tiles_equal_the_whole_picture(models, tiled, photo, size, sampler):
    lr = picture(photo, size)
    by_tiles = tiled("srdiff", tile=288, halo=96)
    assert by_tiles.passes((1, *size), by_tiles.resolve(steps=1)) >= 3
    options = {"seed": 3, "sampler": sampler, "steps": 4}
    whole = models["srdiff"].sample(lr, **options)
    assert deviation(by_tiles.sample(lr, **options), whole) < 1e-4
    assert deviation(tiled("srdiff", tile=96, halo=0).sample(lr, **options), whole) > 0.1


def test_exact_tiles_equal_the_whole_picture_where_the_base_is_the_encoders(models, tiled, photo):
    lr, options = picture(photo, SIZES[0]), {"seed": 3, "sampler": "ddim", "steps": 2}
    by_tiles, whole = tiled("of_encoder", tile=320, halo=96), models["of_encoder"].sample(lr, **options)
    assert by_tiles.passes((1, *SIZES[0]), by_tiles.resolve(steps=1)) >= 3
    assert deviation(by_tiles.sample(lr, **options), whole) < 1e-4
    assert deviation(tiled("of_encoder", tile=96, halo=0).sample(lr, **options), whole) > 0.1


@pytest.mark.parametrize("size", SIZES)
def test_exact_tiles_equal_the_whole_picture_rrdb(models, tiled, photo, size):
    lr = picture(photo, size)
    by_tiles, whole = tiled("rrdb", tile=304, halo=96), models["rrdb"].sample(lr)
    assert by_tiles.passes((1, *size), by_tiles.resolve()) >= 3
    assert deviation(by_tiles.sample(lr), whole) < 1e-4
    assert deviation(tiled("rrdb", tile=96, halo=0).sample(lr), whole) > 0.1


@pytest.mark.parametrize(("system", "options"), [
    ("rrdb", {}),
    ("rrdb", {"consistency": True}),
    ("srdiff", {"sampler": "ddim", "steps": 4, "consistency": True}),
    ("srdiff", {"sampler": "ddpm", "steps": 4}),
    ("srdiff", {"sampler": "dpmpp_2m_sde", "steps": 4, "consistency": True}),
])  # fmt: skip
def test_pixels_by_tiles_are_those_of_the_whole_picture(system, options, models, tiled, photo):
    """With sharp borders, noise in every step, and white and black that are clipped."""
    lr = np.clip((photo[40:140, 100:223].astype(int) - 128) * 2 + 128, 0, 255).astype(np.uint8)
    up = tiled(system, tile=304, halo=96)
    assert "tiles of" in up.tiles((1, 100, 123))
    (found,), (expected,) = (each.upscale([lr], [3], **options) for each in (up, models[system]))
    difference = np.abs(found.astype(int) - expected)  # of float32, in all of the picture: values go up to 9
    assert difference.max() <= 1 and difference.mean() < 5e-5


@pytest.mark.parametrize("consistency", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_large_pixels_are_written_into_files(tiled, photo, monkeypatch, dtype, consistency):
    monkeypatch.setattr("src.imaging.spool.LARGE", 1000)
    pictures = [photo[40:140, 100:160].astype(dtype), photo[140:240, 100:160].astype(dtype)]
    up = tiled("srdiff", tile=304, halo=96)
    sampling = up.resolve(steps=1, consistency=consistency)
    found = up.pixels(up.encode(to_network(pictures)), sampling, [3, 4], dtype=dtype, empty=new_picture)
    assert up.tiles((2, 100, 60)) and all(isinstance(picture, Stored) for picture in found)
    for one, expected in zip(found, up.upscale(pictures, [3, 4], steps=1, consistency=consistency), strict=True):
        assert isinstance(expected, np.ndarray) and one.dtype == dtype
        np.testing.assert_array_equal(one, expected)


def test_a_noise_source_is_asked_for_the_whole_picture(models, tiled, photo):
    lr, seeded = picture(photo, SIZES[0]), SeededNoise([3])
    up = tiled("srdiff", tile=288)
    found, expected = (up.sample(lr, sampler="ddpm", **given) for given in ({"noise": seeded.__call__}, {"seed": 3}))
    np.testing.assert_array_equal(found, expected)


def test_what_sees_all_steps_of_a_picture_is_refused_by_tiles(tiled, photo):
    with pytest.raises(UserError, match="have no steps as a whole: take --tile 0"):
        tiled("srdiff", tile=288).sample(picture(photo, SIZES[0]), callback=lambda *_: None)


def test_a_prepared_lr_up_is_cut_too(photo):
    """With a network that looks at LR↑."""
    select_device("CPU")
    ms.set_seed(2)
    config = tiny.config("srdiff", None, "unet.add_lr_up=true")
    networks = family_of(config).model_networks(family_of(config).model())
    whole, by_tiles = (tiny.around(config, networks, **options)
                       for options in ({}, {"tile": 288, "halo": 96}))  # fmt: skip
    lr = picture(photo, (30, 170))
    lr_up = whole.encode(lr).lr_up[:, :, ::-1, ::-1].copy()
    conditions = [up.encode(lr, lr_up) for up in (whole, by_tiles)]
    found, expected = (
        up.draw(condition, up.resolve(), 3) for up, condition in ((by_tiles, conditions[1]), (whole, conditions[0]))
    )
    assert deviation(found, expected) < 1e-4
    own = whole.encode(lr)
    difference = conditions[0].features[0].asnumpy() - own.features[0].asnumpy()
    assert np.abs(difference).max() > 0.01


def test_a_wider_halo_deviates_less(models, tiled, photo):
    lr = picture(photo, (30, 170))
    whole = models["srdiff"].sample(lr, seed=3)
    found = [deviation(tiled("srdiff", tile=208, halo=halo).sample(lr, seed=3), whole) for halo in (0, 16, 48, 80)]
    assert sorted(found, reverse=True) == found and found[0] > 10 * found[-1] > 0


def test_batches_are_tiled_together(tiled, photo):
    lr = np.concatenate([picture(photo, (60, 50)), picture(photo[::-1], (60, 50))])
    up = tiled("srdiff", tile=160, halo=32)
    together = up.sample(lr, seed=[5, 6])
    assert deviation(together[1:], up.sample(lr[1:], seed=6)) < 1e-5


def test_progress_counts_tiles_times_steps(tiled, photo):
    up, counted = tiled("srdiff", tile=160, halo=32), []
    up.sample(picture(photo, (60, 50)), steps=3, progress=lambda: counted.append(1))
    tiles = len(up.tiling.grid(1, 60, 50).windows)
    assert tiles > 2 and len(counted) == up.passes((1, 60, 50), up.resolve(steps=3)) == 3 * tiles


def test_networks_that_see_everything_are_told_of(caplog, photo):
    config = tiny.config("srdiff", None, "unet.groups=4")
    tiny.around(config, None, tile=160).tiling.grid(1, 60, 50)
    assert "this network looks at the whole picture" in caplog.text
