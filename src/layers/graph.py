"""A network as the entry of a graph of its own."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn


class Enlarge(nn.Cell):
    """Calls a network that maps lr to a picture, and shares its parameters.

    Input shapes fixed with ``set_inputs`` belong to the wrapper, so that the same network can be compiled for any
    size here and for one size in training.
    """

    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, lr):
        return self.net(lr)


class Graph:
    """A Cell called with NumPy arrays or with tensors; returns a tuple of tensors.

    Attributes:
        cell: the Cell.
    """

    def __init__(self, cell):
        self.cell = cell

    def __call__(self, *arrays):
        results = self.cell(*(x if isinstance(x, Tensor) else Tensor(np.ascontiguousarray(x)) for x in arrays))
        return results if isinstance(results, tuple) else (results,)


class WideResults(nn.Cell):
    """A network that computes in 16 bits, with float32 results; shares its parameters.

    Args:
        net: maps tensors to one tensor; an SRDiff has ``encode`` besides.
    """

    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net

    def encode(self, lr):
        """See ``SRDiff.encode``."""
        condition, base = self.net.encode(lr)
        return condition.astype(ms.float32), base.astype(ms.float32)

    def construct(self, *inputs):
        return self.net(*inputs).astype(ms.float32)
