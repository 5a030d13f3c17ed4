"""How pictures of the world come to be: blurred, resized, noisy, compressed, twice (Real-ESRGAN, arXiv 2107.10833)."""

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .blur import SHAPES, blur_kernel, filter2d, sharpen, sinc_kernel
from .resize import MODES, interpolate

_SMALL = 13  # pixels: the cutoff of a sinc kernel that is smaller is no lower than π/3
_LUMA = np.array([0.2989, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Pass:
    """The ranges of one of the two passes, as of ``src.config.schema.DegradationConfig``."""

    blur_prob: float
    blur_sigma: tuple
    resize_prob: tuple
    resize_range: tuple
    noise_range: tuple
    poisson_scale_range: tuple
    jpeg_range: tuple


@dataclass(frozen=True)
class Degradation:
    """Makes LR pictures; what the ranges mean is told by ``src.config.schema.DegradationConfig``."""

    first: Pass
    second: Pass
    kernel_size: tuple
    kernel_prob: tuple
    sinc_prob: float
    betag_range: tuple
    betap_range: tuple
    gaussian_noise_prob: float
    gray_noise_prob: float
    final_sinc_prob: float
    gt_usm: bool

    def target(self, hr):
        """Return HR, uint8 (H, W, 3), as it is for training: sharpened or not. LR is made of that."""
        return _uint8(sharpen(_float(hr))) if self.gt_usm else hr

    def __call__(self, hr, scale, random):
        """Make LR, uint8 (H // scale, W // scale, 3), of HR, uint8 (H, W, 3), by the numbers of a NumPy ``Generator``.

        It is the published pipeline but for two things: everything is drawn for each picture, where that draws resizes
        for a whole batch; and JPEG is of a real encoder, where that has an imitation with gradients.
        """
        *_, (_, lr) = self.stages(hr, scale, random)
        return _uint8(lr)

    def stages(self, hr, scale, random):
        """Yield (what was done, the picture after it, float32) from HR to LR."""
        size = [side // scale for side in hr.shape[:2]]
        picture, first, second = _float(hr[: size[0] * scale, : size[1] * scale]), self.first, self.second
        yield "blur", (picture := self._blur(picture, first, random))
        yield "resize", (picture := interpolate(picture, _mode(random), scale=_factor(first, random)))
        yield "noise", (picture := self._noise(picture, first, random))
        yield "JPEG", (picture := _jpeg(picture, first, random))
        yield "second blur", (picture := self._blur(picture, second, random))
        factor = _factor(second, random)
        inner = [max(1, int(side * factor)) for side in size]
        yield "second resize", (picture := interpolate(picture, _mode(random), size=inner))
        yield "second noise", (picture := self._noise(picture, second, random))
        compressed_last = random.random() < 0.5
        if not compressed_last:
            yield "second JPEG", (picture := _jpeg(picture, second, random))
        yield "resize to LR", (picture := interpolate(picture, _mode(random), size=size))
        yield "final sinc", (picture := self._final_sinc(picture, random))
        if compressed_last:
            yield "second JPEG", _jpeg(picture, second, random)

    def _blur(self, picture, ranges, random):
        return filter2d(picture, self._kernel(ranges, random)) if random.random() < ranges.blur_prob else picture

    def _kernel(self, ranges, random):
        size = self._size(random)
        if random.random() < self.sinc_prob:
            return _sinc(size, 3 if size < _SMALL else 5, random)
        shape, is_turned = divmod(int(random.choice(2 * len(SHAPES), p=self.kernel_prob)), 2)
        sigma, *other = random.uniform(*ranges.blur_sigma, 1 + is_turned)
        theta = random.uniform(-math.pi, math.pi) if is_turned else 0
        beta = 1 if shape == 0 else _around_one((self.betag_range, self.betap_range)[shape - 1], random)
        return blur_kernel(size, sigma, *(other or [sigma]), theta, SHAPES[shape], beta)

    def _size(self, random):
        smallest, largest = self.kernel_size
        return smallest + 2 * int(random.integers((largest - smallest) // 2 + 1))

    def _final_sinc(self, picture, random):
        if random.random() >= self.final_sinc_prob:
            return picture
        return filter2d(picture, _sinc(self._size(random), 3, random))

    def _noise(self, picture, ranges, random):
        is_gaussian, gray = random.random() < self.gaussian_noise_prob, random.random() < self.gray_noise_prob
        if is_gaussian:
            noise = gaussian_noise(picture, random.uniform(*ranges.noise_range) / 255, gray, random)
        else:
            noise = np.float32(random.uniform(*ranges.poisson_scale_range)) * poisson_noise(picture, gray, random)
        return np.clip(picture + noise, 0, 1)


def gaussian_noise(picture, sigma, gray, random):
    """Return noise for a picture (H, W, 3), float32: of each colour, or if ``gray`` the same for all, (H, W, 1)."""
    shape = (*picture.shape[:2], 1 if gray else 3)
    return np.float32(sigma) * random.standard_normal(shape, np.float32)


def poisson_noise(picture, gray, random):
    """Return the noise of counting photons, as :func:`gaussian_noise`, if ``gray`` that of the picture in gray.

    The brightest are as many as the picture, rounded to 8 bits, has different values, or the next power of two.
    """
    values = _uint8(picture @ _LUMA[:, np.newaxis] if gray else picture)
    different = np.count_nonzero(np.bincount(values.ravel(), minlength=256))
    photons = 2.0 ** math.ceil(math.log2(different))
    return (random.poisson(values * (photons / 255)) / photons - values / 255).astype(np.float32)


def jpeg(picture, quality):
    """Write a picture as JPEG of a quality from 1 to 100, colours at half the resolution, and read it again."""
    data = io.BytesIO()
    Image.fromarray(_uint8(picture)).save(data, "JPEG", quality=quality, subsampling="4:2:0")
    return _float(np.asarray(Image.open(data, formats=["JPEG"])))


def _jpeg(picture, ranges, random):
    return jpeg(picture, int(random.integers(*ranges.jpeg_range, endpoint=True)))


def _factor(ranges, random):
    """Draw by what a picture is resized."""
    change, (smallest, largest) = random.choice(3, p=ranges.resize_prob), ranges.resize_range
    return (random.uniform(1, largest), random.uniform(smallest, 1), 1)[change]


def _mode(random):
    return MODES[random.integers(len(MODES))]


def _sinc(size, part, random):
    return sinc_kernel(size, random.uniform(math.pi / part, math.pi))


def _around_one(limits, random):
    """Draw from below or from above 1, as often."""
    smallest, largest = limits
    return random.uniform(smallest, 1) if random.random() < 0.5 else random.uniform(1, largest)


def _float(picture):
    return picture.astype(np.float32) / 255


def _uint8(picture):
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
