"""Spectral normalisation of a convolution (arXiv 1802.05957)."""

import math

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from mindspore.common.initializer import HeUniform, initializer

_EPSILON = 1e-12


class SpectralConv2d(nn.Cell):
    """A convolution without bias by W/σ, σ the largest singular value of W as a matrix (out, in·k·k).

    σ = uᵀWv. Each call in training takes a step of the power iteration first (algorithm 1), as
    ``torch.nn.utils.spectral_norm``; else the vectors u and v stay. ``padding`` is filled with zeros.
    """

    def __init__(self, in_channels, out_channels, kernel, stride=1, padding=1):
        super().__init__()
        shape = (out_channels, in_channels, kernel, kernel)
        self.weight = ms.Parameter(initializer(HeUniform(math.sqrt(5)), shape, ms.float32), name="weight")
        self.normalized = _Normalized(out_channels, in_channels * kernel * kernel)
        self.conv = ops.Conv2D(out_channels, kernel, pad_mode="pad", pad=padding, stride=stride)

    def construct(self, x):
        return self.conv(x, self.normalized(self.weight).astype(x.dtype))


class _Normalized(nn.Cell):
    """W/σ, and the two vectors."""

    exact = True

    def __init__(self, rows, columns):
        super().__init__()
        self.u = ms.Parameter(_random_direction(rows), name="u", requires_grad=False)
        self.v = ms.Parameter(_random_direction(columns), name="v", requires_grad=False)

    def construct(self, weight):
        matrix = weight.reshape(weight.shape[0], -1)
        u, v = self.u, self.v
        if self.training:
            fixed = ops.stop_gradient(matrix)
            v = _direction(ops.matmul(fixed.T, u))
            u = _direction(ops.matmul(fixed, v))
            v, u = ops.stop_gradient(v), ops.stop_gradient(u)
            ops.assign(self.u, u)
            ops.assign(self.v, v)
        sigma = (u * ops.matmul(matrix, v)).sum()
        return weight / sigma


def _direction(x):
    return x / ops.maximum(ops.sqrt((x * x).sum()), _EPSILON)


def _random_direction(length):
    x = np.random.standard_normal(length)
    return ms.Tensor(x / np.linalg.norm(x), ms.float32)
