"""Convolutions for training on the CPU as gathers and matrix products over (pixels, channels).

Like ``channel_last``, but for whole batches of one size, with the convolutions' own parameters and with gradients: the
gradient of a gather is another gather, by the adjoint table, where MindSpore would scatter. A step of the lite
models takes 0.75 to 0.79 of the time of one with MindSpore's convolutions (``docs/training_speed.md``).
"""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from src.models.channel_last import zero_pixel
from src.models.pixel_tables import adjoint, batched


def constant(table):
    """An index table as a part of the graph."""
    return ms.Tensor(np.ascontiguousarray(table), ms.int32)


class GatheredProduct(nn.Cell):
    """Each output's K pixels times the weights of a convolution: (P, in) and (out, in, kh, kw) → (Q, out).

    Args:
        table: (Q · K,) of one picture, see ``src.models.pixel_tables.neighbours``.
        pixels: P of one picture; a table that names row P reads zeros there.
        count: pictures.
        in_channels, out_channels: of the convolution.
    """

    def __init__(self, table, pixels, count, in_channels, out_channels):
        super().__init__(auto_prefix=False)
        taps = 9
        self.pads = bool((table == pixels).any())
        back, sums = adjoint(batched(table, pixels, count), pixels * count, taps)
        self.table, self.back = constant(batched(table, pixels, count)), constant(back)
        self.addends = [constant(column) for column in sums.T] if len(sums) else []
        self.inputs, self.outputs = taps * in_channels, taps * out_channels
        self.kernel = (3, 3, in_channels, out_channels)
        self.input_zero, self.zero = zero_pixel(in_channels), zero_pixel(out_channels)
        self.gather, self.product, self.weight_product = ops.Gather(), ops.MatMul(), ops.MatMul(transpose_a=True)

    def construct(self, x, weight):
        return self.product(self._columns(x), weight.transpose(2, 3, 1, 0).reshape(self.inputs, -1))

    def bprop(self, x, weight, out, dout):
        by_weight = self.weight_product(self._columns(x), dout).reshape(self.kernel).transpose(3, 2, 0, 1)
        rows = ops.concat((dout, self.zero), 0)
        if self.addends:
            total = self.gather(rows, self.addends[0], 0)
            for addend in self.addends[1:]:
                total = total + self.gather(rows, addend, 0)
            rows = ops.concat((dout, total, self.zero), 0)
        columns = self.gather(rows, self.back, 0).reshape(-1, self.outputs)
        return self.product(columns, weight.transpose(2, 3, 0, 1).reshape(self.outputs, -1)), by_weight

    def _columns(self, x):
        x = ops.concat((x, self.input_zero), 0) if self.pads else x
        return self.gather(x, self.table, 0).reshape(-1, self.inputs)


class TrainedConv(nn.Cell):
    """A 3×3 convolution, with its own parameters: (P, in) → (Q, out); see :class:`GatheredProduct`."""

    def __init__(self, conv, table, pixels, count):
        super().__init__(auto_prefix=False)
        out_channels, in_channels = conv.weight.shape[:2]
        self.weight, self.bias = conv.weight, conv.bias
        self.product = GatheredProduct(table, pixels, count, in_channels, out_channels)
        self.bias_add = ops.BiasAdd()

    def construct(self, x):
        return self.bias_add(self.product(x, self.weight), self.bias)


class TrainedPointwise(nn.Cell):
    """A 1×1 convolution, with its own parameters: (P, in) → (P, out)."""

    def __init__(self, conv):
        super().__init__(auto_prefix=False)
        self.weight, self.bias = conv.weight, conv.bias
        self.product, self.bias_add = ops.MatMul(transpose_b=True), ops.BiasAdd()

    def construct(self, x):
        out_channels, in_channels = self.weight.shape[:2]
        return self.bias_add(self.product(x, self.weight.reshape(out_channels, in_channels)), self.bias)


class SpreadProduct(nn.Cell):
    """A transposed convolution with kernel 2·s, stride s, padding s/2: (P, in) and (in, out, 2s, 2s) → (s²·P, out).

    One product gives what each pixel adds to the outputs around it; an output is the sum of four of these.

    Args:
        height, width: of one picture that is read.
        count: pictures.
        factor: s.
        in_channels, out_channels: of the convolution.
    """

    def __init__(self, height, width, count, factor, in_channels, out_channels):
        super().__init__(auto_prefix=False)
        taps = (2 * factor) ** 2
        four, back = spread_tables(height, width, factor)
        shares = height * width * taps
        self.four = [constant(batched(column, shares, count)) for column in four.T]
        self.back = constant(batched(back, height * width * factor**2, count))
        self.taps, self.out_channels = taps, out_channels
        self.kernel = (in_channels, 2 * factor, 2 * factor, out_channels)
        self.zero = zero_pixel(out_channels)
        self.gather, self.product = ops.Gather(), ops.MatMul()
        self.input_product, self.weight_product = ops.MatMul(transpose_b=True), ops.MatMul(transpose_a=True)

    def construct(self, x, weight):
        shares = self.product(x, self._matrix(weight)).reshape(-1, self.out_channels)
        shares = ops.concat((shares, self.zero), 0)
        y = self.gather(shares, self.four[0], 0)
        for table in self.four[1:]:
            y = y + self.gather(shares, table, 0)
        return y

    def bprop(self, x, weight, out, dout):
        columns = self.gather(ops.concat((dout, self.zero), 0), self.back, 0).reshape(-1, self.taps * self.out_channels)
        by_weight = self.weight_product(x, columns).reshape(self.kernel).transpose(0, 3, 1, 2)
        return self.input_product(columns, self._matrix(weight)), by_weight

    def _matrix(self, weight):
        return weight.transpose(0, 2, 3, 1).reshape(weight.shape[0], -1)


def spread_tables(height, width, factor):
    """Tables of :class:`SpreadProduct` for one picture.

    Returns:
        int32 (outputs, 4), the shares that an output adds, a share being (pixel · taps + tap), or the row of zeros
        behind the last; and (pixels · taps,), the output that each share belongs to, or the row behind the last.
    """
    kernel = 2 * factor
    outputs, shares = factor * factor * height * width, height * width * kernel * kernel
    i, j, a, b = np.meshgrid(*(np.arange(n) for n in (height, width, kernel, kernel)), indexing="ij")
    y, x = i * factor + a - factor // 2, j * factor + b - factor // 2
    inside = (y >= 0) & (y < factor * height) & (x >= 0) & (x < factor * width)
    back = np.where(inside, y * (factor * width) + x, outputs).reshape(-1)
    order = np.argsort(back, kind="stable")[: int(inside.sum())]
    counts = np.bincount(back[order], minlength=outputs)
    four = np.full((outputs, 4), shares)
    four[back[order], np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)] = order
    return four.astype(np.int32), back.astype(np.int32)


class TrainedTransposedConv(nn.Cell):
    """A transposed convolution with its own parameters; see :class:`SpreadProduct`."""

    def __init__(self, conv, height, width, count, factor):
        super().__init__(auto_prefix=False)
        self.weight, self.bias = conv.weight, conv.bias
        self.product = SpreadProduct(height, width, count, factor, *conv.weight.shape[:2])
        self.bias_add = ops.BiasAdd()

    def construct(self, x):
        return self.bias_add(self.product(x, self.weight), self.bias)


class AddPerPicture(nn.Cell):
    """Add one row to all pixels of each picture: (B·P, C) and (B, C) → (B·P, C), as products with a 0-1 matrix."""

    def __init__(self, pixels, count):
        super().__init__(auto_prefix=False)
        self.owner = ms.Tensor(np.repeat(np.eye(count, dtype=np.float32), pixels, 0))
        self.spread, self.gathered = ops.MatMul(), ops.MatMul(transpose_a=True)

    def construct(self, x, row):
        return x + self.spread(self.owner, row)

    def bprop(self, x, row, out, dout):
        return dout, self.gathered(self.owner, dout)
