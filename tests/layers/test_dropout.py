"""Dropout by keys: the hash as NumPy computes it, and masks that look like chance."""

import itertools

import mindspore as ms
import numpy as np
import pytest

from src.dataset.batches import dropout_keys_at
from src.errors import UserError
from src.layers.dropout import Dropout, hashed

SHAPE = 32, 64, 64  # channels, height, width
KEYS = np.concatenate([dropout_keys_at(0, number, 2) for number in range(2)])  # two draws of each of two samples


def masks(rate, salt=0, keys=KEYS, shape=SHAPE):
    """What is kept, bool (keys, *shape)."""
    out = Dropout(rate, salt)(ms.Tensor(np.ones((len(keys), *shape), np.float32)), ms.Tensor(keys)).asnumpy()
    assert set(np.unique(out)) <= {np.float32(0), np.float32(1 / (1 - rate))}
    return out > 0


def correlation(one, other):
    """Between two arrays of bool, in standard deviations of what chance gives."""
    one, other = (mask.ravel() - mask.mean() for mask in (one, other))
    return (one * other).mean() / (one.std() * other.std()) * np.sqrt(one.size)


def test_the_hash_is_that_of_unsigned_numbers():
    z = np.random.default_rng(0).integers(0, 2**32, 1000, dtype=np.uint32)
    expected = z.copy()
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        expected = (expected ^ (expected >> np.uint32(shift))) * np.uint32(factor)
    np.testing.assert_array_equal(hashed(ms.Tensor(z.view(np.int32))).asnumpy().view(np.uint32), expected)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_the_share_that_is_kept(rate):
    kept = masks(rate)
    deviation = np.sqrt(rate * (1 - rate))
    for axes in [(1, 2, 3), (2, 3), (1,)]:  # of a sample, of its channels, of its pixels
        shares = kept.mean(axes)
        chance = deviation / np.sqrt(kept.size / shares.size)
        assert np.abs(shares - (1 - rate)).max() < 6 * chance
        assert shares.size < 99 or 0.9 < shares.std() / chance < 1.1


def test_masks_are_independent():
    layers = [masks(0.3, salt) for salt in range(3)]
    for one, other in itertools.combinations([mask for layer in layers for mask in layer], 2):
        assert abs(correlation(one, other)) < 5  # of layers, of samples and of a sample's draws
    one = layers[0][0]
    neighbours = [(one[1:], one[:-1]), (one[:, 1:], one[:, :-1]), (one[:, :, 1:], one[:, :, :-1])]
    squares = one[1:, 1:] ^ one[1:, :-1] ^ one[:-1, 1:], one[:-1, :-1]  # the parity of three against the fourth
    for pair in [*neighbours, squares]:
        assert abs(correlation(*pair)) < 5
    channels = np.corrcoef(one.reshape(SHAPE[0], -1))[np.triu_indices(SHAPE[0], 1)] * 64
    pixels = np.corrcoef(one.reshape(SHAPE[0], -1)[:, :500].T)[np.triu_indices(500, 1)] * np.sqrt(SHAPE[0])
    for found in (channels, pixels):
        assert 0.95 < found.std() < 1.05 and np.abs(found).max() < 5.8


def test_a_mask_is_a_function_of_its_key_and_its_layer():
    two = masks(0.5, 3, KEYS[1:3])
    np.testing.assert_array_equal(two, masks(0.5, 3)[1:3])


def test_the_gradient_passes_where_values_do():
    class Sum(ms.nn.Cell):
        def __init__(self):
            super().__init__()
            self.dropout = Dropout(0.5, 1)

        def construct(self, x, keys):
            return self.dropout(x, keys).sum()

    x, keys = ms.Tensor(np.ones((4, 2, 3, 5), np.float32)), ms.Tensor(KEYS)
    gradient = ms.grad(Sum())(x, keys).asnumpy()
    np.testing.assert_array_equal(gradient, Dropout(0.5, 1)(x, keys).asnumpy())


def test_without_keys_and_without_a_rate_nothing_is_dropped():
    x = ms.Tensor(np.ones((4, 2, 3, 5), np.float32))
    for out in (Dropout(0.5)(x), Dropout(0.0)(x, ms.Tensor(KEYS)), Dropout(1e-12)(x, ms.Tensor(KEYS))):
        np.testing.assert_array_equal(out.asnumpy(), x.asnumpy())
    with pytest.raises(UserError, match=r"sr3.dropout must be at least 0 and below 1, not 1.0"):
        Dropout(1.0)
