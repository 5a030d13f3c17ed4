"""Sums in blocks equal plain expressions, whatever the arrays look like."""

import numpy as np
import pytest

from src.diffusion.samplers import BLOCK, weighted_sum

WEIGHTS = (0.3, -1.7, 0.25)


def arrays_of(shape, count=3, dtype=np.float32):
    rng = np.random.default_rng(len(shape))
    return [rng.standard_normal(shape).astype(dtype) for _ in range(count)]


SHAPES = [
    (1,),
    (0, 3),
    (3, 0),
    (2, 3, 5, 7),
    (1, 3, 257, 301),  # blocks of rows, the last one smaller
    (2 * BLOCK + 3,),
    (3, BLOCK + 1),  # a row is more than a block
    (BLOCK // 2 + 5, 3),
    (2, 1, BLOCK // 4, 1, 9),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_equals_the_plain_expression_bit_for_bit(shape, dtype):
    arrays = arrays_of(shape, dtype=dtype)
    for count in (1, 2, 3):
        expected = WEIGHTS[0] * arrays[0]
        for weight, array in zip(WEIGHTS[1:count], arrays[1:count], strict=True):
            expected = expected + weight * array
        found = weighted_sum(list(zip(WEIGHTS[:count], arrays[:count], strict=True)))
        assert found.dtype == dtype and found.shape == shape
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_result_may_replace_any_input(place):
    arrays = arrays_of((1, 3, 257, 301))
    terms = list(zip(WEIGHTS, arrays, strict=True))
    expected, kept = weighted_sum(terms), [array.copy() for array in arrays]
    assert weighted_sum(terms, out=arrays[place]) is arrays[place]
    np.testing.assert_array_equal(arrays[place], expected)
    for other in {0, 1, 2} - {place}:
        np.testing.assert_array_equal(arrays[other], kept[other])


def test_an_array_without_dimensions():
    found = weighted_sum([(0.5, np.array(3, np.float32)), (2.0, np.array(1, np.float32))])
    assert (found.shape, found.dtype, float(found)) == ((), np.float32, 3.5)


def test_an_array_may_come_twice():
    (array,) = arrays_of((5, 7), 1)
    expected = 0.5 * array + 0.25 * array
    np.testing.assert_array_equal(weighted_sum([(0.5, array), (0.25, array)], out=array), expected)


def test_views_of_any_strides():
    whole, other = arrays_of((2, 3, 300, 400), 2)
    view, turned = whole[:, ::-1, 4:-4, 8:-8], other[:, :, 4:-4, 8:-8].transpose(0, 1, 3, 2).transpose(0, 1, 3, 2)
    expected = 2.0 * view + 0.5 * turned
    np.testing.assert_array_equal(weighted_sum([(2.0, view), (0.5, turned)]), expected)
    before = whole.copy()
    weighted_sum([(2.0, view), (0.5, turned)], out=view)
    np.testing.assert_array_equal(view, expected)
    np.testing.assert_array_equal(whole[:, :, :4], before[:, :, :4])


def test_other_dtypes_are_rounded_to_the_results():
    single, double = arrays_of((4, 5), 1)[0], arrays_of((4, 5), 1, np.float64)[0]
    out = np.empty((4, 5), np.float32)
    assert weighted_sum([(0.5, single), (np.float64(0.25), double)], out=out).dtype == np.float32
    np.testing.assert_allclose(out, 0.5 * single + 0.25 * double, atol=1e-6)
    assert weighted_sum([(0.5, np.arange(3))]).tolist() == [0, 0.5, 1]


def test_what_follows_the_first_is_broadcast():
    (array,) = arrays_of((2, 3, 4, 4), 1)
    expected = array + 0.5 * np.ones((2, 1, 1, 1), np.float32)
    np.testing.assert_array_equal(weighted_sum([(1.0, array), (0.5, np.ones((2, 1, 1, 1), np.float32))]), expected)
    with pytest.raises(ValueError, match="broadcast"):
        weighted_sum([(1.0, array), (1.0, np.ones((2, 3, 5, 4), np.float32))])


def test_tensors_are_added_as_tensors():
    ms = pytest.importorskip("mindspore")
    arrays = arrays_of((2, 3))
    found = weighted_sum([(weight, ms.Tensor(array)) for weight, array in zip(WEIGHTS, arrays, strict=True)])
    assert isinstance(found, ms.Tensor) and found.dtype == ms.float32
    np.testing.assert_allclose(found.asnumpy(), weighted_sum(list(zip(WEIGHTS, arrays, strict=True))), atol=1e-6)
