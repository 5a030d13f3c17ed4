"""Schedules and the process, in float64."""

import numpy as np
import pytest

from src.diffusion import process
from src.diffusion.schedule import Schedule, cosine_betas, half_log_snr, linear_betas, make_schedule
from src.errors import UserError


def test_cosine_schedule_is_a_schedule():
    betas = cosine_betas(100)
    assert betas.shape == (100,)
    assert (np.diff(betas) > 0).all()
    assert betas[-1] == 0.999  # clipped
    assert Schedule(betas).alphas_cumprod[-1] < 1e-6  # x_T is noise


def test_linear_schedule_of_the_residual_ends_in_noise():
    betas = linear_betas(50, 1e-4, 0.02, last=0.999)
    assert betas[0] == 1e-4
    assert betas[-1] == 0.999
    assert np.allclose(np.diff(betas[:-1]), np.diff(betas[:-1])[0])


def test_linear_schedule_of_pictures_ends_where_it_is_told():
    betas = make_schedule("linear", 2000, beta_start=1e-6, beta_end=1e-2, last_beta=None).betas
    assert betas.shape == (2000,) and betas[0] == 1e-6 and betas[-1] == 1e-2
    assert np.allclose(np.diff(betas), np.diff(betas)[0])


def test_unknown_schedule_is_refused():
    with pytest.raises(UserError, match="diffusion.schedule.*quadratic"):
        make_schedule("quadratic")


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 100_000, "beta_end": 0.02},  # the signal is lost to underflow
        {"steps": 1000, "beta_end": 0.99},
        {"steps": 10, "beta_start": 1e-17},  # the first step has no noise in float64
    ],
)
def test_schedules_that_leave_no_signal_or_no_noise_are_refused(settings):
    with pytest.raises(UserError, match="must stay between 0 and 1, but this one goes from .*: choose other betas"):
        make_schedule("linear", **settings)


def test_half_log_snr_is_exact_at_both_ends():
    for level in (-8.0, -1e-3, 0.0, 2.0, 8.0):
        assert half_log_snr(1 / (1 + np.exp(-2 * level))) == pytest.approx(level, abs=1e-8)
    schedule = make_schedule(steps=100)
    expected = np.log(schedule.signal_rate / schedule.noise_rate)
    np.testing.assert_allclose(schedule.half_log_snr, expected, atol=1e-9)
    assert (np.diff(schedule.half_log_snr) < 0).all()


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
