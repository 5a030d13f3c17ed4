"""Spectral normalisation: the largest singular value, and its gradient, in which u and v are constants."""

import mindspore as ms
import numpy as np
from mindspore import nn

from src.layers.spectral_norm import SpectralConv2d

X = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


class Total(nn.Cell):
    def __init__(self, conv):
        super().__init__(auto_prefix=False)
        self.conv = conv

    def construct(self, x):
        return (self.conv(x) * x[:, :1, ::2, ::2]).sum()


class Differentiated(nn.Cell):
    def __init__(self, conv):
        super().__init__(auto_prefix=False)
        self.gradient = ms.value_and_grad(Total(conv), None, conv.trainable_params())

    def construct(self, x):
        return self.gradient(x)


def matrix(conv):
    return conv.weight.asnumpy().astype(np.float64).reshape(conv.weight.shape[0], -1)


def test_the_vectors_become_those_of_the_largest_singular_value():
    conv = SpectralConv2d(3, 6, 4, stride=2).set_train()
    for _ in range(60):
        out = conv(ms.Tensor(X))
    assert out.shape == (2, 6, 4, 4)
    u, v = conv.normalized.u.asnumpy(), conv.normalized.v.asnumpy()
    largest = np.linalg.svd(matrix(conv), compute_uv=False)[0]
    assert abs(u @ matrix(conv) @ v / largest - 1) < 1e-3
    plain = nn.Conv2d(3, 6, 4, 2, pad_mode="pad", padding=1)
    plain.weight.set_data(ms.Tensor(conv.weight.asnumpy() / (u @ matrix(conv) @ v)))
    np.testing.assert_allclose(conv.set_train(False)(ms.Tensor(X)).asnumpy(), plain(ms.Tensor(X)).asnumpy(), atol=1e-5)
    np.testing.assert_array_equal(conv.normalized.u.asnumpy(), u)


def test_the_gradient_holds_the_vectors():
    """d(W/σ) = dW/σ − W (uᵀ dW v)/σ²: what is left of the plain gradient G is (G − (Σ G∘W)/σ · uvᵀ)/σ."""
    conv = SpectralConv2d(3, 6, 4, stride=2).set_train()
    weight = conv.weight.asnumpy()
    (found,) = Differentiated(conv).set_train()(ms.Tensor(X))[1]
    u, v = conv.normalized.u.asnumpy(), conv.normalized.v.asnumpy()
    sigma = u @ matrix(conv) @ v
    plain = nn.Conv2d(3, 6, 4, 2, pad_mode="pad", padding=1)
    plain.weight.set_data(ms.Tensor(weight / sigma))
    (gradient,) = Differentiated(plain)(ms.Tensor(X))[1]
    gradient = gradient.asnumpy().astype(np.float64)
    expected = (gradient - (gradient * weight).sum() / sigma * np.outer(u, v).reshape(weight.shape)) / sigma
    np.testing.assert_allclose(found.asnumpy(), expected, atol=1e-4 * np.abs(expected).max())
