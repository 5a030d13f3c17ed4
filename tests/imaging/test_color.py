"""The BT.601 luma: MATLAB's values, its two rounding conventions, and its checks."""

import numpy as np
import pytest

from src.errors import UserError
from src.imaging.color import rgb_to_y
from src.imaging.io import list_images, read_rgb
from src.imaging.resize import imresize

# Red, green, blue, black, white and mid-gray, by hand from Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255.
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0], [255, 255, 255], [128, 128, 128]], np.uint8)
EXACT = [81.481, 144.553, 40.966, 16.0, 235.0, 16 + 219 * 128 / 255]


def test_values():
    np.testing.assert_allclose(rgb_to_y(COLOURS[np.newaxis])[0], EXACT, rtol=0, atol=1e-12)


def test_rounded_values():
    np.testing.assert_array_equal(rgb_to_y(COLOURS[np.newaxis], rounded=True)[0], [81, 145, 41, 16, 235, 126])


def test_gray_is_a_straight_line():
    gray = np.arange(256, dtype=np.uint8)[np.newaxis, :, np.newaxis].repeat(3, 2)
    np.testing.assert_allclose(rgb_to_y(gray)[0], 16 + 219 * np.arange(256) / 255, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_floats_are_the_same(photo, dtype):
    y = rgb_to_y(photo.astype(dtype))
    assert y.dtype == np.float64 and y.shape == photo.shape[:2]
    np.testing.assert_array_equal(y, rgb_to_y(photo))


def test_range_and_rounding(photo):
    exact, rounded = rgb_to_y(photo), rgb_to_y(photo, rounded=True)
    assert exact.min() >= 16 and exact.max() <= 235
    np.testing.assert_array_equal(rounded, rounded.astype(np.uint8))
    assert np.abs(exact - rounded).max() <= 0.5


@pytest.mark.parametrize(("rounded", "expected"), ((True, 28.42), (False, 28.43)))
def test_the_published_score_is_of_the_rounded_kind(shared, rounded, expected):
    folder = shared / "data" / "val" / "Set5" / "x4"
    scores = []
    for path in list_images(folder / "HR"):
        up = imresize(read_rgb(folder / "LR" / path.name), 4)
        error = (rgb_to_y(read_rgb(path), rounded) - rgb_to_y(up, rounded))[4:-4, 4:-4]
        scores.append(10 * np.log10(255**2 / np.mean(error**2)))
    assert round(float(np.mean(scores)), 2) == expected


@pytest.mark.parametrize(
    "image",
    (
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((), np.uint8),
        np.zeros((4, 4, 3), np.int32),
        np.zeros((4, 4, 3), bool),
    ),
)
def test_bad_pictures_give_one_line(image):
    with pytest.raises(UserError, match="^rgb_to_y expects [^\n]+$"):
        rgb_to_y(image)
