"""What a checkpoint fixes against what a configuration gives."""

import pytest

from src.errors import UserError
from src.weights.conversion import combine

FOUND = {"system": "srdiff", "encoder": {"features": 8, "growth": 4}, "unet": {"multipliers": [1, 2]}}
ASSUMED = {"name": "x", "diffusion": {"loss": "l1", "clip": True}}


def given(**encoder):
    sizes = {"features": 8, "growth": 0, "blocks": 3} | encoder
    return {
        "name": "mine",
        "system": "srdiff",
        "encoder": sizes,
        "unet": {"multipliers": [1, 2]},
        "diffusion": {"loss": "l2"},
    }


def test_without_a_configuration():
    assert combine(FOUND, ASSUMED) == FOUND | ASSUMED


def test_a_configuration_replaces_what_is_assumed():
    combined = combine(FOUND, ASSUMED, given())
    assert combined == given(growth=4) | {"diffusion": {"loss": "l2", "clip": True}}


def test_contradictions_have_both_values():
    with pytest.raises(UserError, match="encoder.features is 16 in the configuration, 8 in the checkpoint") as caught:
        combine(FOUND, ASSUMED, given(features=16))
    assert "encoder.growth is 8" in str(caught.value)


def test_some_settings_are_as_good_as_a_configuration():
    combined = combine(FOUND, ASSUMED, {"diffusion": {"loss": "l2"}, "encoder": {"growth": 0}})
    assert combined == FOUND | {"name": "x", "diffusion": {"loss": "l2", "clip": True}}
    with pytest.raises(UserError, match="encoder.growth is 5 in the configuration, 4 in the checkpoint"):
        combine(FOUND, ASSUMED, {"encoder": {"growth": 5}})


def test_inputs_are_left_alone():
    config = given()
    combine(FOUND, ASSUMED, config)
    assert config == given() and "diffusion" not in FOUND
