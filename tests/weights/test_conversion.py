"""What a checkpoint fixes against what a configuration gives, and its tensors against the network's parameters."""

import numpy as np
import pytest

from src.errors import UserError
from src.weights.conversion import Conversion, arrays_for, combine

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


SHAPES = {"a.weight": (2, 3), "b.gamma": (2,)}
TENSORS = {"A.weight": np.ones((2, 3)), "B.weight": np.ones(2, np.float16)}


def conversion(**changes):
    tensors = {name: value for name, value in (TENSORS | changes).items() if value is not None}
    return Conversion({}, {}, tensors, lambda ours: ours.replace("gamma", "weight").capitalize(), [], "a form")


def test_arrays_are_float32_under_our_names():
    arrays = arrays_for(conversion(), SHAPES)
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        name: (shape, "float32") for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"B.weight": None}, "missing: B.weight; the file is not whole"),
        ({"B.weight": None, "C": np.ones(1)}, "missing: B.weight; and unknown: C;"),
        ({"C": np.ones(1)}, "unknown: C; this is a variant"),
        ({"A.weight": np.ones((3, 2))}, r"'A.weight' has the shape \(3, 2\), but the other tensors make it \(2, 3\)"),
        ({"A.weight": np.ones((2, 3), np.int8)}, "'A.weight' is int8: expected floating-point"),
        ({"B.weight": np.array([1, np.nan])}, "'B.weight' holds NaN or infinity"),
        ({"B.weight": np.array([1, 1e300])}, "'B.weight' holds NaN or infinity"),
    ],
)
def test_tensors_that_are_not_the_network_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        arrays_for(conversion(**changes), SHAPES)
