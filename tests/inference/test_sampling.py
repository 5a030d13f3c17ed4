"""Options of sampling, put in place of a model's own."""

import pytest

from src.errors import UserError
from src.inference.sampling import Sampling

OWN = Sampling("ddim", 4, "uniform", 0.5, 1.0, False)


def test_none_takes_the_models_own():
    assert OWN.replaced(sampler=None, steps=None) == OWN
    assert OWN.replaced(steps=2, consistency=True) == OWN._replace(steps=2, consistency=True)


def test_the_models_own_eta_goes_with_a_sampler_that_has_none():
    assert OWN.replaced(sampler="ddpm").eta == 0
    assert OWN.replaced(sampler="ddpm").replaced(sampler="ddim", eta=0.3).eta == 0.3
    with pytest.raises(UserError, match="eta is an option of the sampler ddim, ddpm has none: leave it out"):
        OWN.replaced(sampler="ddpm", eta=0.5).check()


def test_what_has_no_effect_is_not_reported():
    assert Sampling(consistency=True).options() == {"consistency": True}
    assert list(OWN.options()) == list(Sampling._fields)
