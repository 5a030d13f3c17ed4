"""From what was drawn to noise levels, against float64."""

import mindspore as ms
import numpy as np
import pytest

from src.diffusion.schedule import make_schedule
from src.losses.diffusion import ContinuousLevels, StepLevels

SCHEDULE = make_schedule("linear", 2000, beta_start=1e-6, beta_end=1e-2, last_beta=None)


def numbers(levels, t):
    return [found.asnumpy().astype(np.float64).ravel() for found in levels(ms.Tensor(t))]


def test_steps():
    t = np.array([0, 7, 1999], np.int32)
    signal_rate, noise_rate, told = numbers(StepLevels(SCHEDULE), t)
    np.testing.assert_allclose(signal_rate, SCHEDULE.signal_rate[t], rtol=1e-6)
    np.testing.assert_allclose(noise_rate, SCHEDULE.noise_rate[t], rtol=1e-6)
    np.testing.assert_array_equal(told, t)


def test_continuous_levels_lie_linearly_between_the_steps():
    t = np.array([0.0, 0.25, 1.0, 7.5, 1000.75, 1999.5, 1999.9998], np.float32)
    signal_rate, noise_rate, told = numbers(ContinuousLevels(SCHEDULE), t)
    expected = np.interp(t.astype(np.float64), np.arange(2001), np.append(1.0, SCHEDULE.signal_rate))
    np.testing.assert_allclose(signal_rate, expected, atol=1e-7)
    np.testing.assert_allclose(noise_rate, np.sqrt(1 - expected**2), rtol=1e-4)
    np.testing.assert_array_equal(told, signal_rate)


def test_uniform_times_draw_levels_uniformly_between_neighbours():
    schedule = make_schedule("linear", 4, beta_start=0.1, beta_end=0.5, last_beta=None)
    t = np.random.default_rng(0).uniform(0, 4, 40_000).astype(np.float32)
    _, _, told = numbers(ContinuousLevels(schedule), t)
    ends = np.append(1.0, schedule.signal_rate)
    for after, before in zip(ends[1:], ends, strict=False):
        inside = told[(told > after) & (told <= before)]
        assert len(inside) == pytest.approx(10_000, rel=0.05)
        assert inside.mean() == pytest.approx((after + before) / 2, abs=0.02 * (before - after))
        assert inside.std() == pytest.approx((before - after) / 12**0.5, rel=0.02)
