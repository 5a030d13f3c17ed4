"""Padding to what the network can divide, and the crop back."""

import numpy as np
import pytest

from src.imaging.resize import imresize
from src.inference.padding import Padding

CASES = [(scale, multiple) for scale in (2, 4, 8) for multiple in (scale, 4, 8, 16, 32)]


@pytest.mark.parametrize(("scale", "multiple"), CASES)
def test_every_size_becomes_one_that_fits(scale, multiple):
    for side in range(1, 40):
        padding = Padding(side, 7, scale, multiple)
        whole = (side + padding.bottom) * scale
        assert whole % multiple == 0 and whole >= 2 * multiple
        assert padding.bottom == 0 or padding.bottom >= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (16, 16)])
def test_the_crop_undoes_the_padding(size):
    height, width = size
    padding = Padding(height, width, 4, 32)
    lr = np.random.default_rng(0).uniform(size=(2, 3, height, width)).astype(np.float32)
    hr = lr.repeat(4, 2).repeat(4, 3)
    padded = padding.pad_hr(hr)
    assert padded.dtype == np.float32
    assert padded.shape[2:] == tuple(4 * n for n in padding.pad_lr(lr).shape[2:])
    np.testing.assert_array_equal(padding.crop_hr(padded), hr)
    np.testing.assert_array_equal(padding.pad_lr(lr)[..., :height, :width], lr)


def test_a_size_that_fits_is_left_alone():
    padding = Padding(16, 24, 4, 32)
    lr = np.zeros((1, 3, 16, 24), np.float32)
    assert padding.pad_lr(lr) is lr


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 9), (7, 8)])
def test_bicubic_inside_is_what_it_would_be_without_padding(size, photo):
    lr = photo[100 : 100 + size[0], 100 : 100 + size[1]].astype(np.float64)
    padding = Padding(*size, 4, 32)
    padded = padding.pad_lr(lr.transpose(2, 0, 1)[None])[0].transpose(1, 2, 0)
    enlarged = imresize(padded, 4)[: 4 * size[0], : 4 * size[1]]
    np.testing.assert_allclose(enlarged, imresize(lr, 4), atol=1e-9)
