"""Schedules, the process and the posterior, in float64."""

import math

import numpy as np
import pytest

from src.diffusion import process
from src.diffusion.schedule import Schedule, cosine_betas, linear_betas, make_schedule, posterior
from src.errors import UserError


def test_cosine_schedule_is_a_schedule():
    betas = cosine_betas(100)
    assert betas.shape == (100,)
    assert (np.diff(betas) > 0).all()
    assert betas[-1] == 0.999  # clipped
    assert Schedule(betas).alphas_cumprod[-1] < 1e-6  # x_T is noise


def test_linear_schedule_ends_in_noise():
    betas = linear_betas(50, 1e-4, 0.02)
    assert betas[0] == 1e-4
    assert betas[-1] == 0.999
    assert np.allclose(np.diff(betas[:-1]), np.diff(betas[:-1])[0])


def test_unknown_schedule_is_refused():
    with pytest.raises(UserError, match="diffusion.schedule.*quadratic"):
        make_schedule("quadratic")


@pytest.mark.parametrize("count", [1, 2, 7, 99, 100])
def test_steps_cover_the_schedule(count):
    schedule = make_schedule(steps=100)
    steps = schedule.steps(count)
    assert len(steps) == count
    assert steps[0].t == 99
    assert steps[-1].t_prev == -1
    assert steps[-1].alpha_bar_prev == 1.0
    assert all(a.t_prev == b.t for a, b in zip(steps, steps[1:], strict=False))
    assert all(step.t > step.t_prev for step in steps)
    if count > 1:
        assert steps[-1].t == 0


@pytest.mark.parametrize("count", [0, -1, 101])
def test_impossible_step_counts_are_refused(count):
    with pytest.raises(UserError, match=f"from 1 to 100.*{count}"):
        make_schedule(steps=100).steps(count)


def test_posterior_agrees_with_the_tables():
    schedule = make_schedule(steps=100)
    before = schedule.alphas_cumprod_prev
    after = schedule.alphas_cumprod
    for step in schedule.steps():
        t = step.t
        of_x0, of_xt, deviation = posterior(step)
        assert of_x0 == pytest.approx(schedule.betas[t] * math.sqrt(before[t]) / (1 - after[t]), rel=1e-9)
        assert of_xt == pytest.approx((1 - before[t]) * math.sqrt(1 - schedule.betas[t]) / (1 - after[t]), abs=1e-9)
        assert deviation**2 == pytest.approx(schedule.betas[t] * (1 - before[t]) / (1 - after[t]), abs=1e-9)
    assert posterior(schedule.steps()[-1]) == (pytest.approx(1), 0, 0)


def test_strided_posterior_keeps_the_marginals():
    """q(x_prev) must follow from q(x_t) and the posterior: mean √ᾱ_prev·x_0 and variance 1 − ᾱ_prev."""
    for step in make_schedule(steps=100).steps(9):
        of_x0, of_xt, deviation = posterior(step)
        mean = of_x0 + of_xt * math.sqrt(step.alpha_bar)
        variance = of_xt**2 * (1 - step.alpha_bar) + deviation**2
        assert mean == pytest.approx(math.sqrt(step.alpha_bar_prev), abs=1e-9)
        assert variance == pytest.approx(1 - step.alpha_bar_prev, abs=1e-9)


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
