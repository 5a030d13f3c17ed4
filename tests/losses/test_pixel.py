"""Pixel losses against NumPy."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.errors import UserError
from src.losses.pixel import PixelLoss, RegressionLoss

A, B = np.random.default_rng(0).standard_normal((2, 2, 3, 4, 5)).astype(np.float32)


@pytest.mark.parametrize(("kind", "expected"), [("l1", np.abs(A - B).mean()), ("l2", ((A - B) ** 2).mean())])
def test_it_is_the_mean_over_all_pixels(kind, expected):
    found = PixelLoss(kind)(ms.Tensor(A), ms.Tensor(B))
    assert found.shape == () and found.dtype == ms.float32
    np.testing.assert_allclose(found.asnumpy(), expected, rtol=1e-6)


def test_an_unknown_loss():
    with pytest.raises(UserError, match="loss must be one of l1, l2, not 'huber'"):
        PixelLoss("huber")


def test_regression_is_l1_between_the_networks_picture_and_hr():
    class Twice(nn.Cell):
        def construct(self, lr):
            return lr * 2

    found = RegressionLoss(Twice())(ms.Tensor(A), ms.Tensor(B))
    np.testing.assert_allclose(found.asnumpy(), np.abs(2 * B - A).mean(), rtol=1e-6)
