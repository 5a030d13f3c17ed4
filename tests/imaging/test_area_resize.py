"""Resizing by area: against the definition, on a grid that both pictures' pixels divide."""

from fractions import Fraction

import numpy as np
import pytest

from src.errors import UserError
from src.imaging.resize import area_overlaps, area_resize


def noise(shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8).astype(dtype)


def by_definition(image, height, width):
    """The mean of each block of the picture whose pixels are repeated until the result's pixels are whole blocks."""
    fine = image.astype(np.int64).repeat(height, axis=0).repeat(width, axis=1)
    blocks = fine.reshape(height, image.shape[0], width, image.shape[1], -1).sum((1, 3))
    count = image.shape[0] * image.shape[1]
    return blocks.reshape(height, width, *image.shape[2:]), count


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((12, 8, 3), (3, 4)),
        ((7, 11, 3), (3, 5)),
        ((13, 13), (5, 5)),
        ((5, 3, 1), (5, 3)),
        ((3, 4, 3), (7, 9)),
        ((2, 9), (6, 4)),
        ((1, 1, 3), (4, 2)),
        ((9, 7, 3), (1, 1)),
        ((50, 37, 1), (26, 25)),
    ],
)
def test_it_is_the_mean_of_the_area(shape, size):
    image = noise(shape)
    sums, count = by_definition(image, *size)
    found = area_resize(image, size)
    assert (found.dtype, found.shape) == (np.uint8, (*size, *shape[2:]))
    np.testing.assert_array_equal(found, (2 * sums + count) // (2 * count))  # halves up, in whole numbers
    np.testing.assert_allclose(area_resize(image.astype(np.float64) / 7, size), sums / count / 7, rtol=1e-13)


def test_exact_halves_are_rounded_up():
    assert area_resize(np.array([[1, 2], [2, 1]], np.uint8), (1, 1)) == 2
    thirds = np.array([[0, 0, 255] * 6], np.uint8).repeat(3, axis=0)  # rows of 3 → 2, columns of 18 → 4: 4.5 each
    np.testing.assert_array_equal(area_resize(thirds, (2, 4)), (2 * by_definition(thirds, 2, 4)[0] + 54) // 108)


def test_a_constant_stays_and_a_mean_is_kept(photo):
    white = np.full((37, 53, 3), 255, np.uint8)
    assert (area_resize(white, (19, 23)) == 255).all()
    small = area_resize(photo.astype(np.float64), (123, 77))
    np.testing.assert_allclose(small.mean((0, 1)), photo.mean((0, 1)), rtol=1e-12)


def test_whole_factors_average_whole_blocks(photo):
    blocks = photo.reshape(128, 4, 128, 4, 3).astype(int).sum((1, 3))
    np.testing.assert_array_equal(area_resize(photo, (128, 128)), (blocks + 8) // 16)


def test_overlaps_are_whole_and_complete():
    overlaps, indices = area_overlaps(5, Fraction(5, 7))
    np.testing.assert_array_equal(overlaps.sum(1), 7)
    assert overlaps[0].tolist() == [5, 2, 0] and overlaps[1].tolist() == [3, 4, 0]
    assert indices[1].tolist() == [1, 2, 3]
    per_input = np.zeros(8)
    np.add.at(per_input, indices, overlaps)
    assert per_input.tolist() == [5] * 7 + [0]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_the_dtype_is_kept_and_the_result_is_new(dtype):
    image = noise((4, 4, 3), dtype)
    found = area_resize(image, (4, 4))
    assert found.dtype == dtype and not np.shares_memory(found, image)
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("size", [None, 4, (4,), (0, 4), (4.0, 4), (2, 2, 2)])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(UserError):
        area_resize(noise((4, 4)), size)


def test_what_is_no_picture_is_refused():
    for image in (noise((4, 4, 3), np.int32), noise((0, 4)), noise((4,)), [[1]]):
        with pytest.raises(UserError):
            area_resize(image, (2, 2))
