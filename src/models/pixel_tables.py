"""Which pixels convolutions read, as int32 index tables over the rows of (pixels, channels); NumPy only."""

import numpy as np


def reflected(index, length):
    """Indices mirrored at the first and the last pixel, which is not repeated."""
    return (length - 1) - np.abs((length - 1) - np.abs(index))


def symmetric(index, length):
    """Indices mirrored at the edge, where the edge pixel is repeated; for up to ``length`` pixels outside."""
    index = np.where(index < 0, -1 - index, index)
    return np.where(index >= length, 2 * length - 1 - index, index)


def neighbours(height, width, offsets, edges=None, stride=1):
    """Table of each pixel's neighbours.

    Args:
        height, width: of the picture that is read.
        offsets: list of (dy, dx).
        edges: maps indices beyond an edge and a length to indices inside; None makes them height·width, a row of zeros.
        stride: only every stride-th pixel of every stride-th row has neighbours.

    Returns:
        int32 (pixels · offsets,).
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
    """Tables of ``channel_last.ShiftedConv``: three rows, the pixel to the left, the pixel to the right."""
    return [
        neighbours(height, width, offsets, reflected) for offsets in ([(-1, 0), (0, 0), (1, 0)], [(0, -1)], [(0, 1)])
    ]


def transposed_tables(height, width, factor):
    """Tables of ``channel_last.TransposedConv``: four quarters' 2×2 pixels, and the order of the phases."""
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
    """The tables of ``channel_last.ChannelLastUNet``, whose first level has height × width pixels."""
    sizes = [(height >> level, width >> level) for level in range(levels)]
    return [
        neighbours(height, width, NINE, reflected),
        *(table for size in sizes for table in shift_tables(*size)),
        *(neighbours(*size, NINE, reflected, stride=2) for size in sizes[:-1]),
        *(table for size in sizes[1:] for table in transposed_tables(*size, 2)),
    ]


def encode_tables(height, width, factor, base=False):
    """The tables of ``channel_last_encode.ChannelLastEncode`` for an LR picture.

    Args:
        height, width: of the LR picture.
        factor: condition size / LR size.
        base: whether the base picture is part of the condition.
    """
    square = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    return [
        neighbours(height, width, NINE),
        neighbours(height, width, square, symmetric),
        *([neighbours(height * factor, width * factor, NINE, reflected)] if base else ()),
        *(transposed_tables(height, width, factor) if factor > 1 else ()),
    ]


def batched(table, pixels, count):
    """A table for ``count`` pictures whose rows follow one another; the row of zeros comes behind the last.

    Args:
        table: of one picture of ``pixels`` pixels.
        pixels, count: as above.
    """
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
