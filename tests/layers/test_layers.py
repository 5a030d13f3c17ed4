"""A gradient that a layer brings along, against the one that MindSpore derives."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.layers.layers import AddPerChannel, Mish


def tensor(*shape, seed=0):
    return ms.Tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


class Plain(nn.Cell):
    """The same sum without a gradient of its own."""

    def construct(self, x, number):
        return x + number.expand_dims(-1).expand_dims(-1)


def gradients(layer, inputs, weight):
    """Return the gradients of Σ weight·layer(x, number) for both, NumPy."""

    def loss(*inputs):
        return (layer(*inputs) * weight).sum()

    return [gradient.asnumpy() for gradient in ms.grad(loss, (0, 1))(*inputs)]


@pytest.fixture(params=[ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
def both_modes(request):
    before = ms.get_context("mode")
    ms.set_context(mode=request.param)
    yield
    ms.set_context(mode=before)


def test_add_per_channel(both_modes):
    inputs, weight = [tensor(2, 3, 8, 5), tensor(2, 3, seed=1)], tensor(2, 3, 8, 5, seed=2)
    x, number = (array.asnumpy() for array in inputs)
    np.testing.assert_array_equal(AddPerChannel()(*inputs).asnumpy(), x + number[:, :, None, None])
    found, expected = gradients(AddPerChannel(), inputs, weight), gradients(Plain(), inputs, weight)
    for ours, derived in zip(found, expected, strict=True):
        assert ours.shape == derived.shape
        np.testing.assert_allclose(ours, derived, rtol=1e-6, atol=1e-6)


def test_mish_is_right_for_numbers_of_any_size(both_modes):
    """MindSpore's own is NaN above 44 on the CPU."""
    x = np.array([-1e4, -200, -50, -20, -1, -1e-3, 0, 1, 5, 19.99, 20.01, 44, 45, 89, 200, 1e4], np.float32)
    softplus = np.logaddexp(0, x.astype(np.float64))
    expected = x * np.tanh(softplus)
    sigmoid = np.exp(-np.logaddexp(0, -x.astype(np.float64)))
    slope = np.tanh(softplus) + x * sigmoid * (1 - np.tanh(softplus) ** 2)
    np.testing.assert_allclose(Mish()(ms.Tensor(x)).asnumpy(), expected, rtol=1e-6, atol=1e-6)
    # MindSpore's tanh is 1 from 5 up on the CPU, where 1e-4 is missing; its own gradient of Mish has that, too
    np.testing.assert_allclose(ms.grad(Mish())(ms.Tensor(x)).asnumpy(), slope, rtol=0, atol=1e-3)
    near = np.abs(x) < 4
    np.testing.assert_allclose(ms.grad(Mish())(ms.Tensor(x[near])).asnumpy(), slope[near], rtol=0, atol=1e-6)


def test_mish_is_mindspores_own_in_between(both_modes):
    x = tensor(2, 3, 8, 5) * 5
    np.testing.assert_array_equal(Mish()(x).asnumpy(), nn.Mish()(x).asnumpy())
    found, expected = (ms.grad(layer)(x).asnumpy() for layer in (Mish(), nn.Mish()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
