"""Schedules with β of their own, and the steps that a sampler takes through them."""

import numpy as np
import pytest
from src.config.validate import check_spacing

from src.config.loader import with_overrides
from src.diffusion.schedule import FAMILIES, SPACINGS, make_schedule, own_betas
from src.errors import UserError
from tests import tiny_sr3

TRAINED = make_schedule("linear", 2000, beta_start=1e-6, beta_end=1e-2, last_beta=None)


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
    "betas:0.1": "'betas:0.1' has 1 steps, not 2: take 1 steps, or another spacing",
    "betas:": "must have β above 0 and below 1, with commas",
    "betas:0.1,1": "must have β above 0 and below 1, with commas",
    "betas:0.1,nan": "must have β above 0 and below 1, with commas",
    "linear_beta:0.1": "is linear_beta:FIRST,LAST, quadratic_beta:FIRST,LAST, .* not 'linear_beta:0.1'",
    "cubic_beta:0.1,0.2": "geometric_beta:FIRST,LAST or betas:B1,B2,…, not 'cubic_beta:0.1,0.2'",
}


@pytest.mark.parametrize("spacing", WRONG)
def test_what_is_no_schedule_is_refused(spacing):
    for any_level in (False, True):
        with pytest.raises(UserError, match=WRONG[spacing]):
            TRAINED.steps(2, spacing, any_level)


RIGHT = [*SPACINGS, *(f"{family}:1e-4,.5" for family in FAMILIES), "betas:1e-4,0.5"]


@pytest.mark.parametrize("spacing", [*RIGHT, *WRONG])
def test_a_configuration_refuses_the_same(spacing):
    config = with_overrides(tiny_sr3.config(), [f"eval.spacing={spacing}"])
    if spacing in WRONG:
        with pytest.raises(UserError, match="'eval.spacing'"):
            check_spacing(config)
    else:
        check_spacing(config)
        assert len(TRAINED.steps(config.eval.steps, spacing)) == config.eval.steps


def test_more_steps_than_were_trained():
    many = ("eval.steps=9", "eval.spacing=linear_beta:1e-4,0.1")
    tiny_sr3.config(*many)
    for override in ("sr3.noise_level=discrete", "eval.spacing=linear_beta"):
        with pytest.raises(UserError, match=r"'eval.steps' must be at most 'diffusion.steps' \(4\), got 9"):
            tiny_sr3.config(*many, override)
