"""MATLAB's bicubic, against MATLAB's own files and its definition written out plainly; resizing by area."""

import math
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pytest

from src.errors import UserError
from src.imaging import resize
from src.imaging.io import list_images, read_rgb
from src.imaging.resize import (
    MODES,
    area_overlaps,
    area_resize,
    contributions,
    cubic,
    fitted,
    imresize,
    inside,
    interpolate,
    make_lr,
)

SCALES = (2, 3, 4, 8, Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(1, 8), 1, Fraction(7, 5), Fraction(5, 7))


def literal_axis(image, length, scale, edges, largest):
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
    if largest:
        result = np.clip(np.where(result % 1 >= 0.5, np.ceil(result), np.floor(result)), 0, largest)
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
    largest = {"uint8": 255, "uint16": 65535}.get(image.dtype.name)
    result = image.astype(np.float64)
    for axis in (0, 1) if scales[0] <= scales[1] else (1, 0):
        result = np.swapaxes(
            literal_axis(np.swapaxes(result, 0, axis), sizes[axis], scales[axis], edges, largest), 0, axis
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
    for whole in (image, image * np.uint16(257)):
        result = imresize(whole, scale, edges=edges)
        np.testing.assert_array_equal(result, literal(whole, (scale, scale), sizes, edges))
        assert result.dtype == whole.dtype


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
    image = photo[:24, :25]
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


@pytest.mark.parametrize("shape", ((6, 9), (6, 9, 1), (6, 9, 3), (6, 9, 4), (1, 1), (1, 1, 3), (1, 7), (7, 1, 2)))
def test_shape_and_dtype_are_kept(shape):
    for dtype in (np.uint8, np.float32, np.float64):
        for scale in (4, 1 / 4):
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
        np.zeros((4, 4), np.int16),
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
    image = noise((4, 4, 3)).astype(dtype)
    found = area_resize(image, (4, 4))
    assert found.dtype == dtype and not np.shares_memory(found, image)
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("size", [None, 4, (4,), (0, 4), (4.0, 4), (2, 2, 2)])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(UserError):
        area_resize(noise((4, 4)), size)


def test_what_is_no_picture_is_refused():
    for image in (noise((4, 4, 3)).astype(np.int32), noise((0, 4)), noise((4,)), [[1]]):
        with pytest.raises(UserError):
            area_resize(image, (2, 2))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_lr_by_bicubic_and_by_maxpool(photo, scale):
    hr = photo[100:112, 100:124]
    np.testing.assert_array_equal(make_lr(hr, scale), imresize(hr, 1 / scale))
    blocks = [hr[row::scale, column::scale] for row in range(scale) for column in range(scale)]
    largest = make_lr(hr, scale, "maxpool")
    np.testing.assert_array_equal(largest, np.maximum.reduce(blocks))
    assert largest.dtype == np.uint8 and largest.shape == (12 // scale, 24 // scale, 3)


def test_a_picture_that_fits_is_returned_itself(photo):
    picture = photo[:8, :10]
    assert fitted(picture, (8, 10)) is picture
    np.testing.assert_array_equal(fitted(picture, (5, 20)), imresize(picture, size=(5, 20)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", ["0.37", "1.3", "size"])
def test_without_antialiasing_it_is_pytorch_s(shared, mode, size):
    golden = np.load(shared / "golden/srgan/degradations/golden.npz")
    given = {"size": (10, 9)} if size == "size" else {"scale": float(size)}
    for picture, expected in zip(golden["image_u8"], golden[f"resize_{size}_{mode}"], strict=True):
        made = interpolate(picture.astype(np.float32) / 255, mode, **given)
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, expected.transpose(1, 2, 0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_interpolation_keeps_flat_pictures_and_sizes(mode):
    picture = np.full((7, 9, 3), 0.3, np.float32)
    assert interpolate(picture, mode, scale=1) is picture
    for given, shape in (({"scale": 1.5}, (10, 13)), ({"scale": 0.01}, (1, 1)), ({"size": (3, 20)}, (3, 20))):
        made = interpolate(picture, mode, **given)
        assert made.shape == (*shape, 3)
        np.testing.assert_allclose(made, 0.3, atol=1e-6)


def test_by_area_blocks_become_their_means(photo):
    picture = photo[:24, :16].astype(np.float32)
    blocks = picture.reshape(6, 4, 4, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(interpolate(picture, "area", scale=0.25), blocks, rtol=1e-5)
