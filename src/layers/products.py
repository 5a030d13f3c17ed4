"""Convolutions on the CPU as gathers and matrix products over (pixels, channels).

MindSpore's CPU convolutions cannot use AVX-512, its matrix products can (``docs/inference_speed.md``), and a gather of
pixel rows is padding, shift, stride and layout in one. For inference, weights are copied, pictures come one at a time,
and the tables of gathered pixels are inputs of the graphs, so that sizes are free; for training, the networks share the
model's own parameters, and the tables are parts of the graphs.
"""

import math

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.errors import UserError
from src.layers.bicubic import phase_kernels
from src.layers.layers import Mish


def parameter(array, name):
    """A weight that is not trained."""
    return ms.Parameter(ms.Tensor(np.ascontiguousarray(array, np.float32)), name=name, requires_grad=False)


class Product(nn.Cell):
    """Rows times a matrix (in, out) plus bias: (P, in) → (P, out), where a row may be several gathered pixels."""

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


def reflected(index, length):
    """Indices mirrored at the first and the last pixel, which is not repeated."""
    return (length - 1) - np.abs((length - 1) - np.abs(index))


def symmetric(index, length):
    """Indices mirrored at the edge, where the edge pixel is repeated; for up to ``length`` pixels outside."""
    index = np.where(index < 0, -1 - index, index)
    return np.where(index >= length, 2 * length - 1 - index, index)


def neighbours(height, width, offsets, edges=None, stride=1):
    """Table of the neighbours of every stride-th pixel of every stride-th row: int32 (pixels · offsets,).

    Args:
        height, width: of the picture that is read.
        offsets: list of (dy, dx).
        edges: maps indices beyond an edge and a length to indices inside; None makes them height·width, a row of zeros.
    """
    dy, dx = np.array(offsets).T
    rows = np.arange(0, height, stride)[:, None, None] + dy
    columns = np.arange(0, width, stride)[None, :, None] + dx
    if edges:
        table = edges(rows, height) * width + edges(columns, width)
    else:
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        table = np.where(inside, rows * width + columns, height * width)
    return table.reshape(-1).astype(np.int32)


NINE = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


def shift_tables(height, width):
    """Tables of :class:`ShiftedConv`: three rows, the pixel to the left, the pixel to the right."""
    return [
        neighbours(height, width, offsets, reflected) for offsets in ([(-1, 0), (0, 0), (1, 0)], [(0, -1)], [(0, 1)])
    ]


def transposed_tables(height, width, factor):
    """Tables of :class:`TransposedConv`: four quarters' 2×2 pixels, and the order of the phases."""
    quarters = [
        neighbours(height, width, [(y, x) for y in (lower - 1, lower) for x in (right - 1, right)])
        for lower in (0, 1)
        for right in (0, 1)
    ]
    half = factor // 2
    order = np.arange(factor * factor * height * width).reshape(2, 2, height, width, half, half)
    order = order.transpose(2, 0, 4, 3, 1, 5)  # height, lower, row, width, right, column
    return (*quarters, order.reshape(-1).astype(np.int32))


def denoise_tables(height, width, levels):
    """The tables of :class:`ChannelLastUNet`, whose first level has height × width pixels."""
    sizes = [(height >> level, width >> level) for level in range(levels)]
    return [
        neighbours(height, width, NINE, reflected),
        *(table for size in sizes for table in shift_tables(*size)),
        *(neighbours(*size, NINE, reflected, stride=2) for size in sizes[:-1]),
        *(table for size in sizes[1:] for table in transposed_tables(*size, 2)),
    ]


def encode_tables(height, width, factor, base=False):
    """The tables of :class:`ChannelLastEncode` for an LR picture.

    ``factor`` is condition size / LR size; ``base``: the base picture is part of the condition.
    """
    square = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    return [
        neighbours(height, width, NINE),
        neighbours(height, width, square, symmetric),
        *([neighbours(height * factor, width * factor, NINE, reflected)] if base else ()),
        *(transposed_tables(height, width, factor) if factor > 1 else ()),
    ]


def batched(table, pixels, count):
    """A table for ``count`` pictures of ``pixels`` pixels, one after the other; the row of zeros is behind the last."""
    offsets = np.arange(count)[:, None] * pixels
    return np.where(table == pixels, count * pixels, table + offsets).reshape(-1).astype(np.int32)


def adjoint(table, pixels, taps):
    """Which outputs read a pixel at each tap: what the gradient by the input gathers from that by the output.

    Where several outputs read one pixel at the same tap, as beside a mirrored edge, their sum is a row of its own.

    Args:
        table: (Q · taps,), the pixels that each of Q outputs reads; ``pixels`` is a row of zeros.
        pixels: P, rows that are read.
        taps: K, pixels that an output reads.

    Returns:
        (P · K,) int32 into Q outputs, then the sums, then a row of zeros; and (sums, m) int32 into the outputs, of
        which each sum adds m, Q being a row of zeros.
    """
    outputs = len(table) // taps
    slots = table.astype(np.int64) * taps + np.tile(np.arange(taps), outputs)
    order = np.argsort(slots, kind="stable")
    order = order[table[order] < pixels]
    counts = np.bincount(slots[order], minlength=pixels * taps)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    readers = np.full((pixels * taps, max(1, counts.max())), outputs)
    readers[slots[order], rank] = order // taps
    several = counts > 1
    sums, number = np.unique(readers[several], axis=0, return_inverse=True)
    found = np.where(counts == 0, outputs + len(sums), readers[:, 0])
    found[several] = outputs + number.reshape(-1)
    return found.astype(np.int32), sums.astype(np.int32)


def supports_unet(unet):
    """Whether a ConditionalUNet has no part that is missing here: normalisation, attention."""
    return isinstance(unet.last_block.norm, nn.Identity) and isinstance(unet.mid_attention, nn.Identity)


class ResnetBlock(nn.Cell):
    """A block of ``ConditionalUNet``: (P, in), the activated embedding (1, embedding), tables → (P, out).

    ``few``: it has few input channels, and its first convolution takes a table of its own.
    """

    def __init__(self, block, few=False):
        super().__init__()
        first = block.block1.conv.conv
        self.conv1 = GatheredConv(first) if few else ShiftedConv(first)
        self.conv2 = ShiftedConv(block.block2.conv.conv)
        self.time_dense = dense(block.time_dense)
        self.skip = block.skip if isinstance(block.skip, nn.Identity) else pointwise(block.skip)
        self.activation = Mish()
        self.bias_add = ops.BiasAdd()

    def construct(self, x, embedding, tables, first_table=None):
        h = self.activation(self.conv1(x, tables if first_table is None else first_table))
        h = self.bias_add(h, self.time_dense(embedding).reshape(-1))
        return self.activation(self.conv2(h, tables)) + self.skip(x)


class ChannelLastUNet(nn.Cell):
    """``ConditionalUNet`` for one picture; see :func:`supports_unet`."""

    def __init__(self, unet):
        super().__init__()
        self.r, self.levels = unet.space_to_depth, unet.levels
        first, _, last = unet.time_mlp
        self.time_mlp = nn.SequentialCell([dense(first), Mish(), dense(last)])
        self.embedding, self.activation = unet.embedding, Mish()
        blocks = [b for level in unet.downs for b in (level.block1, level.block2)]
        self.downs = nn.CellList([ResnetBlock(blocks[0], few=True), *(ResnetBlock(b) for b in blocks[1:])])
        self.halvings = nn.CellList([GatheredConv(halving.conv) for halving in unet.halvings])
        self.mids = nn.CellList([ResnetBlock(unet.mid_block1), ResnetBlock(unet.mid_block2)])
        self.ups = nn.CellList([ResnetBlock(b) for level in unet.ups for b in (level.block1, level.block2)])
        self.transposed = nn.CellList([TransposedConv(level.up, 2) for level in unet.ups])
        self.last_block = ShiftedConv(unet.last_block.conv.conv)
        self.last_conv = pointwise(unet.last_conv)

    def construct(self, x_t, t, condition, *tables):
        """x_t (1, 3, H, W), t (1,) int32, condition (P, width), tables → (1, 3, H, W)."""
        first_nine, reflect, halve, double = self._sorted(tables)
        embedding = self.activation(self.time_mlp(self.embedding(t)))
        r, h, w = self.r, x_t.shape[2] // self.r, x_t.shape[3] // self.r
        x = x_t.reshape(3, h, r, w, r).transpose(1, 3, 0, 2, 4).reshape(-1, 3 * r * r)
        skips = ()
        for level in range(self.levels):
            x = self.downs[2 * level](x, embedding, reflect[level], first_nine if level == 0 else None)
            x = self.downs[2 * level + 1](x, embedding, reflect[level])
            if level == 0:
                x = x + condition
            skips = skips + (x,)
            if level < self.levels - 1:
                x = self.halvings[level](x, halve[level])
        for i in range(2):
            x = self.mids[i](x, embedding, reflect[self.levels - 1])
        for i in range(self.levels - 1):
            level = self.levels - 1 - i
            x = ops.concat((x, skips[level]), 1)
            x = self.ups[2 * i](x, embedding, reflect[level])
            x = self.ups[2 * i + 1](x, embedding, reflect[level])
            x = self.transposed[i](x, double[level - 1])
        x = self.last_conv(self.activation(self.last_block(x, reflect[0])))
        return x.reshape(h, w, 3, r, r).transpose(2, 0, 3, 1, 4).reshape(1, 3, h * r, w * r)

    def _sorted(self, tables):
        """The tables of each level, from the flat list that a graph with free sizes takes."""
        reflect, halve, double = (), (), ()
        n = self.levels
        for i in range(n):
            reflect = reflect + (tables[1 + 3 * i : 4 + 3 * i],)
        for i in range(n - 1):
            halve = halve + (tables[1 + 3 * n + i],)
            double = double + (tables[4 * n + 5 * i : 4 * n + 5 * i + 5],)
        return tables[0], reflect, halve, double


class DenseBlock(nn.Cell):
    """``ResidualDenseBlock`` of RRDBNet: (P, features) → (P, features)."""

    def __init__(self, block):
        super().__init__()
        convs = (block.conv1, block.conv2, block.conv3, block.conv4, block.conv5)
        self.convs = nn.CellList([GatheredConv(conv) for conv in convs])
        self.activation = nn.LeakyReLU(0.2)
        growth, features = block.conv1.weight.shape[:2]
        self.input_zero, self.zero = zero_pixel(features), zero_pixel(growth)

    def construct(self, x, nine):
        found = with_zeros(x, self.input_zero)
        for i in range(4):
            y = self.activation(self.convs[i](found, nine))
            found = ops.concat((found, with_zeros(y, self.zero)), 1)
        return self.convs[4](found, nine) * 0.2 + x


def supports_encoder(encoder):
    """Whether an RRDBNet's own picture can be had here: where it is made at LR resolution and unfolded."""
    return hasattr(encoder.upsampler, "hidden_conv")


class _Trunk(nn.Cell):
    """What ``RRDBNet`` and ``SRDiff.encode`` share, for one picture.

    Args:
        encoder: an ``RRDBNet``.
        scale: HR size / LR size.
        to_unit: LR in [0, 2] times this is what the bicubic takes.
        own_picture: the base picture is the encoder's, not LR↑; see :func:`supports_encoder`.
    """

    def __init__(self, encoder, scale, to_unit, own_picture):
        super().__init__()
        self.scale, self.to_unit, self.own_picture = scale, to_unit, own_picture
        self.every, features = encoder.condition_every, encoder.trunk_conv.weight.shape[0]
        kernels = phase_kernels(scale)
        phases = np.einsum("ik,jl,cd->klcdij", kernels, kernels, np.eye(3)).reshape(75, -1)
        self.bicubic = Product(phases)  # one row: 25 pixels of 3 channels, one column: a channel's phase
        self.first_conv, self.trunk_conv = GatheredConv(encoder.first_conv), GatheredConv(encoder.trunk_conv)
        blocks = [b for rrdb in encoder.trunk for b in (rrdb.dense1, rrdb.dense2, rrdb.dense3)]
        self.trunk = nn.CellList([DenseBlock(block) for block in blocks])
        up = encoder.upsampler
        self.hidden_conv = GatheredConv(up.hidden_conv) if own_picture else nn.Identity()
        self.last_conv = GatheredConv(up.last_conv) if own_picture else nn.Identity()
        self.activation, self.gather = nn.LeakyReLU(0.2), ops.Gather()
        self.picture_zero, self.zero, self.hidden_zero = (zero_pixel(n) for n in (3, features, 2 * features))

    def base(self, lr, trunk, nine, bicubic):
        """LR↑ or the encoder's picture: (1, 3, H, W)."""
        h, w, s = lr.shape[2], lr.shape[3], self.scale
        unit = ((lr + 1) * self.to_unit).reshape(3, -1).transpose(1, 0)
        rows = self.bicubic(self.gather(unit, bicubic, 0))
        if self.own_picture:
            hidden = self.activation(self.hidden_conv(with_zeros(trunk, self.zero), nine))
            rows = rows + self.last_conv(with_zeros(hidden, self.hidden_zero), nine)
        return (rows * 2 - 1).reshape(h, w, 3, s, s).transpose(2, 0, 3, 1, 4).reshape(1, 3, h * s, w * s)

    def features(self, lr, nine):
        """Every block's output that the condition takes, a tuple, and the trunk's result (P, features)."""
        first = x = self.first_conv(
            with_zeros(((lr + 1) * 0.5).reshape(3, -1).transpose(1, 0), self.picture_zero), nine
        )
        kept = ()
        for i in range(len(self.trunk) // 3):
            y = x
            for j in range(3):
                y = self.trunk[3 * i + j](y, nine)
            x = y * 0.2 + x
            if (i + 1) % self.every == 0:
                kept = kept + (x,)
        trunk = first + self.trunk_conv(with_zeros(x, self.zero), nine)
        if (len(self.trunk) // 3 + 1) % self.every == 0:
            kept = kept + (trunk,)
        return kept, trunk


class ChannelLastRRDB(_Trunk):
    """``RRDBNet`` for one picture: (1, 3, H, W); see :func:`supports_encoder`."""

    def __init__(self, encoder, scale):
        super().__init__(encoder, scale, 0.5, own_picture=True)

    def construct(self, lr, nine, bicubic):
        """lr (1, 3, h, w) float32 in [−1, 1] and tables."""
        return self.base(lr, self.features(lr, nine)[1], nine, bicubic)


class ChannelLastEncode(_Trunk):
    """``SRDiff.encode`` for one picture: the condition (P, width) and the base picture (1, 3, H, W)."""

    def __init__(self, model, scale):
        super().__init__(model.encoder, scale, model.to_unit, model.of_encoder)
        unet = model.unet
        factor = scale // unet.space_to_depth
        self.direct, self.add_base, self.fold = factor == 1, unet.add_lr_up, unet.space_to_depth
        conv = unet.condition_conv
        self.condition_conv = GatheredConv(conv) if self.direct else TransposedConv(conv, factor)
        self.base_conv = GatheredConv(unet.lr_up_conv.conv) if self.add_base else nn.Identity()
        self.condition_zero = zero_pixel(model.encoder.condition_channels)

    def construct(self, lr, nine, bicubic, *rest):
        """lr (1, 3, h, w) float32 in [−1, 1] and tables."""
        kept, trunk = self.features(lr, nine)
        base, features = self.base(lr, trunk, nine, bicubic), ops.concat(kept, 1)
        if self.direct:
            condition = self.condition_conv(with_zeros(features, self.condition_zero), nine)
        else:
            condition = self.condition_conv(features, rest[-5:])
        if self.add_base:
            r, h, w = self.fold, base.shape[2] // self.fold, base.shape[3] // self.fold
            rows = base.reshape(3, h, r, w, r).transpose(1, 3, 0, 2, 4).reshape(-1, 3 * r * r)
            condition = condition + self.base_conv(rows, rest[0])
        return condition, base


class ChannelLastRegression:
    """RRDB: one graph for one picture, and the tables for (height, width) of lr; a batch is one after the other."""

    products = True  # no convolutions: what the memory is estimated by

    def __init__(self, net, tables):
        self._net, self._tables = net, _OfLastSize(tables)

    def cells(self):
        """The Cells that every picture runs."""
        return [self._net]

    def regress(self, lr):
        """(B, 3, h, w) → (B, 3, H, W), float32 NumPy."""
        return np.concatenate([self._net(_tensor(one), *self._tables(lr.shape)).asnumpy() for one in _singly(lr)])


class ChannelLastNetworks:
    """One graph to encode, one to denoise, each for one picture; a batch is its pictures one after the other.

    Args:
        encode: maps lr (1, 3, h, w) and tables to the condition (pixels, channels) and LR↑ (1, 3, H, W).
        denoise: maps x_t (1, 3, H, W), t (1,) int32, the condition and tables to the prediction (1, 3, H, W).
        encode_tables, denoise_tables: give the tables, NumPy, for (height, width) of lr and of x_t.
        uses_lr_up: whether the condition depends on LR↑, so that no other than the network's own can be taken.
    """

    products = True  # no convolutions: what the memory is estimated by
    lr_up_suffices = False  # LR itself is needed beside a given LR↑

    def __init__(self, encode, denoise, encode_tables, denoise_tables, uses_lr_up=False):
        self._uses_lr_up = uses_lr_up
        self._encode = encode
        self._denoise = denoise
        self._tables = {encode: _OfLastSize(encode_tables), denoise: _OfLastSize(denoise_tables)}

    def cells(self):
        """The Cells that every picture runs, in the order of use."""
        return [self._encode, self._denoise]

    def encode(self, lr, lr_up=None):
        """Return a condition for each picture, and LR↑ as float32 NumPy: the given one, or the network's own."""
        if lr_up is not None and self._uses_lr_up:
            raise UserError("this model's condition is computed from its own LR↑: leave lr_up out")
        found = [self._encode(_tensor(one), *self._tables[self._encode](lr.shape)) for one in _singly(lr)]
        own = [up.asnumpy() for _, up in found] if lr_up is None else None
        return [condition for condition, _ in found], np.concatenate(own) if lr_up is None else lr_up

    def cut(self, conditions, lr_size, corner, size):
        """The condition of a rectangle of LR, (top, left) and (height, width), as NumPy, for :meth:`denoise`."""
        times = math.isqrt(len(conditions[0]) // math.prod(lr_size))
        rows, columns = (slice(n * times, (n + m) * times) for n, m in zip(corner, size, strict=True))
        pictures = [one.asnumpy().reshape(*(n * times for n in lr_size), -1) for one in conditions]
        return np.stack([picture[rows, columns].reshape(-1, picture.shape[2]) for picture in pictures])

    def denoise(self, x_t, t, conditions):
        """The network's prediction for x_t, float32 NumPy (B, 3, H, W)."""
        if len(x_t) != len(conditions):
            raise UserError(f"x_t has {len(x_t)} pictures, the condition {len(conditions)}: encode what is denoised")
        tables = self._tables[self._denoise](x_t.shape)
        found = []
        for x, step, condition in zip(_singly(x_t), _singly(t), conditions, strict=True):
            condition = condition if isinstance(condition, Tensor) else _tensor(condition)
            found.append(self._denoise(_tensor(x), _tensor(step), condition, *tables).asnumpy())
        return np.concatenate(found)


class _OfLastSize:
    """Tables as tensors, kept as long as the size stays: one picture's steps, or tiles of one size."""

    def __init__(self, make):
        self._make = make
        self._size, self._tensors = None, None

    def __call__(self, shape):
        if self._size != shape[2:]:
            self._tensors = [Tensor(table) for table in self._make(*shape[2:])]
            self._size = shape[2:]
        return self._tensors


def _singly(array):
    return [array[i : i + 1] for i in range(len(array))]


def _tensor(array):
    return Tensor(np.ascontiguousarray(array))


def constant(table):
    """An index table as a part of the graph."""
    return ms.Tensor(np.ascontiguousarray(table), ms.int32)


class GatheredProduct(nn.Cell):
    """Each output's nine pixels times the weights of a convolution: (P, in) and (out, in, 3, 3) → (Q, out).

    ``table`` (Q · 9,) is that of one of ``count`` pictures of P ``pixels``; where it names row P, zeros are read.
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


def supports_training(model):
    """Whether an SRDiff has no part that is missing here."""
    return supports_unet(model.unet) and supports_encoder(model.encoder)


class Level:
    """One resolution of a batch: what makes the Cells for it."""

    def __init__(self, count, height, width):
        self.count, self.height, self.width = count, height, width

    def conv(self, conv, stride=1):
        """A 3×3 convolution over mirrored edges."""
        table = neighbours(self.height, self.width, NINE, reflected, stride)
        return TrainedConv(conv, table, self.height * self.width, self.count)

    def doubled(self, conv):
        """A transposed convolution to twice the size."""
        return TrainedTransposedConv(conv, self.height, self.width, self.count, 2)


class TrainedResnetBlock(nn.Cell):
    """A block of ``ConditionalUNet``: (B·P, in) and the activated embedding (B, embedding) → (B·P, out)."""

    def __init__(self, block, level):
        super().__init__(auto_prefix=False)
        self.conv1, self.conv2 = level.conv(block.block1.conv.conv), level.conv(block.block2.conv.conv)
        self.time_dense, self.activation = block.time_dense, Mish()
        self.add = AddPerPicture(level.height * level.width, level.count)
        self.skip = block.skip if isinstance(block.skip, nn.Identity) else TrainedPointwise(block.skip)

    def construct(self, x, embedding):
        h = self.add(self.activation(self.conv1(x)), self.time_dense(embedding))
        return self.activation(self.conv2(h)) + self.skip(x)


class TrainedUNet(nn.Cell):
    """``ConditionalUNet`` with its own parameters, for x_t of ``size`` (B, H, W)."""

    def __init__(self, unet, size):
        super().__init__(auto_prefix=False)
        self.r, self.levels = unet.space_to_depth, unet.levels
        self.count, self.height, self.width = size[0], size[1] // self.r, size[2] // self.r
        level = [Level(self.count, self.height >> n, self.width >> n) for n in range(self.levels)]
        self.embedding, self.time_mlp, self.activation = unet.embedding, unet.time_mlp, Mish()
        self.downs = nn.CellList([TrainedResnetBlock(b, at) for down, at in zip(unet.downs, level, strict=True)
                                  for b in (down.block1, down.block2)], auto_prefix=False)  # fmt: skip
        self.halvings = nn.CellList(
            [at.conv(c.conv, 2) for c, at in zip(unet.halvings, level[:-1], strict=True)], auto_prefix=False
        )
        self.mids = nn.CellList(
            [TrainedResnetBlock(b, level[-1]) for b in (unet.mid_block1, unet.mid_block2)], auto_prefix=False
        )
        ups = list(zip(unet.ups, level[:0:-1], strict=True))
        self.ups = nn.CellList(
            [TrainedResnetBlock(b, at) for up, at in ups for b in (up.block1, up.block2)], auto_prefix=False
        )
        self.transposed = nn.CellList([at.doubled(up.up) for up, at in ups], auto_prefix=False)
        self.last_block, self.last_conv = level[0].conv(unet.last_block.conv.conv), TrainedPointwise(unet.last_conv)

    def construct(self, x_t, t, condition):
        """x_t (B, 3, H, W), t (B,) int32, condition (B, P, width) → (B, 3, H, W)."""
        embedding = self.activation(self.time_mlp(self.embedding(t)))
        x = folded_rows(x_t, self.r)
        skips = ()
        for n in range(self.levels):
            x = self.downs[2 * n + 1](self.downs[2 * n](x, embedding), embedding)
            if n == 0:
                x = x + condition.reshape(x.shape)
            skips = skips + (x,)
            if n < self.levels - 1:
                x = self.halvings[n](x)
        x = self.mids[1](self.mids[0](x, embedding), embedding)
        for i in range(self.levels - 1):
            x = ops.concat((x, skips[self.levels - 1 - i]), 1)
            x = self.transposed[i](self.ups[2 * i + 1](self.ups[2 * i](x, embedding), embedding))
        x = self.last_conv(self.activation(self.last_block(x)))
        x = x.reshape(self.count, self.height, self.width, 3, self.r, self.r).transpose(0, 3, 1, 4, 2, 5)
        return x.reshape(x_t.shape)


class TrainedCondition(nn.Cell):
    """``ConditionalUNet.project``: features (B·h·w, channels) and the base picture (B, 3, H, W) → (B, P, width)."""

    def __init__(self, unet, size, scale):
        super().__init__(auto_prefix=False)
        count, height, width = size
        factor, conv = scale // unet.space_to_depth, unet.condition_conv
        self.count, self.fold, self.add_base = count, unet.space_to_depth, unet.add_lr_up
        if factor == 1:
            self.condition_conv = TrainedConv(conv, neighbours(height, width, NINE), height * width, count)
        else:
            self.condition_conv = TrainedTransposedConv(conv, height, width, count, factor)
        level = Level(count, height * factor, width * factor)
        self.base_conv = level.conv(unet.lr_up_conv.conv) if self.add_base else nn.Identity()

    def construct(self, features, base):
        condition = self.condition_conv(features)
        if self.add_base:
            condition = condition + self.base_conv(folded_rows(base, self.fold))
        return condition.reshape(self.count, -1, condition.shape[1])


class TrainedSRDiff(nn.Cell):
    """``SRDiff`` with its own parameters, as ``DiffusionLoss`` takes it.

    Args:
        model: an ``SRDiff``; see :func:`supports_training`.
        size: (B, h, w) of LR.
        scale: HR size / LR size.
        draws: x_t for each picture of the batch.
    """

    def __init__(self, model, size, scale, draws=1):
        super().__init__(auto_prefix=False)
        self.encoder = TrainedRRDB(model.encoder, size, scale)
        self.condition = TrainedCondition(model.unet, size, scale)
        count, height, width = size
        self.unet = TrainedUNet(model.unet, (count * draws, height * scale, width * scale))
        self.to_unit, self.of_encoder = model.to_unit, model.of_encoder

    def given(self, lr):
        """See ``SRDiff.given``; the features are rows."""
        if self.of_encoder:
            return self.encoder.condition_and_picture(lr)
        return self.encoder.condition(lr), self.encoder.bicubic((lr + 1) * self.to_unit) * 2 - 1

    def project(self, features, base):
        """The condition (B, P, width)."""
        return self.condition(features, base)

    def construct(self, x_t, t, condition):
        return self.unet(x_t, t, condition)


def folded_rows(x, r):
    """(B, 3, H, W) → (B·H/r·W/r, 3·r²)."""
    b, c, h, w = x.shape
    x = x.reshape(b, c, h // r, r, w // r, r).transpose(0, 2, 4, 1, 3, 5)
    return x.reshape(-1, c * r * r)


class TrainedDenseBlock(nn.Cell):
    """``ResidualDenseBlock`` of RRDBNet: (P, features) → (P, features)."""

    def __init__(self, block, conv):
        super().__init__(auto_prefix=False)
        self.convs = nn.CellList(
            [conv(c) for c in (block.conv1, block.conv2, block.conv3, block.conv4, block.conv5)], auto_prefix=False
        )
        self.activation = nn.LeakyReLU(0.2)

    def construct(self, x):
        found = x
        for i in range(4):
            found = ops.concat((found, self.activation(self.convs[i](found))), 1)
        return self.convs[4](found) * 0.2 + x


class TrainedRRDB(nn.Cell):
    """RRDBNet with its own parameters: (B, 3, h, w) float32 in [−1, 1], of ``size`` (B, h, w) → (B, 3, H, W)."""

    def __init__(self, encoder, size, scale):
        super().__init__(auto_prefix=False)
        count, height, width = self.size = size
        self.scale, self.every = scale, encoder.condition_every
        table = neighbours(height, width, NINE)

        def conv(cell):
            return TrainedConv(cell, table, height * width, count)

        kernels = phase_kernels(scale)
        phases = np.einsum("ik,jl,cd->klcdij", kernels, kernels, np.eye(3)).reshape(75, -1)
        self.phases = ms.Tensor(phases, ms.float32)  # one row: 25 pixels of 3 channels, one column: a channel's phase
        square = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
        self.square = constant(batched(neighbours(height, width, square, symmetric), height * width, count))
        self.first_conv, self.trunk_conv = conv(encoder.first_conv), conv(encoder.trunk_conv)
        blocks = [b for rrdb in encoder.trunk for b in (rrdb.dense1, rrdb.dense2, rrdb.dense3)]
        self.trunk = nn.CellList([TrainedDenseBlock(block, conv) for block in blocks], auto_prefix=False)
        self.hidden_conv, self.last_conv = conv(encoder.upsampler.hidden_conv), conv(encoder.upsampler.last_conv)
        self.activation = nn.LeakyReLU(0.2)
        self.gather, self.product = ops.Gather(), ops.MatMul()

    def trunk_features(self, lr):
        """Every block's output and last the trunk's sum, blocks + 1 of (B·h·w, features)."""
        first = x = self.first_conv((_rows(lr) + 1) * 0.5)
        kept = ()
        for i in range(len(self.trunk) // 3):
            y = x
            for j in range(3):
                y = self.trunk[3 * i + j](y)
            x = y * 0.2 + x
            kept = kept + (x,)
        return kept + (first + self.trunk_conv(x),)

    def condition(self, lr):
        """``RRDBNet.condition`` as rows (B·h·w, condition_channels)."""
        return self._selected(self.trunk_features(lr))

    def condition_and_picture(self, lr):
        """:meth:`condition` and the picture, from one pass through the trunk."""
        features = self.trunk_features(lr)
        return self._selected(features), self._picture(lr, features[-1])

    def construct(self, lr):
        return self._picture(lr, self.trunk_features(lr)[-1])

    def bicubic(self, x):
        """MATLAB's bicubic: (B, 3, h, w) → (B, 3, H, W)."""
        return self._unfold(self._phases(_rows(x)))

    def _selected(self, features):
        return ops.concat(features[self.every - 1 :: self.every], 1)

    def _picture(self, lr, trunk):
        correction = self.last_conv(self.activation(self.hidden_conv(trunk)))
        return self._unfold(self._phases((_rows(lr) + 1) * 0.5) + correction) * 2 - 1

    def _phases(self, rows):
        return self.product(self.gather(rows, self.square, 0).reshape(-1, 75), self.phases)

    def _unfold(self, rows):
        count, height, width = self.size
        s = self.scale
        rows = rows.reshape(count, height, width, 3, s, s).transpose(0, 3, 1, 4, 2, 5)
        return rows.reshape(count, 3, height * s, width * s)


def _rows(x):
    """(B, C, H, W) → (B·H·W, C)."""
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
