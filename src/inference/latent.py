"""Pictures made in latent space: samples between two samples, and another picture's content put in at a middle step.

Both are uses of SRDiff that its paper names (arXiv 2104.14951); docs/latent.md says what is done otherwise, and why.
"""

import copy
import math
from dataclasses import dataclass, replace

import numpy as np

from ..diffusion.process import q_sample
from ..diffusion.samplers import SeededNoise
from ..errors import UserError
from ..imaging.resize import fitted, imresize

MOST_FRAMES = 100
SIGNAL = 0.5  # the ᾱ at which content is put in by default, chosen by looking
_RIM = 2  # LR pixels over which a box's content fades at its edges
_SUPPORT = 4  # LR pixels, more than bicubic reduction reaches


@dataclass(frozen=True)
class Between:
    """What may stand for a seed: the noise a ``share``, from 0 to 1, of the way from one seed's to another's."""

    first: int
    second: int
    share: float

    def __add__(self, number):
        return replace(self, first=self.first + number, second=self.second + number)


class Interpolation:
    """The way from the sample of one seed to that of another, in so many frames, both ends among them."""

    def __init__(self, first, second, frames=10):
        if first == second:
            raise UserError(f"an interpolation goes from one seed to another: name two, not {first} twice")
        if not all(0 <= seed < 2**64 for seed in (first, second)):
            raise UserError(f"the seeds of an interpolation must be from 0 to 2^64 - 1, not {first} and {second}")
        if not 2 <= frames <= MOST_FRAMES:
            raise UserError(f"an interpolation must have from 2 to {MOST_FRAMES} frames, not {frames}")
        self.name = f"{first}_to_{second}"
        self.seeds = [Between(first, second, k / (frames - 1)) for k in range(frames)]


class InterpolatedNoise:
    """A noise source as :class:`src.diffusion.samplers.SeededNoise`, for a list of :class:`Between`.

    Spherical: sin((1 − s)·π/2)·z_A + sin(s·π/2)·z_B. Two independent Gaussian arrays of n numbers are at right angles
    to within 1/√n. With π/2 itself, in place of each pair's own angle, the result is standard normal to the digit, and
    no sum over a picture is needed: a tile gets the numbers that the whole has there. s = 0 and 1 give z_A and z_B.
    """

    def __init__(self, betweens):
        self._sources = [SeededNoise([own.first for own in betweens]), SeededNoise([own.second for own in betweens])]
        shares = np.array([own.share for own in betweens]).reshape(-1, 1, 1, 1)
        self._weights = [np.sin(angle * math.pi / 2).astype(np.float32) for angle in (1 - shares, shares)]

    def __call__(self, k, shape):
        return self._mixed([source(k, shape) for source in self._sources])

    def part(self, k, shape, rows, columns):
        return self._mixed([source.part(k, shape, rows, columns) for source in self._sources])

    def _mixed(self, draws):
        first, second = (np.multiply(own, weight, out=own) for own, weight in zip(draws, self._weights, strict=True))
        return np.add(first, second, out=first)


def noise_of(seeds):
    """The noise source of a batch whose pictures have these seeds: all of them ints, or all :class:`Between`."""
    return InterpolatedNoise(seeds) if any(isinstance(own, Between) for own in seeds) else SeededNoise(seeds)


class Fusion:
    """Content for a part of one enlarged picture, which a sampler takes in at a middle step.

    Args:
        content: uint8 or uint16 (h, w, 3); its middle is resized to fill the box, or that around the mask's white.
        lr_size, scale: (height, width) of the LR picture, and HR size / LR size.
        box: (x, y, width, height) in HR pixels, in which the content fades over two LR pixels at its edges.
        mask: instead, uint8 (H, W): 255 where the content is, 0 where it is not.
        from_step: as of :meth:`first`.
    """

    def __init__(self, content, lr_size, scale, box=None, mask=None, from_step=None):
        if (box is None) == (mask is None):
            raise UserError("name the content's place by a box or by a mask: one of both")
        size = tuple(side * scale for side in lr_size)
        top, left, self.weight = _of_box(box, size, _RIM * scale) if mask is None else _of_mask(mask, size)
        height, width = self.weight.shape
        self.rows, self.columns = slice(top, top + height), slice(left, left + width)
        pixels = _filling(content, (height, width)).astype(np.float32) / np.float32(np.iinfo(content.dtype).max / 2) - 1
        self.content = pixels.transpose(2, 0, 1)[None]  # (1, 3, height, width) in [−1, 1]
        self.from_step, self._scale = from_step, scale

    def part(self, rows, columns):
        """The fusion of a rectangle (slices of the HR picture) alone."""
        own = copy.copy(self)
        own.rows, in_rows = _common(self.rows, rows)
        own.columns, in_columns = _common(self.columns, columns)
        own.content, own.weight = self.content[:, :, in_rows, in_columns], self.weight[in_rows, in_columns]
        return own

    def composed(self, lr):
        """LR, uint8 or uint16 (h, w, 3), with the content in it: MATLAB's reduction of what is put in."""
        places = [
            slice(max(span.start // self._scale - _SUPPORT, 0), min(-(-span.stop // self._scale) + _SUPPORT, side))
            for span, side in zip((self.rows, self.columns), lr.shape[:2], strict=True)
        ]
        height, width = ((place.stop - place.start) * self._scale for place in places)
        canvas = np.zeros((height, width, 4), np.float32)
        rows, columns = (
            slice(span.start - place.start * self._scale, span.stop - place.start * self._scale)
            for span, place in zip((self.rows, self.columns), places, strict=True)
        )
        colours = (self.content[0].transpose(1, 2, 0) + 1) / 2
        canvas[rows, columns] = np.dstack([colours * self.weight[..., None], self.weight])
        small, largest, result = imresize(canvas, 1 / self._scale), np.iinfo(lr.dtype).max, lr.copy()
        fused = lr[tuple(places)] * (1 - small[..., 3:]) + small[..., :3] * largest
        result[tuple(places)] = np.clip(np.rint(fused), 0, largest)
        return result

    def first(self, steps):
        """The index of the step, of a list of ``schedule.Step``, from which on the content is there.

        The one nearest to x_t of ``from_step`` t = 1 … T (T is all noise), by default that nearest to ᾱ = 1/2.
        """
        if self.from_step is None:
            return min(range(len(steps)), key=lambda k: abs(steps[k].alpha_bar - SIGNAL))
        return min(range(len(steps)), key=lambda k: abs(steps[k].t + 1 - self.from_step))

    def sample(self, sampler, denoise, shape, steps, noise, temperature, callback, to_x0):
        """As a sampler does, but from step :meth:`first` on with the content: x_t of q(x_t | x_0) in its place.

        ``to_x0(content, place)`` is the x_0 of the content at a place (an index of x). q takes x_T's noise, so that
        all noise of x_t is one picture's, and x_t at t = T is nearly what it is without the content.
        """
        first, place = self.first(steps), (slice(None), slice(None), self.rows, self.columns)
        x = sampler(denoise, shape, steps[:first], noise, temperature, callback)
        signal, noise_rate = steps[first].alpha_bar ** 0.5, (1 - steps[first].alpha_bar) ** 0.5
        drawn = temperature * noise(0, shape)[place]
        x[place] += self.weight * (q_sample(to_x0(self.content, place), drawn, signal, noise_rate) - x[place])
        return sampler(
            denoise, shape, steps[first:], lambda k, shape: noise(k + first, shape), temperature,
            lambda k, *step: callback(k + first, *step), start=x,
        )  # fmt: skip


def _of_box(box, size, rim):
    """(top, left, weight) of a box (x, y, width, height) in a picture of a size (H, W)."""
    left, top, width, height = box
    if width < 1 or height < 1:
        raise UserError(f"the box {','.join(map(str, box))} is empty: its width and height must be 1 or more")
    if left < 0 or top < 0 or left + width > size[1] or top + height > size[0]:
        raise UserError(
            f"the box {','.join(map(str, box))} leaves the enlarged picture: x + width must be at most {size[1]}, "
            f"y + height at most {size[0]}"
        )
    return top, left, np.minimum(_fade(height, rim)[:, None], _fade(width, rim))


def _fade(length, rim):
    """Weights that rise to 1 over ``rim`` pixels from both ends."""
    places = np.arange(length) + 0.5
    return np.clip(np.minimum(places, length - places) / min(rim, length / 2), 0, 1).astype(np.float32)


def _of_mask(mask, size):
    """(top, left, weight) of what is not black in a mask, whose size must be that (H, W)."""
    if mask.shape != size:
        raise UserError(
            f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels, the enlarged picture {size[1]} x {size[0]}: draw "
            "it in that size"
        )
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        raise UserError("the mask is black everywhere: make it white where the content goes")
    top, left = rows[0], columns[0]
    return top, left, mask[top : rows[-1] + 1, left : columns[-1] + 1] / np.float32(255)


def _filling(content, size):
    """The largest middle part of a picture with the proportions of a size (height, width), resized to it."""
    factor = min(have / want for have, want in zip(content.shape[:2], size, strict=True))
    height, width = (max(1, round(want * factor)) for want in size)
    top, left = (content.shape[0] - height) // 2, (content.shape[1] - width) // 2
    return fitted(content[top : top + height, left : left + width], size)


def _common(own, window):
    """What two slices share, as a slice of the window and as one of the first; empty where that is nothing."""
    start = max(own.start, window.start)
    stop = max(start, min(own.stop, window.stop))
    return slice(start - window.start, stop - window.start), slice(start - own.start, stop - own.start)
