"""Any picture size in bounded memory: mirrored padding to what the network divides, and overlapping windows over it.

A network that is applied window by window gives what it gives for the whole picture wherever its receptive field lies
inside the window. Windows therefore overlap by a halo on each side, of which nothing (exact) or little (blended)
reaches the result. Those at the picture's edges begin and end there, so the network sees the true edge.
"""

import math
from typing import NamedTuple

import numpy as np

from src.errors import UserError
from src.imaging.resize import inside


class Span(NamedTuple):
    """A window along one dimension, in HR pixels of the padded picture."""

    start: int  # what the network sees
    stop: int
    first: int  # what of it reaches the result, in pixels of the padded picture
    last: int
    weight: np.ndarray  # float32 (last − first,), its share in each of these; all windows' shares add up to 1


class Window(NamedTuple):
    """A rectangle that the network sees at once."""

    rows: Span
    columns: Span


class Grid:
    """The windows that cover a picture; all have one size, so that one compiled shape does for them.

    The padded picture is mirrored at the bottom and at the right. With the edge pixel repeated, as bicubic's edges are,
    an extension is at least two LR pixels, all that bicubic enlargement looks at, so LR↑ inside the picture is what it
    would be without it.

    Args:
        height, width, scale: of the LR picture, and HR size / LR size; all other lengths are in HR pixels.
        size_multiple: sizes that the network takes are multiples of this, and at least twice as large. Windows
            start at multiples of it, too, so that strided convolutions meet the pixels that they would meet anyway.
        tile: the largest side of a window, its halo included; 0 takes the whole picture. Sides get as small as the
            number of windows allows.
        halo: how far in from a window's edge its result counts; at the picture's own edges it counts up to the edge.
        exact: whether the halo covers the receptive field: windows then meet in a sharp border, else they are blended
            over a halo's width.
        sides: (height, width), multiples of size_multiple and scale, that every window has, instead of ``tile``; a
            smaller picture is mirrored to fill one.
        edges: "symmetric" repeats the edge pixel; "reflect" does not, and extends by no more than the network needs.
    """

    def __init__(
        self, height, width, scale, size_multiple, tile=0, halo=0, exact=True, sides=None, edges="symmetric"
    ):  # fmt: skip
        self.scale, self.edges = scale, edges
        self.size = (height * scale, width * scale)
        unit = math.lcm(scale, size_multiple)
        least = 2 * scale if edges == "symmetric" else 1
        self.padded = tuple(_padded(n, scale, size_multiple, unit, least) for n in (height, width))
        if sides:
            self.padded = tuple(map(max, self.padded, sides))
            widths = [check_tile(side, halo, unit) for side in sides]
        else:
            largest = [min(check_tile(tile, halo, unit), n) if 0 < tile < n else n for n in self.padded]
            widths = [_shrunk(n, side, halo, unit) for n, side in zip(self.padded, largest, strict=True)]
        rows, columns = (_spans(n, side, halo, unit, exact) for n, side in zip(self.padded, widths, strict=True))
        self.windows = [Window(row, column) for row in rows for column in columns]

    @property
    def window_size(self):
        """(height, width) of every window, HR pixels."""
        rows, columns = self.windows[0]
        return rows.stop - rows.start, columns.stop - columns.start

    @property
    def whole(self):
        return len(self.windows) == 1

    def read(self, array, window, margin=0):
        """Cut one of :attr:`windows`, with a margin on every side, out of a picture (B, C, …) of the HR or LR size.

        At the edges of the padded picture, where there is no margin, the rectangle is moved inwards, so that its size
        is the same for all windows. Returns its pixels, contiguous, and (top, left), where the window begins in them.
        """
        factor = self.size[0] // array.shape[2]
        (rows, top), (columns, left) = (
            _extended(span.start // factor, span.stop // factor, margin, length // factor)
            for span, length in zip(window, self.padded, strict=True)
        )
        return np.ascontiguousarray(_take(_take(array, 2, rows, self.edges), 3, columns, self.edges)), (top, left)

    def add(self, result, values, window):
        """Add to ``result``, (B, C, H, W) float32 of the HR size, what the network made of one of :attr:`windows`."""
        rows, columns = window
        bottom, right = min(rows.last, self.size[0]), min(columns.last, self.size[1])
        if bottom <= rows.first or right <= columns.first:
            return
        part = values[:, :, rows.first - rows.start : bottom - rows.start]
        part = part[:, :, :, columns.first - columns.start : right - columns.start]
        weight = rows.weight[: bottom - rows.first, None] * columns.weight[: right - columns.first]
        result[:, :, rows.first : bottom, columns.first : right] += part * weight

    def crop(self, values):
        """The picture's own pixels of what one window over all of it gave, (B, C, H, W)."""
        return values[:, :, : self.size[0], : self.size[1]]


def _padded(length, scale, size_multiple, unit, least):
    """The HR length that a picture of ``length`` LR pixels is padded to, by at least ``least`` if at all."""
    goal = max(length * scale, 2 * size_multiple, 2 * scale)
    goal += -goal % unit
    while 0 < goal - length * scale < least:
        goal += unit
    return goal


def check_tile(tile, halo, unit):
    """The side of a tile's windows, a multiple of ``unit``; refuse one that leaves nothing between its halos."""
    side = max(tile // unit, 2) * unit
    if side - 2 * halo < unit:
        raise UserError(
            f"a tile of {tile} pixels leaves nothing between halos of {halo}: take a tile of at least "
            f"{2 * halo + unit + -(2 * halo) % unit}, or a smaller halo"
        )
    return side


def _shrunk(length, side, halo, unit):
    """The smallest side of as many windows as those of ``side`` are."""
    count = _count(length, side, halo, unit)
    smaller = -(-(length + (count - 1) * 2 * halo) // (count * unit)) * unit
    return next(n for n in range(min(smaller, side), side + 1, unit) if _count(length, n, halo, unit) == count)


def _spans(length, side, halo, unit, exact):
    """Spread windows evenly over a length; what remains becomes overlap."""
    count = _count(length, side, halo, unit)
    starts = [i * (length - side) // unit // max(count - 1, 1) * unit for i in range(count)]
    # Neighbours hand over in the middle of their overlap, which lies at least a halo inside both.
    cuts = [(start + left + side) / 2 for left, start in zip(starts, starts[1:], strict=False)]
    # No ramp may reach into the next one, or three windows would share a pixel.
    ramp = 0 if exact else min([halo, *np.diff(starts).tolist()])
    around = zip(starts, [None, *cuts], [*cuts, None], strict=True)
    return [_span(start, side, before, after, ramp) for start, before, after in around]


def _count(length, side, halo, unit):
    """How many windows a length takes; they may begin at multiples of ``unit`` only."""
    step = (side - 2 * halo) // unit * unit
    return 1 if side >= length else 1 + math.ceil((length - side) / step) if step > 0 else math.inf


def _span(start, side, before, after, ramp):
    """The span whose share rises around the cut ``before`` and falls around ``after``; None is the picture's edge."""
    centres = np.arange(start, start + side) + 0.5
    share = np.ones(side)
    if before is not None:
        share *= _rise(centres - before, ramp)
    if after is not None:
        share *= 1 - _rise(centres - after, ramp)
    counted = np.flatnonzero(share)
    first, last = int(counted[0]), int(counted[-1]) + 1
    return Span(start, start + side, start + first, start + last, share[first:last].astype(np.float32))


def _rise(distance, ramp):
    """0 before a cut, 1 behind it, linear over ``ramp`` pixels around it."""
    return (distance > 0).astype(float) if ramp == 0 else np.clip(distance / ramp + 0.5, 0, 1)


def _extended(start, stop, margin, length):
    """Widen a range by the margin on both sides, moved inside [0, length): the indices, and the start within them."""
    count = min(stop - start + 2 * margin, length)
    first = min(max(start - margin, 0), length - count)
    return (first, first + count), start - first


def _take(array, axis, indices, edges):
    """Pixels first … last − 1 along an axis; those behind the picture's end are its mirror image."""
    first, last = indices
    length = array.shape[axis]
    if last <= length:
        return array[(slice(None),) * axis + (slice(first, last),)]
    return np.take(array, inside(np.arange(first, last), length, edges), axis)
