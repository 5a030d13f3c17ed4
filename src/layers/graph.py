"""Networks as the entries of graphs of their own.

Input shapes fixed with ``set_inputs`` belong to the entry, so that the same network can be compiled for any size here
and for one size in training; an exported graph's inputs have the names that ``construct`` gives them. The entries share
the network's parameters.
"""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn


class _Entry(nn.Cell):
    def __init__(self, model):
        super().__init__(auto_prefix=False)
        self.model = model


class Whole(_Entry):
    """A network that makes its picture from lr in one pass."""

    def construct(self, lr):
        return self.model(lr)


class Encode(_Entry):
    """What a diffusion model computes once per picture, ``model.encode``: the condition and the base picture."""

    def construct(self, lr):
        return self.model.encode(lr)


class Project(_Entry):
    """The condition for a prepared base picture (B, 3, H, W), used as it is instead of the network's own."""

    def construct(self, lr, base):
        return self.model.unet.project(self.model.encoder.condition(lr), base)


class Step(_Entry):
    """What a diffusion model computes once per step; an unconditional one without a condition."""

    def construct(self, x_t, t, condition=None):  # as *condition, none of the inputs would keep its name in an export
        return self.model(x_t, t, condition)


class WideResults(nn.Cell):
    """A network that computes in 16 bits, with float32 results; a diffusion model has ``encode`` besides."""

    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net

    def encode(self, lr):
        condition, base = self.net.encode(lr)
        return condition.astype(ms.float32), base.astype(ms.float32)

    def construct(self, *inputs):
        return self.net(*inputs).astype(ms.float32)


class Graph:
    """A Cell called with NumPy arrays or with tensors; returns a tuple of tensors, or of NumPy arrays.

    ``inputs`` are what it takes, as tensors; a shape that is fixed has a batch of one, and pictures are taken one by
    one.
    """

    def __init__(self, cell, inputs):
        cell.set_inputs(*inputs)
        self.cell, self._one_by_one = cell, inputs[0].shape[0] == 1

    def __call__(self, *arrays):
        count = len(arrays[0])
        if self._one_by_one and count > 1:
            arrays = [array.asnumpy() if isinstance(array, Tensor) else array for array in arrays]
            pictures = [self(*(array[n : n + 1] for array in arrays)) for n in range(count)]
            return tuple(np.concatenate([one.asnumpy() for one in each]) for each in zip(*pictures, strict=True))
        results = self.cell(*(x if isinstance(x, Tensor) else Tensor(np.ascontiguousarray(x)) for x in arrays))
        return results if isinstance(results, tuple) else (results,)
