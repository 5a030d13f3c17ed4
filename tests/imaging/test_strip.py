"""Pictures side by side."""

import numpy as np
import pytest

from src.errors import UserError
from src.imaging.strip import SEPARATOR, at_most, side_by_side


def test_lr_sr_hr(photo):
    lr, sr, hr = photo[:4, :5], photo[20:28, :10], photo[40:48, 30:40]
    picture = side_by_side(lr, sr, hr)
    assert picture.dtype == np.uint8 and picture.shape == (8, 3 * 10 + 2 * SEPARATOR, 3)
    enlarged, first, middle, second, last = np.split(
        picture, [10, 10 + SEPARATOR, 20 + SEPARATOR, 20 + 2 * SEPARATOR], 1
    )
    np.testing.assert_array_equal(enlarged, lr.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(middle, sr)
    np.testing.assert_array_equal(last, hr)
    assert (first == 255).all() and (second == 255).all()


def test_any_number_of_pictures_of_any_scale(photo):
    assert side_by_side(photo[:1, :1]).shape == (1, 1, 3)
    assert side_by_side(photo[:1, :1], photo[:8, :8]).shape == (8, 16 + SEPARATOR, 3)
    assert side_by_side(photo[:6, :7], photo[:6, :7], photo[:6, :7], photo[:6, :7]).shape == (6, 28 + 3 * SEPARATOR, 3)


@pytest.mark.parametrize("sizes", [[(8, 9)], [(9, 9)], [(8, 10), (12, 15)], [(2, 2)]])
def test_sizes_that_do_not_fit(photo, sizes):
    with pytest.raises(UserError, match="side by side must have one size, a whole multiple of LR's, not \\(4, 5, 3\\)"):
        side_by_side(photo[:4, :5], *(photo[:height, :width] for height, width in sizes))


@pytest.mark.parametrize(("size", "longest", "expected"), [
    ((40, 30), 40, (40, 30)), ((40, 30), 20, (20, 15)), ((30, 40), 10, (8, 10)), ((500, 1), 10, (10, 1)),
])  # fmt: skip
def test_a_huge_picture_is_reduced(photo, size, longest, expected):
    picture = photo[: size[0], : size[1]]
    reduced = at_most(picture, longest)
    assert reduced.shape == (*expected, 3) and reduced.dtype == np.uint8
    if size == expected:
        assert reduced is picture
