"""What networks are told of the noise."""

import numpy as np
import pytest

from src.diffusion.noise_level import SignalRate, StepNumber, noise_level
from src.diffusion.schedule import make_schedule
from src.errors import UserError

SCHEDULE = make_schedule("linear", 10, beta_end=0.2, last_beta=None)


def test_each_kind_by_its_name():
    assert isinstance(noise_level("continuous", SCHEDULE), SignalRate)
    assert noise_level("discrete", SCHEDULE).schedule is SCHEDULE


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_what_is_told_of_a_step_leads_back_to_its_rates(kind):
    level = noise_level(kind, SCHEDULE)
    for step in SCHEDULE.steps(5):
        told = level.checked(np.full(3, level.of(step)))
        assert told.dtype == level.dtype and told.shape == (3,)
        for rate, squared in zip(level.rates(told), (step.alpha_bar, 1 - step.alpha_bar), strict=True):
            np.testing.assert_allclose(rate**2, squared, rtol=1e-3 if kind == "continuous" else 1e-12)


@pytest.mark.parametrize(
    ("kind", "told", "message"),
    [
        ("discrete", [0.5], "told the step, whole numbers from 0 to 9: not"),
        ("discrete", [-1], "from 0 to 9"),
        ("discrete", [10], "from 0 to 9"),
        ("continuous", [1], "told √ᾱ, float32 numbers from 0 to 1: not"),
        ("continuous", [1.1], "from 0 to 1"),
        ("continuous", [np.nan], "from 0 to 1"),
    ],
)
def test_one_kind_is_not_taken_for_the_other(kind, told, message):
    with pytest.raises(UserError, match=message):
        noise_level(kind, SCHEDULE).checked(np.array(told))


def test_step_numbers_come_in_any_whole_type():
    assert StepNumber(SCHEDULE).checked(np.array([3, 4], np.int64)).dtype == np.int32
