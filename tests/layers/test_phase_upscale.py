"""LR↑ inside the network against MATLAB's bicubic in src/imaging."""

import mindspore as ms
import numpy as np
import pytest

from src.imaging.resize import imresize
from src.layers.phase_upscale import BicubicUpscale, phase_kernels


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("size", [(2, 2), (5, 3), (16, 23)])
def test_equals_matlab_on_floats(scale, size, photo):
    lr = photo[100 : 100 + size[0], 200 : 200 + size[1]].astype(np.float32) / 255
    expected = imresize(lr, scale)
    found = BicubicUpscale(scale)(ms.Tensor(lr.transpose(2, 0, 1)[None])).asnumpy()[0].transpose(1, 2, 0)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_five_taps_hold_the_whole_kernel(scale):
    kernels = phase_kernels(scale)
    assert np.allclose(kernels.sum(1), 1)
    assert np.allclose(kernels, kernels[::-1, ::-1])  # mirrored phases
