"""What imresize takes and gives: sizes, shapes, dtypes, and one line for what it does not take."""

import math
from fractions import Fraction

import numpy as np
import pytest

from src.errors import UserError
from src.imaging.resize import imresize


def noise(shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("scale", "expected"),
    (
        (1 / 3, (86, 85)),
        (np.float32(1 / 3), (86, 85)),
        (0.1, (26, 26)),
        (1.1, (282, 281)),
        (Fraction(2, 3), (171, 170)),
        (np.int64(2), (512, 510)),
        (0.001, (1, 1)),
    ),
)
def test_size_is_rounded_up_without_rounding_errors(scale, expected):
    assert imresize(noise((256, 255)), scale).shape == expected


@pytest.mark.parametrize("dtype", (np.uint8, np.float32, np.float64))
@pytest.mark.parametrize("shape", ((6, 9), (6, 9, 1), (6, 9, 3), (6, 9, 4), (1, 1), (1, 1, 3), (1, 7), (7, 1, 2)))
@pytest.mark.parametrize("scale", (4, 1 / 4))
def test_shape_and_dtype_are_kept(shape, dtype, scale):
    result = imresize(noise(shape).astype(dtype), scale)
    assert result.dtype == dtype
    assert result.shape == (math.ceil(shape[0] * scale), math.ceil(shape[1] * scale)) + shape[2:]


@pytest.mark.parametrize(
    "arguments",
    (
        {},
        {"scale": 2, "size": (4, 4)},
        {"scale": 0},
        {"scale": -1},
        {"scale": 1e-9},
        {"scale": math.nan},
        {"scale": math.inf},
        {"scale": "half"},
        {"scale": (2, 2)},
        {"size": 4},
        {"size": (4,)},
        {"size": (0, 4)},
        {"size": (4.0, 4)},
        {"scale": 2, "edges": "reflect"},
    ),
)
def test_bad_arguments_give_one_line(arguments):
    with pytest.raises(UserError, match="^[^\n]+$"):
        imresize(noise((4, 4)), **arguments)


@pytest.mark.parametrize(
    "image",
    (
        [[1, 2], [3, 4]],
        None,
        np.zeros((4, 4), np.int32),
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4), np.float16),
        np.zeros(4, np.uint8),
        np.zeros((2, 3, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 0), np.uint8),
    ),
)
def test_bad_pictures_give_one_line(image):
    with pytest.raises(UserError, match="^a picture to resize must be [^\n]+$"):
        imresize(image, 2)
