"""The sampler on networks whose answer is known, and its noise."""

import numpy as np
import pytest

from src.diffusion.samplers.ddpm import ddpm
from src.diffusion.samplers.noise import SeededNoise
from src.diffusion.schedule import make_schedule, posterior
from src.diffusion.target import ResidualTarget

SCHEDULE = make_schedule(steps=100)


def gaussian_denoiser(mean, deviation):
    """E[x_0 | x_t] for x_0 ~ N(mean, deviation²): the perfect network for Gaussian pictures."""

    def denoise(x, step):
        signal, variance = step.alpha_bar**0.5, deviation**2
        gain = signal * variance / (step.alpha_bar * variance + 1 - step.alpha_bar)
        return mean + gain * (x - signal * mean)

    return denoise


@pytest.mark.parametrize("count", [1, 10, 100])
def test_a_point_is_always_found(count):
    shape = (2, 3, 4, 4)
    goal = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    x = ddpm(lambda x, step: goal, shape, SCHEDULE.steps(count), SeededNoise([1, 2]))
    assert x.dtype == np.float32
    assert np.allclose(x, goal, atol=1e-6)


def test_a_gaussian_is_sampled_with_its_mean_and_deviation():
    """Everything is linear, so the sample's mean and variance follow step by step, and come near N(0.3, 0.2²)."""
    denoise, mean, variance = gaussian_denoiser(0.3, 0.2), 0.0, 1.0
    for step in SCHEDULE.steps():
        of_x0, of_xt, deviation = posterior(step)
        gain = of_x0 * (denoise(1.0, step) - denoise(0.0, step)) + of_xt
        mean = gain * mean + of_x0 * denoise(0.0, step)
        variance = gain**2 * variance + deviation**2
    x = ddpm(denoise, (4, 3, 64, 64), SCHEDULE.steps(), SeededNoise(range(4)))
    assert x.mean() == pytest.approx(mean, abs=0.005)
    assert x.std() == pytest.approx(variance**0.5, rel=0.01)
    assert mean == pytest.approx(0.3, abs=1e-3)
    assert variance**0.5 == pytest.approx(0.2, rel=0.1)  # the posterior's variance is the smaller of DDPM's two choices


def test_temperature_0_is_deterministic_and_1_is_not():
    shape, denoise = (1, 3, 8, 8), gaussian_denoiser(0.3, 0.2)
    cold = [ddpm(denoise, shape, SCHEDULE.steps(10), SeededNoise([seed]), temperature=0) for seed in (1, 2)]
    warm = [ddpm(denoise, shape, SCHEDULE.steps(10), SeededNoise([seed])) for seed in (1, 2)]
    assert np.array_equal(*cold)
    assert np.allclose(cold[0], 0.3, atol=0.01)
    assert not np.allclose(*warm)


def test_draws_are_numbered_and_the_last_step_takes_none():
    asked, seen = [], []

    def noise(k, shape):
        asked.append(k)
        return np.zeros(shape, np.float32)

    steps = SCHEDULE.steps(5)
    ddpm(lambda x, step: x, (1, 3, 2, 2), steps, noise, callback=lambda k, step, x, x_0: seen.append((k, step)))
    assert asked == [0, 1, 2, 3, 4]
    assert seen == list(enumerate(steps))


def test_tensors_go_through_the_same_code():
    ms = pytest.importorskip("mindspore")
    shape, denoise, source = (1, 3, 4, 4), gaussian_denoiser(0.1, 0.3), SeededNoise([5])
    expected = ddpm(denoise, shape, SCHEDULE.steps(10), source)
    tensor = ddpm(denoise, shape, SCHEDULE.steps(10), lambda k, shape: ms.Tensor(source(k, shape)))
    assert isinstance(tensor, ms.Tensor)
    assert np.allclose(tensor.asnumpy(), expected, atol=1e-6)


def test_noise_belongs_to_the_picture_not_to_the_batch():
    together, alone = SeededNoise([7, 8]), SeededNoise([8])
    assert np.array_equal(together(3, (2, 3, 4, 4))[1], alone(3, (1, 3, 4, 4))[0])
    assert not np.array_equal(together(3, (2, 3, 4, 4)), together(4, (2, 3, 4, 4)))
    draw = SeededNoise([0])(0, (1, 3, 128, 128))
    assert draw.dtype == np.float32
    assert draw.mean() == pytest.approx(0, abs=0.02)
    assert draw.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("clip", [True, False])
def test_the_residual_leads_back_to_the_picture(clip):
    rng = np.random.default_rng(0)
    lr_up = rng.uniform(-0.5, 0.5, (1, 3, 8, 8))
    hr = lr_up + rng.uniform(-0.49, 0.49, lr_up.shape)
    target = ResidualTarget(2.0, clip)
    assert np.abs(target.to_x0(hr, lr_up)).max() <= 1
    assert np.allclose(target.to_picture(target.to_x0(hr, lr_up), lr_up), hr)
    far = target.to_x0(lr_up + 3, lr_up)
    assert np.allclose(far, 1 if clip else 6)
