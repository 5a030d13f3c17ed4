"""The samplers' steps against the papers' formulas, and their order of convergence against exact solutions."""

import math
from functools import partial

import numpy as np
import pytest

from src.diffusion.samplers import ddim, ddpm, dpmpp_2m, dpmpp_2m_sde, implicit, posterior, sr3
from src.diffusion.schedule import SPACINGS, Step, half_log_snr, make_schedule
from tests.diffusion import gaussian

SCHEDULE = make_schedule(steps=100)
VARIANCE = 0.25


def steps_through(levels):
    """Steps between rising λ, which need not be trained ones; the last one ends where there still is noise."""
    alpha_bars = [float(1 / (1 + math.exp(-2 * level))) for level in levels]
    return [Step(0, 0, *pair) for pair in zip(alpha_bars, alpha_bars[1:], strict=False)]


def even(count):
    return steps_through(np.linspace(-4, 3, count + 1))


def uneven(count):
    """Every other step is twice as long as the one before it."""
    lengths = np.tile([1.0, 2.0], count // 2)
    return steps_through(-4 + 7 * np.append(0, np.cumsum(lengths)) / lengths.sum())


def flow_error(sample, steps):
    """Relative error of x after steps down the probability flow, whose solution keeps x_t / its deviation constant."""
    x = sample(gaussian.denoiser(VARIANCE), (1,), steps, lambda k, shape: np.ones(shape))
    ends = steps[0].alpha_bar, steps[-1].alpha_bar_prev
    start, end = (math.sqrt(gaussian.marginal(VARIANCE, alpha_bar)) for alpha_bar in ends)
    return abs(x[0] * start / end - 1)


def variance_error(sample, steps):
    """Relative error of the variance after steps from a true x_T."""
    start = math.sqrt(gaussian.marginal(VARIANCE, steps[0].alpha_bar))

    def noise(k, shape):
        return gaussian.unit_noise(k, shape) * (start if k == 0 else 1)

    weights = sample(gaussian.denoiser(VARIANCE), (len(steps) + 1,), steps, noise)
    return abs(np.square(weights).sum() / gaussian.marginal(VARIANCE, steps[-1].alpha_bar_prev) - 1)


@pytest.mark.parametrize("grid", [even, uneven])
@pytest.mark.parametrize(
    ("sample", "error", "order"),
    [
        (ddim, flow_error, 1),
        (dpmpp_2m, flow_error, 2),
        (ddpm, variance_error, 1),
        (sr3, variance_error, 1),
        (partial(ddim, eta=0.5), variance_error, 1),
        (dpmpp_2m_sde, variance_error, 2),
    ],
)
def test_order_of_convergence(sample, error, order, grid):
    errors = [error(sample, grid(count)) for count in (256, 512, 1024, 2048)]
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(slopes, order, atol=0.04)
    assert slopes[-1] == pytest.approx(order, abs=0.01)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_ddim_with_eta_1_is_ddpm(spacing):
    shape, draws = (1, 3, 4, 4), np.random.default_rng(0).standard_normal((100, 1, 3, 4, 4))
    for count in (1, 2, 9, 37, 100):
        ours, theirs = (
            sample(gaussian.denoiser(0.04, 0.3), shape, SCHEDULE.steps(count, spacing), lambda k, shape: draws[k])
            for sample in (partial(ddim, eta=1), ddpm)
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize(("second", "first"), [(dpmpp_2m, ddim), (dpmpp_2m_sde, ddpm)])
def test_second_order_solvers_begin_and_end_with_the_first_order_step(second, first):
    draws = np.random.default_rng(0).standard_normal((100, 8))

    def runs(denoise, steps):
        return [sample(denoise, (8,), steps, lambda k, shape: draws[k]) for sample in (second, first)]

    for count in (1, 2):
        np.testing.assert_allclose(*runs(gaussian.denoiser(0.04, 0.3), SCHEDULE.steps(count)), atol=1e-12)
    ours, theirs = runs(gaussian.denoiser(0.04, 0.3), SCHEDULE.steps(3))
    assert np.abs(ours - theirs).max() > 1e-3
    np.testing.assert_allclose(*runs(lambda x, step: draws[0] / 2, even(20)), atol=1e-12)  # x_0 has no course


def states(sample, steps, draws, estimates):
    """x before the first step and after each, for a network with these x_0."""
    found = [draws[0].copy()]
    remaining = iter(estimates)
    sample(
        lambda x, step: next(remaining), draws[0].shape, steps, lambda k, shape: draws[k],
        callback=lambda k, step, x, x_0: found.append(x.copy()),
    )  # fmt: skip
    return found


@pytest.mark.parametrize(
    "steps", [SCHEDULE.steps()[:-1], SCHEDULE.steps(12, "logsnr")[:-1], make_schedule("linear", 1000).steps(50)[:-1]]
)
def test_every_step_is_the_papers(steps):
    """Written with α = √ᾱ, σ = √(1 − ᾱ) and h = Δλ, as in the papers; steps that end with noise left."""
    rng = np.random.default_rng(0)
    draws, estimates = rng.standard_normal((len(steps) + 1, 16)), rng.uniform(-1, 1, (len(steps), 16))
    samplers = {"ddim": partial(ddim, eta=0.3), "2m": dpmpp_2m, "sde": dpmpp_2m_sde, "sr3": sr3}
    found = {name: states(sample, steps, draws, estimates) for name, sample in samplers.items()}
    h_before = None
    for k, step in enumerate(steps):
        x = {name: values[k] for name, values in found.items()}
        x_0, z = estimates[k], draws[k + 1]
        alpha, alpha_end = math.sqrt(step.alpha_bar), math.sqrt(step.alpha_bar_prev)
        sigma, sigma_end = math.sqrt(1 - step.alpha_bar), math.sqrt(1 - step.alpha_bar_prev)
        h = half_log_snr(step.alpha_bar_prev) - half_log_snr(step.alpha_bar)
        d = x_0 if k == 0 else (1 + h / (2 * h_before)) * x_0 - h / (2 * h_before) * estimates[k - 1]
        beta = 1 - step.alpha_bar / step.alpha_bar_prev
        deviation = 0.3 * sigma_end / sigma * math.sqrt(beta)
        epsilon = {name: (value - alpha * x_0) / sigma for name, value in x.items()}
        expected = {
            "ddim": alpha_end * x_0 + math.sqrt(sigma_end**2 - deviation**2) * epsilon["ddim"] + deviation * z,
            "2m": sigma_end / sigma * x["2m"] - alpha_end * math.expm1(-h) * d,
            "sde": sigma_end / sigma * math.exp(-h) * x["sde"]
            - alpha_end * math.expm1(-2 * h) * d
            + sigma_end * math.sqrt(-math.expm1(-2 * h)) * z,
            "sr3": (x["sr3"] - beta / sigma * epsilon["sr3"]) / math.sqrt(1 - beta) + math.sqrt(beta) * z,
        }
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][k + 1], value, rtol=1e-8, atol=1e-8, err_msg=f"{name}, {step}")
        h_before = h


def test_the_posterior_agrees_with_the_tables():
    before, after = np.append(1.0, SCHEDULE.alphas_cumprod[:-1]), SCHEDULE.alphas_cumprod
    for step in SCHEDULE.steps():
        t = step.t
        of_x0, of_xt, deviation, _ = posterior(step)
        assert of_x0 == pytest.approx(SCHEDULE.betas[t] * math.sqrt(before[t]) / (1 - after[t]), rel=1e-9)
        assert of_xt == pytest.approx((1 - before[t]) * math.sqrt(1 - SCHEDULE.betas[t]) / (1 - after[t]), abs=1e-9)
        assert deviation**2 == pytest.approx(SCHEDULE.betas[t] * (1 - before[t]) / (1 - after[t]), abs=1e-9)


@pytest.mark.parametrize("transition", [posterior, implicit, partial(implicit, eta=0.5), partial(implicit, eta=1)])
def test_strides_keep_the_marginals(transition):
    """x_prev made from a true x_t and x_0 must have mean √ᾱ_prev·x_0 and variance 1 − ᾱ_prev."""
    for count in (1, 9, 100):
        for step in SCHEDULE.steps(count):
            of_x0, of_xt, deviation, _ = transition(step)
            mean = of_x0 + of_xt * math.sqrt(step.alpha_bar)
            variance = of_xt**2 * (1 - step.alpha_bar) + deviation**2
            assert mean == pytest.approx(math.sqrt(step.alpha_bar_prev), abs=1e-12)
            assert variance == pytest.approx(1 - step.alpha_bar_prev, abs=1e-12)
        assert tuple(transition(step)) == (1, 0, 0, 0)
