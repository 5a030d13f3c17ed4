"""What is diffused and how it is told, there and back."""

import numpy as np
import pytest

from src.diffusion import process
from src.diffusion.process import ImageTarget, ResidualTarget
from src.diffusion.schedule import make_schedule


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


@pytest.mark.parametrize("clip", [True, False])
def test_the_image_is_itself(clip):
    rng = np.random.default_rng(0)
    hr, lr_up = rng.uniform(-1, 1, (2, 1, 3, 8, 8))
    target = ImageTarget(clip)
    for base in (lr_up, None):
        np.testing.assert_array_equal(target.to_x0(hr, base), hr)
        np.testing.assert_array_equal(target.to_picture(hr, base), hr)
        np.testing.assert_array_equal(target.unclipped(hr, base), hr)
    assert np.abs(target.to_picture(3 * hr, None)).max() == (1 if clip else np.abs(3 * hr).max())


@pytest.mark.parametrize("t", [0, 37, 98])
def test_all_parametrisations_lead_back(t):
    rng = np.random.default_rng(t)
    x_0, noise = rng.uniform(-1, 1, (2, 3, 8, 8)), rng.standard_normal((2, 3, 8, 8))
    schedule = make_schedule(steps=100)
    rates = float(schedule.signal_rate[t]), float(schedule.noise_rate[t])
    x_t = process.q_sample(x_0, noise, *rates)
    v = process.velocity(x_0, noise, *rates)
    assert np.allclose(process.x0_from_noise(x_t, noise, *rates), x_0, atol=1e-9)
    assert np.allclose(process.noise_from_x0(x_t, x_0, *rates), noise, atol=1e-9)
    assert np.allclose(process.x0_from_velocity(x_t, v, *rates), x_0, atol=1e-9)
    assert np.allclose(process.noise_from_velocity(x_t, v, *rates), noise, atol=1e-9)
