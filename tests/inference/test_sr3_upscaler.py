"""The upscaler around SR3 and DDPM networks, and unconditional ones."""

import numpy as np
import pytest

from src.build import load_upscaler
from src.diffusion.process import noise_from_x0, velocity
from src.errors import UserError
from src.families.registry import family_of
from src.imaging.back_projection import BackProjection
from src.imaging.resize import imresize
from src.inference.tile_size import TileOptions
from src.metrics.scores import lr_psnr
from tests import tiny, tiny_sr3

RANDOM = np.random.default_rng(0)
LR = RANDOM.uniform(-1, 1, (2, 3, 5, 9)).astype(np.float32)
LR_UP = RANDOM.uniform(-1, 1, (2, 3, 20, 36)).astype(np.float32)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sr3")
    options = {"sr3": (), "ddpm": ("sr3.noise_level=discrete",), "uncond": tiny_sr3.UNCONDITIONAL}
    return {name: tiny_sr3.checkpoint(folder / f"{name}.ckpt", *given) for name, given in options.items()}


@pytest.fixture(scope="module")
def real(paths):
    return {name: load_upscaler(path, "CPU") for name, path in paths.items()}


class Knowing:
    """Networks that see one x_0 in everything, told √ᾱ."""

    lr_up_suffices = True
    x_0 = 0.25

    def __init__(self, predicts_velocity):
        self.predicts_velocity = predicts_velocity

    def encode(self, lr, lr_up=None):
        return None, lr.repeat(4, 2).repeat(4, 3) if lr_up is None else lr_up

    def denoise(self, x_t, t, features):
        assert t.dtype == np.float32
        signal, noise_rate = t.reshape(-1, 1, 1, 1), np.sqrt(1 - t.reshape(-1, 1, 1, 1) ** 2)
        noise = noise_from_x0(x_t, self.x_0, signal, noise_rate)
        return velocity(self.x_0, noise, signal, noise_rate) if self.predicts_velocity else noise


@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_a_network_that_knows_x0_gives_it(prediction):
    up = tiny.around(tiny_sr3.config(f"diffusion.prediction={prediction}"), Knowing(prediction == "velocity"))
    for steps in (1, 2, 4):
        np.testing.assert_allclose(up.sample(LR, steps=steps), 0.25, atol=1e-4)
    level = np.full(2, 0.6, np.float32)
    found = up.predict_noise(LR_UP, level, up.encode(LR))
    np.testing.assert_allclose(found, noise_from_x0(LR_UP, 0.25, 0.6, 0.8), atol=1e-5)


@pytest.mark.parametrize("sampler", ["ddpm", "sr3", "ddim", "dpmpp_2m", "dpmpp_2m_sde"])
def test_a_schedule_of_its_own_is_told_exactly(sampler):
    networks, noise_levels = Knowing(False), []
    denoise = networks.denoise
    networks.denoise = lambda x_t, t, features: noise_levels.append(t) or denoise(x_t, t, features)
    up = tiny.around(tiny_sr3.config(), networks)
    found = up.sample(LR, sampler=sampler, steps=6, spacing="quadratic_beta:1e-3,0.3")  # of 4 trained ones
    np.testing.assert_allclose(found, 0.25, atol=1e-4)
    levels = np.cumprod(1 - np.linspace(1e-3**0.5, 0.3**0.5, 6) ** 2)[::-1] ** 0.5
    np.testing.assert_allclose(noise_levels, levels[:, None].repeat(2, 1), rtol=1e-6)


def test_an_export_carries_the_levels_of_a_schedule_of_its_own():
    for noise_level, count in (("continuous", 3), ("discrete", 4)):
        family = family_of(
            tiny_sr3.config(f"sr3.noise_level={noise_level}", "eval.steps=3", "eval.spacing=betas:1e-4,0.01,0.6")
        )
        about = family.description()
        alphas, times = about["alphas_cumprod"], about["sampling"]["times"]
        assert [alphas[t] for t in times] == [step.alpha_bar for step in family.steps()]
        assert len(alphas) == count


@pytest.mark.parametrize("name", ["sr3", "ddpm"])
def test_the_condition_is_the_enlarged_picture(real, name, photo):
    up, lr = real[name], photo[:6, :8].transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
    bicubic = imresize(lr[0].transpose(1, 2, 0), 4).clip(-1, 1).transpose(2, 0, 1)
    np.testing.assert_allclose(up.encode(lr).lr_up[0], bicubic, atol=1e-5)
    given = up.encode(None, LR_UP)
    np.testing.assert_array_equal(given.lr_up, LR_UP)
    assert given.shape == LR_UP.shape
    np.testing.assert_allclose(up.sample(None, lr_up=up.encode(LR).lr_up, seed=3), up.sample(LR, seed=3), atol=1e-5)
    np.testing.assert_allclose(up.sample(LR, lr_up=LR_UP), up.sample(None, lr_up=LR_UP), atol=1e-5)


@pytest.mark.parametrize("name", ["sr3", "ddpm"])
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (7, 5)])
def test_every_size_can_be_upscaled(real, name, size, photo):
    (found,) = real[name].upscale([photo[: size[0], : size[1]]], sampler="ddim", steps=2)
    assert found.shape == (4 * size[0], 4 * size[1], 3) and found.dtype == np.uint8


def test_a_picture_is_the_same_alone_and_among_others(real):
    for up, given in ((real["sr3"], {"lr": LR}), (real["uncond"], {"lr": None, "shape": (2, 3, 12, 8)})):
        together = up.sample(**given, seed=[5, 6])
        one = {"lr": LR[1:]} if given["lr"] is not None else {"lr": None, "shape": (1, 3, 12, 8)}
        np.testing.assert_allclose(up.sample(**one, seed=6), together[1:], atol=1e-5)


@pytest.mark.parametrize("given", [{"lr": LR}, {"lr": None, "lr_up": LR_UP}])
def test_tiles_see_their_own_part_of_lr_up(paths, given):
    up = load_upscaler(paths["sr3"], "CPU", tile_options=TileOptions(tile=16, halo=4))
    condition = up.encode(**given)
    assert not condition.grid.whole
    whole = load_upscaler(paths["sr3"], "CPU", tile_options=TileOptions(tile=0)).encode(**given).lr_up
    for window in condition.grid.windows:
        part, _ = condition.grid.read(whole, window)
        np.testing.assert_allclose(condition.of(window).features[0], part, atol=1e-5)
    assert up.sample(**given).shape == LR_UP.shape


def test_unconditional(real, paths):
    up, shape = real["uncond"], (2, 3, 16, 24)
    first, again, other = (up.sample(None, shape=shape, seed=seed) for seed in (3, 3, 30))
    assert first.shape == shape and np.abs(first).max() <= 1
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    assert up.sample(None, shape=(1, 3, 7, 5)).shape == (1, 3, 7, 5)  # padded to what the levels divide
    tiled = load_upscaler(paths["uncond"], "CPU", tile_options=TileOptions(tile=8, halo=2))
    with pytest.raises(UserError, match="pictures from nothing cannot be made in tiles"):
        tiled.sample(None, shape=shape)
    level = np.full(2, 0.5, np.float32)
    x_t = RANDOM.standard_normal(shape).astype(np.float32)
    np.testing.assert_array_equal(up.predict_noise(x_t, level, None), up.predict_noise(x_t, level, up.encode(None)))


def test_consistency(real, photo):
    lr = photo[:8, :8].transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
    sr = real["sr3"].sample(lr, consistency=True)
    assert np.abs(BackProjection(8, 8, 4).reduce(sr) - lr).mean() < 0.002
    (picture,) = real["sr3"].upscale([photo[:8, :8]], consistency=True)
    assert lr_psnr(picture, photo[:8, :8]) > 45


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("sr3", {"lr": None}, r"enlarges pictures: give them as lr, an array \(B, 3, h, w\)"),
        ("sr3", {"lr": None, "shape": (1, 3, 8, 8)}, r"give them as lr, and no shape \(1, 3, 8, 8\)"),
        ("sr3", {"lr": None, "lr_up": LR_UP[..., :35]}, "H and W multiples of 4, not"),
        ("sr3", {"lr": LR, "lr_up": LR}, r"lr_up must have the shape \(2, 3, 20, 36\), not \(2, 3, 5, 9\)"),
        ("sr3", {"lr": LR, "shape": (1, 3, 8, 8)}, "the shape of the result is that of lr"),
        ("sr3", {"lr": None, "lr_up": LR_UP, "consistency": True}, "consistency is with LR pictures"),
        ("uncond", {"lr": None}, r"of which size\? call sample\(None, shape=\(B, 3, H, W\)\)"),
        ("uncond", {"lr": LR}, "from nothing and enlarges none: call sample"),
        ("uncond", {"lr": None, "lr_up": LR_UP}, "enlarges none"),
        ("uncond", {"lr": None, "shape": (3, 8, 8)}, r"the shape of pictures is \(B, 3, H, W\), not \(3, 8, 8\)"),
        ("uncond", {"lr": None, "shape": (1, 3, 8, 8), "consistency": True}, "consistency is with LR pictures"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(real, name, arguments, message):
    with pytest.raises(UserError, match=message):
        real[name].sample(**arguments)


def test_pictures_to_enlarge_are_refused_by_a_model_without_any_use_for_them(real, photo):
    with pytest.raises(UserError, match="from nothing"):
        real["uncond"].upscale([photo[:8, :8]])


def test_an_srdiff_needs_lr_beside_lr_up(tiny_checkpoints):
    with pytest.raises(UserError, match="enlarges pictures: give them as lr"):
        load_upscaler(tiny_checkpoints["srdiff"], "CPU").encode(None, LR_UP)
