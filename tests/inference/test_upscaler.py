"""The upscalers around networks whose answers are known, and around the tiny networks."""

import mindspore as ms
import numpy as np
import pytest

from src.build import load_upscaler
from src.diffusion.process import noise_from_x0
from src.diffusion.samplers import SAMPLERS
from src.diffusion.schedule import SPACINGS
from src.errors import UserError
from src.imaging.back_projection import BackProjection
from src.inference.networks import DiffusionNetworks
from src.metrics.scores import lr_psnr
from tests import tiny

LR = np.random.default_rng(0).uniform(-1, 1, (2, 3, 5, 9)).astype(np.float32)


class Nearest:
    """Networks whose LR↑ repeats pixels and that see the same x_0 in everything."""

    x_0 = 0.5

    def __init__(self, config):
        self.rates = tiny.around(config, None).schedule
        self.velocity = config.diffusion.prediction == "velocity"
        self.encoded = 0

    def encode(self, lr, lr_up=None):
        self.encoded += 1
        return "features", lr.repeat(4, 2).repeat(4, 3) if lr_up is None else lr_up

    def denoise(self, x_t, t, features):
        assert features == "features" and t.dtype == np.int32 and x_t.dtype == np.float32
        signal, noise_rate = self.rates.signal_rate[t[0]], self.rates.noise_rate[t[0]]
        noise = noise_from_x0(x_t, self.x_0, signal, noise_rate)
        return (signal * noise - noise_rate * self.x_0 if self.velocity else noise).astype(np.float32)


def upscaler(*settings):
    config = tiny.config("srdiff", None, *settings)
    return tiny.around(config, Nearest(config))


@pytest.fixture(scope="module")
def real(tiny_checkpoints):
    return {name: load_upscaler(path, "CPU") for name, path in tiny_checkpoints.items()}


@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_a_network_that_knows_x0_gives_it(prediction):
    up = upscaler(f"diffusion.prediction={prediction}")
    for steps in (1, 2, 4):
        expected = LR.repeat(4, 2).repeat(4, 3) + 0.25  # x_0 / 2
        # at the last t, 1/√ᾱ enlarges the rounding of float32 a thousand times
        np.testing.assert_allclose(up.sample(LR, steps=steps), expected, atol=1e-4)
    assert up.networks.encoded == 3


@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_predict_noise_gives_the_noise(prediction):
    up = upscaler(f"diffusion.prediction={prediction}")
    x_t = np.random.default_rng(1).standard_normal((2, 3, 20, 36)).astype(np.float32)
    t = np.array([2, 2], np.int32)
    found = up.predict_noise(x_t, t, up.encode(LR))
    expected = noise_from_x0(x_t, 0.5, up.schedule.signal_rate[2], up.schedule.noise_rate[2])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_given_lr_up_is_used_as_it_is():
    given = np.random.default_rng(2).uniform(-1, 1, (2, 3, 20, 36)).astype(np.float32)
    up = upscaler()
    np.testing.assert_array_equal(up.encode(LR, given).lr_up, given)
    np.testing.assert_allclose(up.sample(LR, lr_up=given), given + 0.25, atol=2e-5)
    with pytest.raises(UserError, match=r"lr_up must have the shape \(2, 3, 20, 36\), not \(2, 3, 5, 9\)"):
        up.sample(LR, lr_up=LR)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "the number of sampling steps must be from 1 to 4 for this model, not 0"),
        ({"steps": 5}, "from 1 to 4 for this model, not 5"),
        ({"temperature": -0.1}, "the temperature must be a number from 0 to 100, not -0.1"),
        ({"temperature": float("nan")}, "from 0 to 100, not nan"),
        ({"temperature": float("inf")}, "from 0 to 100, not inf"),
        ({"sampler": "euler"}, "sampler must be one of ddpm, ddim, dpmpp_2m, dpmpp_2m_sde, sr3, not 'euler'"),
    ],
)
def test_options_out_of_range_are_refused_before_the_work(options, message):
    up = upscaler()
    with pytest.raises(UserError, match=message):
        up.sample(LR, **options)
    assert up.networks.encoded == 0


@pytest.mark.parametrize("shape", [(3, 5, 9), (1, 4, 5, 9), (0, 3, 5, 9), (1, 3, 0, 9)])
def test_arrays_of_another_shape_are_refused(shape):
    with pytest.raises(UserError, match=r"LR pictures must be an array \(B, 3, h, w\)"):
        upscaler().encode(np.zeros(shape, np.float32))


def test_callback_and_noise_source_are_asked_once_for_each_step():
    up, drawn, seen = upscaler(), [], []

    def draw(k, shape):
        drawn.append((k, shape))
        return np.zeros(shape, np.float32)

    up.sample(LR, steps=3, noise=draw, callback=lambda k, step, x, x_0: seen.append((k, step.t)))
    assert drawn == [(k, (2, 3, 20, 36)) for k in range(3)]
    assert seen == [(0, 3), (1, 2), (2, 0)]


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (7, 5), (16, 12)])
def test_every_size_can_be_upscaled(real, system, size, photo):
    picture = photo[: size[0], : size[1]]
    (found,) = real[system].upscale([picture])
    assert found.shape == (4 * size[0], 4 * size[1], 3) and found.dtype == np.uint8


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
def test_a_picture_is_the_same_alone_and_among_others(real, system):
    together = real[system].sample(LR, seed=[5, 6])
    for number in range(2):
        alone = real[system].sample(LR[number : number + 1], seed=5 + number)
        np.testing.assert_allclose(alone, together[number : number + 1], atol=1e-5)


def test_the_seed_decides(real):
    first, again, other = (real["srdiff"].sample(LR, seed=seed) for seed in (3, 3, 30))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_temperature_zero_has_no_chance(real):
    first, other = (real["srdiff"].sample(LR, seed=seed, temperature=0.0) for seed in (3, 30))
    np.testing.assert_array_equal(first, other)


def test_a_real_lr_up_is_the_default(real):
    up = real["srdiff"]
    lr_up = up.encode(LR).lr_up
    np.testing.assert_allclose(up.sample(LR, lr_up=lr_up), up.sample(LR), atol=1e-5)


def test_networks_that_cannot_take_an_lr_up_say_so():
    networks = DiffusionNetworks(None, None, project=None, uses_lr_up=True)
    with pytest.raises(UserError, match="this export computes LR↑ itself"):
        networks.encode(LR, LR)


def test_pynative_mode_gives_the_same(real, tiny_checkpoints):
    try:
        found = load_upscaler(tiny_checkpoints["srdiff"], "CPU", graph=False).sample(LR, seed=3)
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(found, real["srdiff"].sample(LR, seed=3), atol=1e-5)


def test_samples_share_one_encoding_and_are_what_each_seed_gives(photo):
    up = upscaler()
    pictures = [photo[:5, :9], photo[100:105, :9]]
    several = list(up.samples(pictures, seeds=[4, 9], count=3))
    assert up.networks.encoded == 1 and len(several) == 3
    lr = np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    for k, sample in enumerate(several):
        np.testing.assert_array_equal(sample, up.sample(lr, seed=[4 + k, 9 + k]))


def test_samples_are_checked_before_the_first(photo):
    with pytest.raises(UserError, match="the number of samples must be at least 1, not 0"):
        next(upscaler().samples([photo[:5, :9]], count=0))


def test_what_samples_nothing_has_one_sample(real, photo):
    with pytest.raises(UserError, match="this model samples nothing, 3 samples would be equal"):
        next(real["rrdb"].samples([photo[:5, :9]], count=3))


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 20)])
def test_a_consistent_result_reduces_to_the_lr_picture(real, system, size, photo):
    lr = photo[200 : 200 + size[0], 180 : 180 + size[1]]
    (found,) = real[system].upscale([lr], seeds=[3], consistency=True)
    assert lr_psnr(found, lr) >= 50
    if system == "srdiff":  # the untrained rrdb is bicubic, which is near anyway
        assert lr_psnr(real[system].upscale([lr], seeds=[3], consistency=False)[0], lr) < 40


def test_every_step_is_projected():
    """The network wants x_0 = 0.5 everywhere; what it may not change, the reduced picture, comes from LR."""
    up, seen = upscaler("diffusion.prediction=velocity"), []
    projection = BackProjection(5, 9, 4)
    goal = 2 * (LR - projection.reduce(LR.repeat(4, 2).repeat(4, 3)))
    up.sample(LR, steps=4, consistency=True, callback=lambda k, step, x, x_0: seen.append(projection.reduce(x_0)))
    assert len(seen) == 4
    for reduced in seen:
        np.testing.assert_allclose(reduced, goal, atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_and_spacing_finds_what_the_network_knows(sampler):
    up = upscaler("diffusion.prediction=velocity")
    for spacing in SPACINGS:
        found = up.sample(LR, sampler=sampler, spacing=spacing, steps=3)
        np.testing.assert_allclose(found, LR.repeat(4, 2).repeat(4, 3) + 0.25, atol=1e-5)
