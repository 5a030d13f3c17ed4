"""Invisible pixels take their visible neighbours' colour."""

import numpy as np
import pytest

from src.imaging.transparency import fill_invisible


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_sprite_of_one_colour_fills_all(dtype):
    rgb = np.zeros((23, 31, 3), dtype)
    alpha = np.zeros((23, 31), dtype)
    rgb[5:9, 20:26], alpha[5:9, 20:26] = (200, 30, 90), np.iinfo(dtype).max
    filled = fill_invisible(rgb, alpha)
    assert filled.dtype == dtype and (filled == (200, 30, 90)).all()
    assert not rgb[0].any()  # the given picture stays


def test_what_is_visible_stays_and_the_rest_is_from_nearby():
    rgb = np.zeros((32, 32, 3), np.uint8)
    rgb[:, :16], rgb[:, 16:] = (250, 0, 0), (0, 0, 250)
    random = np.random.default_rng(0)
    alpha = random.integers(0, 2, (32, 32)).astype(np.uint8) * 7
    rgb[alpha == 0] = (0, 255, 0)
    filled = fill_invisible(rgb, alpha)
    np.testing.assert_array_equal(filled[alpha > 0], rgb[alpha > 0])
    assert (filled[..., 1] == 0).all() and (filled[:, :14, 0] == 250).all() and (filled[:, 18:, 2] == 250).all()


@pytest.mark.parametrize("alpha", [None, np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8)])
def test_nothing_to_fill_or_to_fill_with(alpha):
    rgb = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert fill_invisible(rgb, alpha) is rgb
