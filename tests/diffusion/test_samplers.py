"""The contract that all samplers keep."""

import weakref
from functools import partial

import numpy as np
import pytest

from src.diffusion.samplers import SAMPLERS, SeededNoise, ddim, sampler_named
from src.diffusion.schedule import SPACINGS, make_schedule
from src.errors import UserError
from tests.diffusion import gaussian

SCHEDULE = make_schedule(steps=100)
STEPS = SCHEDULE.steps(10)
SHAPE = (2, 3, 4, 5)
DETERMINISTIC = {"ddim", "dpmpp_2m"}
VARIANTS = {**SAMPLERS, "ddim, eta 0.5": partial(ddim, eta=0.5), "ddim, eta 1": partial(ddim, eta=1)}
NETWORK = gaussian.denoiser(0.04, 0.3)


@pytest.fixture(params=VARIANTS)
def name(request):
    return request.param


@pytest.fixture
def sample(name):
    return VARIANTS[name]


def test_shape_and_dtype_are_those_of_the_noise(sample):
    for dtype in (np.float32, np.float64):
        x = sample(NETWORK, SHAPE, STEPS, lambda k, shape, dtype=dtype: np.ones(shape, dtype))
        assert x.shape == SHAPE
        assert x.dtype == dtype


def test_a_temperature_that_is_a_numpy_number_keeps_float32(sample):
    assert sample(NETWORK, SHAPE, STEPS, SeededNoise([1, 2]), temperature=np.float64(0.5)).dtype == np.float32


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_point_is_always_found(sample, spacing):
    goal = np.random.default_rng(0).uniform(-1, 1, SHAPE).astype(np.float32)
    for count in (1, 2, 3, 10, 100):
        x = sample(lambda x, step: goal, SHAPE, SCHEDULE.steps(count, spacing), SeededNoise([1, 2]))
        np.testing.assert_array_equal(x, goal)
        assert x is not goal


def test_the_temperature_scales_all_noise(sample):
    """Around a linear network the sample is linear in the noise."""
    full, half, none, other = (
        sample(gaussian.denoiser(0.04), SHAPE, STEPS, SeededNoise(seeds), temperature)
        for seeds, temperature in (([1, 2], 1), ([1, 2], 0.5), ([1, 2], 0), ([3, 4], 1))
    )
    np.testing.assert_allclose(half, 0.5 * full, atol=1e-6)
    assert not none.any()
    assert np.abs(full - other).max() > 0.01


def test_temperature_0_is_deterministic(sample):
    first, other = (sample(NETWORK, SHAPE, STEPS, SeededNoise(seeds), 0) for seeds in ([1, 2], [3, 4]))
    np.testing.assert_array_equal(first, other)
    np.testing.assert_allclose(first, 0.3, atol=0.05)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("temperature", [1, 0])
def test_draws_are_numbered_and_asked_only_where_they_count(name, sample, count, temperature):
    asked = []

    def noise(k, shape):
        asked.append((k, shape))
        return np.ones(shape, np.float32)

    sample(NETWORK, SHAPE, SCHEDULE.steps(count), noise, temperature)
    draws = 1 if name in DETERMINISTIC or temperature == 0 else count
    assert asked == [(k, SHAPE) for k in range(draws)]


def test_the_callback_comes_once_after_each_step(sample):
    seen, estimates = [], []

    def denoise(x, step):
        if seen:
            np.testing.assert_array_equal(x, seen[-1][2])
        estimates.append(NETWORK(x, step))
        return estimates[-1]

    def callback(k, step, x, x_0):
        assert x_0 is estimates[-1]
        seen.append((k, step, x.copy()))

    x = sample(denoise, SHAPE, STEPS, SeededNoise([1, 2]), callback=callback)
    assert [entry[:2] for entry in seen] == list(enumerate(STEPS))
    np.testing.assert_array_equal(seen[-1][2], x)
    np.testing.assert_array_equal(estimates[-1], x)


def test_tensors_go_through_the_same_code(sample):
    ms = pytest.importorskip("mindspore")
    source = SeededNoise([1, 2])
    temperature = np.float64(0.7)  # NumPy's number times a tensor would be an array
    expected = sample(NETWORK, SHAPE, STEPS, source, temperature)
    tensor = sample(NETWORK, SHAPE, STEPS, lambda k, shape: ms.Tensor(source(k, shape)), temperature)
    assert isinstance(tensor, ms.Tensor) and tensor.dtype == ms.float32
    np.testing.assert_allclose(tensor.asnumpy(), expected, atol=1e-5)


def test_what_noise_and_denoise_return_is_only_read(sample):
    def frozen(array):
        array.flags.writeable = False
        return array

    source = SeededNoise([1, 2])
    expected = sample(NETWORK, SHAPE, STEPS, source)
    x = sample(
        lambda x, step: frozen(NETWORK(x, step)), SHAPE, STEPS, lambda k, shape: frozen(source(k, shape))
    )  # fmt: skip
    np.testing.assert_array_equal(x, expected)
    x += 1  # the result is the caller's


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x[:]])
def test_a_network_may_return_what_it_was_given(sample, view):
    seen = []
    x = sample(
        lambda x, step: view(x), SHAPE, STEPS, SeededNoise([1, 2]),
        callback=lambda k, step, x, x_0: seen.append(np.may_share_memory(x, x_0)),
    )  # fmt: skip
    np.testing.assert_array_equal(x, sample(lambda x, step: x.copy(), SHAPE, STEPS, SeededNoise([1, 2])))
    assert not any(seen)


def test_a_network_may_return_views(sample):
    def cropped(x, step):
        return np.pad(NETWORK(x, step), ((0, 0), (0, 0), (1, 2), (3, 1)))[:, :, 1:-2, 3:-1]

    expected = sample(NETWORK, SHAPE, STEPS, SeededNoise([1, 2]))
    np.testing.assert_array_equal(sample(cropped, SHAPE, STEPS, SeededNoise([1, 2])), expected)


def test_no_large_array_is_kept_longer_than_it_is_needed(name, sample):
    """A picture of 7680 × 4320 takes 400 MB: while the network runs, x and at most one earlier x_0 are alive."""
    made = []

    def remember(array):
        made.append(weakref.ref(array))
        return array

    def denoise(x, step):
        alive = [array for array in (ref() for ref in made) if array is not None]
        assert len(alive) <= (1 if name.startswith("dpmpp") else 0)
        return remember(NETWORK(x, step))

    source = SeededNoise([1, 2])
    sample(denoise, SHAPE, STEPS, lambda k, shape: remember(source(k, shape)))
    assert not any(ref() is not None for ref in made)
    assert len(made) >= len(STEPS) + 1


def test_noise_of_another_shape_is_refused(sample):
    with pytest.raises(UserError, match=r"must give arrays \(2, 3, 4, 5\), but its draw 0 is \(1, 3, 4, 5\)"):
        sample(NETWORK, SHAPE, STEPS, lambda k, shape: np.ones((1, 3, 4, 5)))


@pytest.mark.parametrize("schedule", [make_schedule(steps=100), make_schedule("linear", 1000)])
def test_a_gaussian_is_sampled_with_its_deviation(sample, schedule):
    """All trained steps, from ᾱ = 2e-7 on: what is left is the sampler's own error, of first or second order."""
    for variance in (0.04, 0.5):
        found = gaussian.sampled_variance(sample, variance, schedule.steps())
        assert found**0.5 == pytest.approx(variance**0.5, rel=0.1)


@pytest.mark.parametrize("eta", [-0.1, 1.1, float("nan")])
def test_eta_out_of_range_is_refused(eta):
    with pytest.raises(UserError, match="eta must be from 0 to 1, not"):
        ddim(NETWORK, SHAPE, STEPS, SeededNoise([1, 2]), eta=eta)


def test_samplers_are_found_by_name():
    assert list(SAMPLERS) == ["ddpm", "ddim", "dpmpp_2m", "dpmpp_2m_sde", "sr3"]
    assert all(sampler_named(name) is function for name, function in SAMPLERS.items())
    with pytest.raises(
        UserError, match="^sampler must be one of ddpm, ddim, dpmpp_2m, dpmpp_2m_sde, sr3, not 'euler'$"
    ):
        sampler_named("euler")
