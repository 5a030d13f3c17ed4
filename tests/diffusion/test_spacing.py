"""Which trained t a sampler visits."""

import itertools

import numpy as np
import pytest

from src.diffusion.schedule import SPACINGS, distinct_times, half_log_snr, make_schedule
from src.errors import UserError


def times(schedule, count, spacing):
    return [step.t for step in schedule.steps(count, spacing)]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_every_spacing_gives_every_count_of_distinct_steps(kind, spacing):
    for total in (1, 2, 4, 100, 1000):
        schedule = make_schedule(kind, total)
        for count in range(1, total + 1):
            steps = schedule.steps(count, spacing)
            visited = [step.t for step in steps]
            assert len(steps) == count
            assert visited[0] == total - 1
            assert [step.t_prev for step in steps] == visited[1:] + [-1]
            assert all(step.t > step.t_prev for step in steps)
        assert visited == list(range(total - 1, -1, -1))  # all of them


@pytest.mark.parametrize("spacing", SPACINGS)
def test_levels_are_the_trained_ones(spacing):
    schedule = make_schedule(steps=100)
    for step in schedule.steps(13, spacing):
        assert type(step.t) is int and type(step.alpha_bar) is float
        assert step.alpha_bar == schedule.alphas_cumprod[step.t]
        assert step.alpha_bar_prev == (schedule.alphas_cumprod[step.t_prev] if step.t_prev >= 0 else 1)
    assert step.alpha_bar_prev == 1


def test_all_steps_uniformly_are_the_default():
    schedule = make_schedule(steps=100)
    assert schedule.steps() == schedule.steps(100, "uniform")
    assert schedule.steps(7) == schedule.steps(7, "uniform")


@pytest.mark.parametrize("count", [0, -1, 101])
def test_impossible_step_counts_are_refused(count):
    with pytest.raises(UserError, match=f"from 1 to 100.*{count}"):
        make_schedule(steps=100).steps(count)


def test_unknown_spacings_are_refused():
    expected = "must be one of uniform, trailing, quadratic, logsnr, linear_beta, not 'karras'"
    with pytest.raises(UserError, match=expected):
        make_schedule(steps=100).steps(10, "karras")


def test_uniform():
    assert times(make_schedule(steps=100), 5, "uniform") == [99, 74, 50, 25, 0]
    for total, count in itertools.product((100, 1000), (2, 3, 17, 64, 99)):
        expected = [round(t) for t in np.linspace(total - 1, 0, count)]
        assert times(make_schedule(steps=total), count, "uniform") == expected


def test_trailing():
    """Table 2 of arXiv 2305.08891 counts the steps from 1."""
    assert times(make_schedule(steps=1000), 10, "trailing") == list(range(999, 0, -100))
    assert times(make_schedule(steps=100), 8, "trailing") == [99, 87, 74, 61, 49, 37, 24, 11]  # round(100 − 12.5·i) − 1


def test_quadratic():
    assert times(make_schedule(steps=101), 11, "quadratic") == [n * n for n in range(10, -1, -1)]
    assert times(make_schedule(steps=100), 2, "quadratic") == [99, 0]
    dense = times(make_schedule(steps=100), 30, "quadratic")  # the ends of the squares meet on 0 and 1
    assert dense[-6:] == [5, 4, 3, 2, 1, 0]
    assert dense[:5] == [round(99 * (n / 29) ** 2) for n in range(29, 24, -1)]


def test_logsnr():
    schedule = make_schedule("linear", 1000)
    levels = np.linspace(schedule.half_log_snr[-1], schedule.half_log_snr[0], 10)
    nearest = [int(np.abs(schedule.half_log_snr - level).argmin()) for level in levels]
    found = times(schedule, 10, "logsnr")
    assert nearest[:3] == [999, 999, 998]  # between the last two t, β is 0.999: a third of λ
    assert found == [999, 998, 997, *nearest[3:]]


@pytest.mark.parametrize(("kind", "total", "count"), [("linear", 1000, 10), ("cosine", 100, 9), ("cosine", 1000, 12)])
def test_linear_beta(kind, total, count):
    schedule = make_schedule(kind, total)
    first, final = schedule.alphas_cumprod[[0, -1]]
    last_alphas = np.geomspace(final, 1, 200_001)
    products = np.log(np.linspace(first, last_alphas, count)).sum(axis=0)
    alphas = np.linspace(first, last_alphas[np.abs(products - np.log(final)).argmin()], count)
    levels = half_log_snr(np.cumprod(alphas))[::-1]
    nearest = [int(np.abs(schedule.half_log_snr - level).argmin()) for level in levels]
    assert times(schedule, count, "linear_beta") == nearest


def fewest_moved(wanted, total):
    """The smallest possible largest shift from these whole times to distinct ones, by trying all."""
    choices = itertools.combinations(range(total - 1, -1, -1), len(wanted))
    return min(np.abs(np.subtract(choice, wanted)).max() for choice in choices)


def test_collisions_are_spread_over_the_nearest_free_steps():
    assert distinct_times(np.array([20, 10, 10, 10, 5]), 100) == [20, 11, 10, 9, 5]
    assert distinct_times(np.array([9.0, 9, 9, 0, 0, 0]), 10) == [9, 8, 7, 2, 1, 0]
    assert distinct_times(np.array([7.6, 5.4, 0.2]), 9) == [8, 5, 0]
    rng = np.random.default_rng(0)
    for _ in range(500):
        total = int(rng.integers(1, 9))
        wanted = np.sort(rng.integers(0, total, rng.integers(1, total + 1)))[::-1]
        found = distinct_times(wanted, total)
        assert len(found) == len(wanted) and set(found) <= set(range(total))
        assert (np.diff(found) < 0).all()
        assert np.abs(np.subtract(found, wanted)).max() == fewest_moved(wanted, total)
