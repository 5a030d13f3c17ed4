"""Pictures by tiles equal the pictures as a whole, with real (tiny) networks."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import ops

from src.families.registry import family_of
from src.host.device import select_device
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
    by_tiles = tiled("srdiff", tile=288, halo="exact")
    assert by_tiles.passes((1, *size), by_tiles.resolve(steps=1)) >= 3
    options = {"seed": 3, "sampler": sampler, "steps": 4}
    whole = models["srdiff"].sample(lr, **options)
    assert deviation(by_tiles.sample(lr, **options), whole) < 1e-4
    assert deviation(tiled("srdiff", tile=96, halo=0).sample(lr, **options), whole) > 0.1


def test_exact_tiles_equal_the_whole_picture_where_the_base_is_the_encoders(models, tiled, photo):
    lr, options = picture(photo, SIZES[0]), {"seed": 3, "sampler": "ddim", "steps": 2}
    by_tiles, whole = tiled("of_encoder", tile=320, halo="exact"), models["of_encoder"].sample(lr, **options)
    assert by_tiles.passes((1, *SIZES[0]), by_tiles.resolve(steps=1)) >= 3
    assert deviation(by_tiles.sample(lr, **options), whole) < 1e-4
    assert deviation(tiled("of_encoder", tile=96, halo=0).sample(lr, **options), whole) > 0.1


@pytest.mark.parametrize("size", SIZES)
def test_exact_tiles_equal_the_whole_picture_rrdb(models, tiled, photo, size):
    lr = picture(photo, size)
    by_tiles, whole = tiled("rrdb", tile=304, halo="exact"), models["rrdb"].sample(lr)
    assert by_tiles.passes((1, *size), by_tiles.resolve()) >= 3
    assert deviation(by_tiles.sample(lr), whole) < 1e-4
    assert deviation(tiled("rrdb", tile=96, halo=0).sample(lr), whole) > 0.1


@pytest.mark.parametrize("kept", [0, 2])
def test_features_that_do_not_fit_are_computed_anew(models, tiled, photo, kept):
    lr = picture(photo, (30, 170))
    up = tiled("srdiff", tile=288, halo="exact")
    window = up.encode(lr).features(0)[0].nbytes
    up.tiling.features_budget = lambda grid, batch: (kept + 0.5) * window
    condition = up.encode(lr)
    encoded = []
    up.networks, whole = Counting(up.networks, encoded), up.networks
    condition = up.encode(lr)
    count = len(condition.grid.windows)
    assert count > 2 and len(encoded) == count
    found = up.draw(condition, up.resolve(steps=2), 3)
    assert len(encoded) == count + 2 * (count - kept)
    up.networks = whole
    assert deviation(found, models["srdiff"].sample(lr, seed=3, steps=2)) < 1e-4
    np.testing.assert_allclose(condition.lr_up, models["srdiff"].encode(lr).lr_up, atol=1e-6)


class Counting:
    """Networks that remember what they encoded."""

    def __init__(self, networks, encoded):
        self._networks, self._encoded = networks, encoded

    def __getattr__(self, name):
        return getattr(self._networks, name)

    def encode(self, lr, lr_up=None):
        self._encoded.append(lr.shape)
        return self._networks.encode(lr, lr_up)


def test_a_prepared_lr_up_is_cut_too(photo):
    """With a network that looks at LR↑."""
    select_device("CPU")
    ms.set_seed(2)
    config = tiny.config("srdiff", None, "unet.add_lr_up=true")
    networks = family_of(config).model_networks(family_of(config).model())
    whole, by_tiles = (tiny.around(config, networks, **options)
                       for options in ({}, {"tile": 288, "halo": "exact"}))  # fmt: skip
    lr = picture(photo, (30, 170))
    lr_up = whole.encode(lr).lr_up[:, :, ::-1, ::-1].copy()
    conditions = [up.encode(lr, lr_up) for up in (whole, by_tiles)]
    found, expected = (
        up.draw(condition, up.resolve(), 3) for up, condition in ((by_tiles, conditions[1]), (whole, conditions[0]))
    )
    assert deviation(found, expected) < 1e-4
    own = whole.encode(lr)
    difference = conditions[0].features(0)[0].asnumpy() - own.features(0)[0].asnumpy()
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
    assert not tiny.around(config, None, halo=999999).tiling.exact
