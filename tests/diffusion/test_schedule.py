"""Schedules in float64, which trained t a sampler visits, and schedules with β of its own."""

import itertools

import numpy as np
import pytest

from src.diffusion.schedule import (
    FAMILIES,
    SPACINGS,
    Schedule,
    check_spacing,
    cosine_betas,
    distinct_times,
    half_log_snr,
    linear_betas,
    make_schedule,
    own_betas,
)  # fmt: skip
from src.errors import UserError

TRAINED = make_schedule("linear", 2000, beta_start=1e-6, beta_end=1e-2, last_beta=None)


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


def test_the_families():
    np.testing.assert_allclose(own_betas("linear_beta:0.1,0.5", 5), [0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_allclose(np.diff(np.sqrt(own_betas("quadratic_beta:0.01,0.49", 4))), 0.2)
    np.testing.assert_allclose(own_betas("geometric_beta:1e-4,0.1", 4), [1e-4, 1e-3, 1e-2, 0.1])
    np.testing.assert_array_equal(own_betas("betas:1e-4,0.5,0.2", 3), [1e-4, 0.5, 0.2])
    for family in ("linear", "quadratic", "geometric"):
        np.testing.assert_allclose(own_betas(f"{family}_beta:0.1,0.5", 1), [0.5])


@pytest.mark.parametrize("count", [1, 6, 2500])
def test_a_network_that_knows_every_level_gets_those_of_the_betas(count):
    spacing = f"linear_beta:1e-6,{min(0.5, 9 / count)}"
    steps = TRAINED.steps(count, spacing, any_level=True)
    alphas_bar = np.cumprod(1 - own_betas(spacing, count))[::-1]
    np.testing.assert_array_equal([step.alpha_bar for step in steps], alphas_bar)
    assert [step.alpha_bar_prev for step in steps] == [step.alpha_bar for step in steps[1:]] + [1.0]
    assert [step.t_prev for step in steps] == [step.t for step in steps[1:]] + [-1]
    assert all(type(step.t) is int and type(step.alpha_bar) is float for step in steps)
    nearest = [np.abs(TRAINED.half_log_snr - np.log(a / (1 - a)) / 2).argmin() for a in alphas_bar]
    assert np.abs(np.subtract(nearest, [step.t for step in steps])).max() <= 1


def test_a_network_that_knows_its_steps_alone_gets_the_nearest():
    spacing = "geometric_beta:1e-4,0.6"
    steps = TRAINED.steps(6, spacing)
    exact = TRAINED.steps(6, spacing, any_level=True)
    assert [step.t for step in steps] == [step.t for step in exact]
    assert [step.alpha_bar for step in steps] == [TRAINED.alpha_bar(step.t) for step in steps]
    with pytest.raises(UserError, match="from 1 to 2000 for this model, not 2001"):
        TRAINED.steps(2001, "linear_beta:1e-6,1e-2")


def test_the_trained_schedule_itself_can_be_named():
    named = TRAINED.steps(2000, "linear_beta:1e-6,1e-2", any_level=True)
    np.testing.assert_allclose([s.alpha_bar for s in named], [s.alpha_bar for s in TRAINED.steps()], rtol=1e-9)
    assert [step.t for step in named] == [step.t for step in TRAINED.steps()]


@pytest.mark.parametrize("any_level", [False, True])
def test_more_noise_than_was_trained_is_refused(any_level):
    with pytest.raises(UserError, match="leave .* less than the 4.4e-05 that the network was trained with: take a sm"):
        TRAINED.steps(10, "linear_beta:0.1,0.99", any_level)


@pytest.mark.parametrize("any_level", [False, True])
def test_a_step_without_length_is_refused(any_level):
    with pytest.raises(UserError, match="too small for a step of their own: take larger ones, 1e-8 or more"):
        TRAINED.steps(4, "betas:0.1,0.1,1e-17,0.3", any_level)
    assert len(TRAINED.steps(4, "betas:0.1,0.1,1e-8,0.3", any_level)) == 4


@pytest.mark.parametrize("any_level", [False, True])
def test_no_steps_are_refused(any_level):
    with pytest.raises(UserError, match="number of sampling steps must be from 1 to .*, not 0"):
        TRAINED.steps(0, "linear_beta:1e-6,1e-2", any_level)


WRONG = {
    "betas:0.1": "lists 1 β, but the steps are 2: take 1 steps",
    "betas:": "must have β above 0 and below 1 after its colon, with commas, got",
    "betas:0.1,1": "must have β above 0 and below 1 after its colon, with commas, got",
    "betas:0.1,nan": "must have β above 0 and below 1 after its colon, with commas, got",
    "linear_beta:0.1": "must be linear_beta:FIRST,LAST, quadratic_beta:FIRST,LAST, .* got 'linear_beta:0.1'",
    "cubic_beta:0.1,0.2": "geometric_beta:FIRST,LAST or betas:B1,B2,…, got 'cubic_beta:0.1,0.2'",
    "karras": "must be one of uniform, trailing, quadratic, logsnr, linear_beta, or have β of its own, got 'karras'",
}
RIGHT = [*SPACINGS, *(f"{family}:1e-4,.5" for family in FAMILIES), "betas:1e-4,0.5"]


@pytest.mark.parametrize("spacing", [*RIGHT, *WRONG])
def test_what_is_no_spacing_is_refused(spacing):
    for any_level in (False, True):
        if spacing in WRONG:
            with pytest.raises(UserError, match=f"^the spacing.*{WRONG[spacing]}"):
                TRAINED.steps(2, spacing, any_level)
            with pytest.raises(UserError, match=f"^'eval.spacing'.*{WRONG[spacing]}"):
                check_spacing(spacing, 2, 2000, any_level)
        else:
            check_spacing(spacing, 2, 2000, any_level)
            assert len(TRAINED.steps(2, spacing, any_level)) == 2


def test_more_steps_than_were_trained():
    own = "linear_beta:1e-4,0.1"
    check_spacing(own, 9, 4, any_level=True)
    check_spacing("uniform", 9)  # nothing is sampled
    for spacing, any_level in ((own, False), ("linear_beta", True)):
        with pytest.raises(UserError, match=r"'eval.steps' must be at most 'diffusion.steps' \(4\), got 9"):
            check_spacing(spacing, 9, 4, any_level)
