"""Convolutions for inference as gathers and matrix products over (pixels, channels), for one picture at a time.

They copy the weights of the convolutions that they stand for. MindSpore's CPU convolutions cannot use
AVX-512, its matrix products can (``docs/inference_speed.md``), and a gather of pixel rows is padding, shift, stride and
layout in one. Which pixels are gathered is in tables (``src.models.pixel_tables``) that are inputs of the graphs, so
that heights and widths are free.
"""

import mindspore as ms
import numpy as np
from mindspore import nn, ops


def parameter(array, name):
    """A weight that is not trained."""
    return ms.Parameter(ms.Tensor(np.ascontiguousarray(array, np.float32)), name=name, requires_grad=False)


class Product(nn.Cell):
    """Rows times a matrix plus bias: (P, in) → (P, out), where a row may be several gathered pixels.

    Args:
        weight: (in, out) float32.
        bias: (out,) float32, or None.
    """

    def __init__(self, weight, bias=None):
        super().__init__()
        self.inputs = weight.shape[0]
        self.weight = parameter(weight, "weight")
        self.has_bias = bias is not None
        self.bias = parameter(bias if self.has_bias else np.zeros(1), "bias")
        self.product = ops.MatMul()
        self.bias_add = ops.BiasAdd()

    def construct(self, x):
        y = self.product(x.reshape(-1, self.inputs), self.weight)
        return self.bias_add(y, self.bias) if self.has_bias else y


def pointwise(conv):
    """A 1×1 convolution."""
    return Product(conv.weight.asnumpy()[:, :, 0, 0].T, conv.bias.asnumpy())


def dense(cell):
    """An ``nn.Dense``; a copy, since a Cell renames the parameters of Cells that it is given."""
    return Product(cell.weight.asnumpy().T, cell.bias.asnumpy())


def with_zeros(x, zero):
    """Append a pixel of zeros, which tables call P: (P, C) → (P + 1, C)."""
    return ops.concat((x, zero), 0)


def zero_pixel(channels):
    """(1, channels) of zeros."""
    return ms.Tensor(np.zeros((1, channels), np.float32))


class GatheredConv(nn.Cell):
    """A 3×3 convolution as one gather of nine pixels and one product; the table tells edges and stride.

    Input (P, in) and a table (9·Q,); output (Q, out).
    """

    def __init__(self, conv):
        super().__init__()
        out_channels, in_channels = conv.weight.shape[:2]
        weight = conv.weight.asnumpy().transpose(2, 3, 1, 0).reshape(9 * in_channels, out_channels)
        self.product = Product(weight, conv.bias.asnumpy())
        self.gather = ops.Gather()

    def construct(self, x, table):
        return self.product(self.gather(x, table, 0))


class ShiftedConv(nn.Cell):
    """A 3×3 convolution of stride 1: rows are gathered before three products, columns after them.

    It moves half of what :class:`GatheredConv` does, in thrice the operators. The tables tell the edges.
    Input (P, in), output (P, out).
    """

    def __init__(self, conv):
        super().__init__()
        weight = conv.weight.asnumpy()
        out_channels, in_channels = weight.shape[:2]
        matrices = weight.transpose(3, 2, 1, 0).reshape(3, 3 * in_channels, out_channels)
        self.left, self.right = Product(matrices[0]), Product(matrices[2])
        self.centre = Product(matrices[1], conv.bias.asnumpy())
        self.gather = ops.Gather()

    def construct(self, x, tables):
        rows, to_left, to_right = tables
        x = self.gather(x, rows, 0)
        return self.gather(self.left(x), to_left, 0) + self.centre(x) + self.gather(self.right(x), to_right, 0)


class TransposedConv(nn.Cell):
    """A transposed convolution with kernel 2·s, stride s, padding s/2: (P, in) → (s²·P, out).

    Each quarter of an output pixel's phases sees 2×2 input pixels: four gathers, four products, and a gather that
    brings the phases in order.
    """

    def __init__(self, conv, factor):
        super().__init__()
        self.products = nn.CellList(
            [Product(quarter) for quarter in _quarters(conv.weight.asnumpy().astype(np.float32), factor)]
        )
        in_channels, self.out_channels = conv.weight.shape[:2]
        self.bias = parameter(conv.bias.asnumpy(), "bias")
        self.bias_add = ops.BiasAdd()
        self.gather = ops.Gather()
        self.zero = zero_pixel(in_channels)

    def construct(self, x, tables):
        x = with_zeros(x, self.zero)
        parts = ()
        for i in range(4):
            y = self.products[i](self.gather(x, tables[i], 0))
            parts = parts + (y.reshape(-1, self.out_channels),)
        return self.bias_add(self.gather(ops.concat(parts, 0), tables[4], 0), self.bias)


def _quarters(weight, factor):
    """Matrices (4·in, (factor/2)²·out) of the four quarters of phases: upper left, upper right, lower left, …

    Output row s·i + a is input row p with the kernel's row s·i + a + s/2 − s·p: for the first half of the phases
    a < s/2 these are p = i − 1 and i, for the second i and i + 1.
    """
    half = factor // 2
    for lower in (0, 1):
        for right in (0, 1):
            blocks = []
            for dy in (lower - 1, lower):
                for dx in (right - 1, right):
                    ky = lower * half + np.arange(half) + half - factor * dy
                    kx = right * half + np.arange(half) + half - factor * dx
                    block = weight[:, :, ky][:, :, :, kx]  # (in, out, half, half)
                    blocks.append(block.transpose(0, 2, 3, 1).reshape(len(weight), -1))
            yield np.concatenate(blocks, 0)
