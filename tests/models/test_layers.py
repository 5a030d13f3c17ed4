"""The gradients that layers bring along, against those that MindSpore derives."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.models.layers import AddPerChannel, ReflectionPad


def tensor(*shape, seed=0):
    return ms.Tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


class Plain(nn.Cell):
    """The same sum without a gradient of its own."""

    def construct(self, x, number):
        return x + number.expand_dims(-1).expand_dims(-1)


def gradients(layer, inputs, weight):
    """Return the gradients of Σ weight·layer(inputs) for all inputs, NumPy."""

    def loss(*inputs):
        return (layer(*inputs) * weight).sum()

    found = ms.grad(loss, tuple(range(len(inputs))))(*inputs)
    return [gradient.asnumpy() for gradient in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (4, 3), (5, 4), (6, 5), (16, 7), (2, 32)])
@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_reflection_pad(size, mode):
    ms.set_context(mode=mode)
    height, width = size
    x, weight = tensor(2, 3, height, width), tensor(2, 3, height + 2, width + 2, seed=1)
    layer, plain = ReflectionPad(), nn.ReflectionPad2d(1)
    assert np.array_equal(layer(x).asnumpy(), np.pad(x.asnumpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), "reflect"))
    (found,), (expected,) = gradients(layer, [x], weight), gradients(plain, [x], weight)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_add_per_channel(mode):
    ms.set_context(mode=mode)
    inputs, weight = [tensor(2, 3, 8, 5), tensor(2, 3, seed=1)], tensor(2, 3, 8, 5, seed=2)
    x, number = (array.asnumpy() for array in inputs)
    np.testing.assert_array_equal(AddPerChannel()(*inputs).asnumpy(), x + number[:, :, None, None])
    found, expected = gradients(AddPerChannel(), inputs, weight), gradients(Plain(), inputs, weight)
    for ours, derived in zip(found, expected, strict=True):
        assert ours.shape == derived.shape
        np.testing.assert_allclose(ours, derived, rtol=1e-6, atol=1e-6)
