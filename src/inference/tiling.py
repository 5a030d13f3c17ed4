"""Any picture size in bounded memory: mirrored padding to what the network divides, and overlapping windows over it.

A window is enlarged as if it were a picture of its own, in all steps of a sampler. What it gives is what the whole
picture would give, wherever what is beyond its borders has not been felt. Windows therefore overlap by a halo on each
side, of which nothing (sharp) or little (blended) reaches the result. Those at the picture's edges begin and end there,
so the network sees the true edge.
"""

import copy
import itertools
import math
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from ..imaging.resize import inside


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
        sharp: whether windows meet in a sharp border, at least a halo inside both; else they are blended over a halo's
            width.
        sides: (height, width), multiples of size_multiple and scale, that every window has, instead of ``tile``; a
            smaller picture is mirrored to fill one.
        edges: "symmetric" repeats the edge pixel; "reflect" does not, and extends by no more than the network needs.
    """

    def __init__(
        self, height, width, scale, size_multiple, tile=0, halo=0, sharp=True, sides=None, edges="symmetric"
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
        rows, columns = (_spans(n, side, halo, unit, sharp) for n, side in zip(self.padded, widths, strict=True))
        self.windows = [Window(row, column) for row in rows for column in columns]

    @property
    def window_size(self):
        """(height, width) of every window, HR pixels."""
        rows, columns = self.windows[0]
        return rows.stop - rows.start, columns.stop - columns.start

    @property
    def whole(self):
        return len(self.windows) == 1

    @property
    def work(self):
        """The pixels of all windows for each of the padded picture: what the overlap costs."""
        return len(self.windows) * math.prod(self.window_size) / math.prod(self.padded)

    def inside(self, window):
        """(rows, columns), slices of the HR picture that a window covers: LR pixels whole, without mirrored ones."""
        return tuple(slice(s.start, min(s.stop, size)) for s, size in zip(window, self.size, strict=True))

    def alone(self, window):
        """The grid of what a window covers as a picture of its own, which is padded as the window is."""
        own = copy.copy(self)
        own.size, own.padded = tuple(part.stop - part.start for part in self.inside(window)), self.window_size
        own.windows = [Window(*(_span(0, side, None, None, 0) for side in own.padded))]
        return own

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

    def assembled(self, results):
        """Put together what became of each of :attr:`windows`, (B, C, …) float32, without what was mirrored.

        Yields (rows, strip) from top to bottom: a slice of the HR picture's rows, and (B, C, rows, W) float32.
        """
        results, before = iter(results), None
        bands = [list(band) for _, band in itertools.groupby(self.windows, lambda window: window.rows.start)]
        ends = [min(band[0].rows.first, self.size[0]) for band in bands[1:]] + [self.size[0]]
        for band, end in zip(bands, ends, strict=True):
            top, bottom = (min(n, self.size[0]) for n in (band[0].rows.first, band[0].rows.last))
            for window, values in zip(band, results):  # noqa: B905 - the next band's results follow
                if window is band[0]:
                    strip = np.zeros((*values.shape[:2], bottom - top, self.size[1]), np.float32)
                    if before is not None:
                        strip[:, :, : before.shape[2]] = before
                self._add(strip, values, window, top)
            yield slice(top, end), strip[:, :, : end - top]
            before = strip[:, :, end - top :].copy()

    def _add(self, strip, values, window, top):
        rows, columns = window
        right, height = min(columns.last, self.size[1]), min(rows.last, self.size[0]) - top
        if right > columns.first and height > 0:
            values = values[:, :, rows.first - rows.start :, columns.first - columns.start :]
            weight = rows.weight[:height, None] * columns.weight[: right - columns.first]
            strip[:, :, :, columns.first : right] += values[:, :, :height, : right - columns.first] * weight

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


def _spans(length, side, halo, unit, sharp):
    """Spread windows evenly over a length; what remains becomes overlap."""
    count = _count(length, side, halo, unit)
    starts = [i * (length - side) // unit // max(count - 1, 1) * unit for i in range(count)]
    # Neighbours hand over in the middle of their overlap, which lies at least a halo inside both.
    cuts = [(start + left + side) / 2 for left, start in zip(starts, starts[1:], strict=False)]
    # No ramp may reach into the next one, or three windows would share a pixel.
    ramp = 0 if sharp else min([halo, *np.diff(starts).tolist()])
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
