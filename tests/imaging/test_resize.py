"""MATLAB's bicubic: against MATLAB's own files, against its definition written out plainly, and at the borders."""

import math
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pytest

from src.imaging import resize
from src.imaging.io import list_images, read_rgb
from src.imaging.resize import contributions, cubic, imresize, inside

SCALES = (2, 3, 4, 8, Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(1, 8), 1, Fraction(7, 5), Fraction(5, 7))


def literal_axis(image, length, scale, edges, rounded):
    """Resize the first axis sample by sample, straight from the definition, in Python floats."""
    shrink = min(float(scale), 1.0)
    result = np.zeros((length,) + image.shape[1:])
    for i in range(length):
        centre = (i + 0.5) / float(scale) - 0.5
        taps = range(math.floor(centre - 2 / shrink) - 1, math.ceil(centre + 2 / shrink) + 2)
        weights = [shrink * keys(shrink * (centre - k)) for k in taps]
        total = reduce(add, weights)  # in order: Python 3.12's sum() compensates, which decides ties at .5 otherwise
        for weight, k in zip(weights, taps, strict=True):
            result[i] += weight / total * image[literal_inside(k, len(image), edges)]
    if rounded:
        result = np.clip(np.where(result % 1 >= 0.5, np.ceil(result), np.floor(result)), 0, 255)
    return result


def keys(x):
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0


def literal_inside(k, length, edges):
    while edges == "symmetric" and not 0 <= k < length:
        k = -1 - k if k < 0 else 2 * length - 1 - k
    return min(max(k, 0), length - 1)


def literal(image, scales, sizes, edges):
    rounded = image.dtype == np.uint8
    result = image.astype(np.float64)
    for axis in (0, 1) if scales[0] <= scales[1] else (1, 0):
        result = np.swapaxes(
            literal_axis(np.swapaxes(result, 0, axis), sizes[axis], scales[axis], edges, rounded), 0, axis
        )
    return result


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("scale", (2, 3, 4))
def test_set5_is_matlabs_bit_for_bit(shared, scale):
    folder = shared / "data" / "val" / "Set5" / f"x{scale}"
    pictures = list_images(folder / "HR")
    assert len(pictures) == 5
    for path in pictures:
        lr = read_rgb(folder / "LR" / path.name)
        hr = read_rgb(path)[: lr.shape[0] * scale, : lr.shape[1] * scale]
        np.testing.assert_array_equal(imresize(hr, 1 / scale, edges="replicate"), lr, err_msg=path.name)


@pytest.mark.parametrize("edges", ("symmetric", "replicate"))
@pytest.mark.parametrize("scale", SCALES)
def test_equals_the_definition(scale, edges):
    image = noise((13, 10, 3))
    sizes = tuple(math.ceil(scale * n) for n in (13, 10))
    expected = literal(image / 255, (scale, scale), sizes, edges)
    np.testing.assert_allclose(imresize(image / 255, scale, edges=edges), expected, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(
        imresize(image, scale, edges=edges), literal(image, (scale, scale), sizes, edges).astype(np.uint8)
    )


@pytest.mark.parametrize("size", ((1, 1), (5, 23), (23, 5), (17, 11), (40, 3)))
def test_size_form_equals_the_definition(size):
    image = noise((17, 11), seed=1)
    scales = tuple(n / length for n, length in zip(size, image.shape, strict=True))
    np.testing.assert_array_equal(imresize(image, size=size), literal(image, scales, size, "symmetric"))


def test_size_form_equals_scale_form(photo):
    np.testing.assert_array_equal(imresize(photo, size=(128, 128)), imresize(photo, 1 / 4))
    np.testing.assert_array_equal(imresize(photo, size=np.array([256, 256])), imresize(photo, 0.5))


def test_published_weights():
    halving, _ = contributions(1, Fraction(1, 2))
    np.testing.assert_array_equal(halving[0] * 256, [-3, -9, 29, 111, 111, 29, -9, -3])
    doubling, _ = contributions(2, Fraction(2))
    np.testing.assert_array_equal(doubling * 128, [[-3, 29, 111, -9], [-9, 111, 29, -3]])


@pytest.mark.parametrize("scale", SCALES)
def test_contributions_repeat_with_the_scale(scale):
    p, q = Fraction(scale).numerator, Fraction(scale).denominator
    weights, indices = contributions(6 * p, Fraction(scale))
    assert weights.shape == indices.shape == (6 * p, math.ceil(4 / min(scale, 1)))
    np.testing.assert_array_equal(weights[p:], weights[:-p])
    np.testing.assert_array_equal(indices[p:], indices[:-p] + q)
    np.testing.assert_array_equal(np.diff(indices, axis=1), 1)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-15)


def test_cubic_interpolates():
    np.testing.assert_array_equal(cubic(np.array([-2, -1, 0, 1, 2, 2.5])), [0, 0, 1, 0, 0, 0])


@pytest.mark.parametrize("length", (1, 2, 5))
def test_inside(length):
    indices = np.arange(-4 * length - 1, 5 * length + 1)
    for edges in resize.EDGES:
        expected = [literal_inside(int(k), length, edges) for k in indices]
        np.testing.assert_array_equal(inside(indices, length, edges), expected)


@pytest.mark.parametrize("edges", resize.EDGES)
@pytest.mark.parametrize("scale", SCALES)
def test_constant_pictures_stay_constant(scale, edges):
    image = np.arange(256, dtype=np.uint8)[np.newaxis, np.newaxis, :].repeat(5, 0).repeat(4, 1)
    result = imresize(image, scale, edges=edges)
    np.testing.assert_array_equal(result, np.broadcast_to(np.arange(256), result.shape))


@pytest.mark.parametrize("edges", resize.EDGES)
@pytest.mark.parametrize("scale", (3, 1 / 3, 1 / 4))
def test_one_pixel_spreads_or_stays(scale, edges):
    result = imresize(np.full((1, 1, 3), 200, np.uint8), scale, edges=edges)
    np.testing.assert_array_equal(result, np.full((math.ceil(scale), math.ceil(scale), 3), 200))


def test_scale_one_is_a_copy(photo):
    result = imresize(photo, 1)
    np.testing.assert_array_equal(result, photo)
    assert not np.shares_memory(result, photo)


@pytest.mark.parametrize("scale", (4, 1 / 4, Fraction(5, 7)))
def test_mirroring_the_picture_mirrors_the_result(photo, scale):
    image = photo[:84, :56] / 255
    for axis in (0, 1):
        mirrored = np.flip(imresize(np.flip(image, axis), scale), axis)
        np.testing.assert_allclose(mirrored, imresize(image, scale), rtol=0, atol=1e-14)


def test_channels_are_independent(photo):
    result = imresize(photo, 1 / 3)
    for channel in range(3):
        np.testing.assert_array_equal(result[..., channel], imresize(photo[..., channel], 1 / 3))


@pytest.mark.parametrize("scale", (3, 1 / 3, Fraction(9, 17)))
def test_blocks_do_not_show(photo, monkeypatch, scale):
    image = photo[:40, :50]
    whole = imresize(image, scale)
    for rows, columns in ((1, 1), (7, 30), (10**6, 10**6)):
        monkeypatch.setattr(resize, "_BLOCK_ROWS", rows)
        monkeypatch.setattr(resize, "_BLOCK_COLUMNS", columns)
        np.testing.assert_array_equal(imresize(image, scale), whole)


@pytest.mark.parametrize(("pair", "expected"), (((0, 1), 1), ((2, 3), 3), ((253, 254), 254), ((254, 255), 255)))
def test_halves_round_away_from_zero(pair, expected):
    column = np.array(pair, np.uint8)[:, np.newaxis]
    assert imresize(column, size=(1, 1)).item() == expected
    assert imresize(column.T, size=(1, 1)).item() == expected


def test_each_dimension_is_rounded(photo):
    image = photo[:256, :256, 0]
    rows_first = imresize(imresize(image, size=(64, 256)), size=(64, 64))
    np.testing.assert_array_equal(imresize(image, 1 / 4), rows_first)
    rounded_once = np.floor(np.clip(imresize(image.astype(np.float64), 1 / 4), 0, 255) + 0.5)
    assert (rows_first != rounded_once).any()


def test_floats_are_neither_clipped_nor_rounded():
    step = np.repeat([0.0, 1.0], 8)[np.newaxis].repeat(16, 0)
    result = imresize(step, 2)
    assert result.min() < 0 and result.max() > 1
    np.testing.assert_allclose(imresize(step * 1000 - 500, 2), result * 1000 - 500, rtol=0, atol=1e-10)


def test_float32_is_computed_in_float64(photo):
    image = photo[:64, :64].astype(np.float32)
    np.testing.assert_array_equal(imresize(image, 1 / 3), imresize(image.astype(np.float64), 1 / 3).astype(np.float32))


def test_edge_modes_differ_only_at_the_border(photo):
    image = photo[:96, :96]
    symmetric, replicate = imresize(image, 1 / 4), imresize(image, 1 / 4, edges="replicate")
    assert (symmetric != replicate).any()
    np.testing.assert_array_equal(symmetric[2:-2, 2:-2], replicate[2:-2, 2:-2])


def test_any_memory_layout(photo):
    view = photo[::-2, 5::3, ::-1]
    assert not view.flags.c_contiguous
    np.testing.assert_array_equal(imresize(view, 1 / 2), imresize(view.copy(), 1 / 2))
