"""Several samples of a picture: their mean, their deviation as a heat map, and the one that agrees best with it."""

import logging
import math

import numpy as np

from ..imaging.io import write_image
from ..imaging.resize import resized
from ..imaging.rows import Rows, strips
from ..imaging.spool import new_picture
from .results import write_result
from .upscaler import to_pixels

HOTTEST = 32  # 8-bit levels of standard deviation at the upper end of the heat map
# black, violet, red, orange, pale yellow: lightness rises evenly, so that the map reads in gray as well
_COLOURS = np.array([(0, 0, 0), (70, 20, 110), (185, 40, 80), (245, 130, 30), (255, 255, 190)], np.float64)


class SampleStatistics:
    """Running mean and variance (Welford, Technometrics 4(3), 1962) of a picture's samples, and the best one.

    The mean is (H, 3, W) float32 in about [−1, 1]; its PSNR is higher than a sample's. The best is the sample, (H, W,
    3) in LR's dtype, whose reduction is nearest to the LR picture. Large ones are in temporary files.
    """

    def __init__(self, size):
        height, width = size
        self.count = 0
        self.best_lr_psnr = -math.inf
        self.mean, self._squares = (new_picture((height, 3, width), np.float32) for _ in range(2))

    def see(self, rows, sr):
        """Take some rows (a slice) of a sample, (3, n, W) float32 in about [−1, 1]; :meth:`add` is to follow them."""
        for part in strips(sr.shape[1]):
            there = slice(rows.start + part.start, rows.start + part.stop)
            values = sr[:, part].swapaxes(0, 1)
            before = values - self.mean[there] if self.count else values
            mean = self.mean[there] + before / (self.count + 1) if self.count else values
            added = before * (values - mean)
            self.mean[there], self._squares[there] = mean, self._squares[there] + added if self.count else added

    def add(self, pixels, lr):
        """Take a sample whose rows were seen, as (H, W, 3) in LR's dtype; and LR."""
        self.count += 1
        reduced, error = resized(pixels, lr.shape[:2]), 0
        for rows in strips(len(lr)):
            error += np.square(reduced[rows].astype(np.float64) - lr[rows]).sum() / lr.size
        lr_psnr = math.inf if error == 0 else 10 * math.log10(np.iinfo(lr.dtype).max ** 2 / error)
        if lr_psnr > self.best_lr_psnr:
            self.best, self.best_number, self.best_lr_psnr = pixels, self.count - 1, lr_psnr

    def deviation(self, rows=slice(None)):
        """The standard deviation of each pixel, the root of its mean over the colours: (n, W) float32, 8-bit levels."""
        return np.sqrt(self._squares[rows].mean(axis=1) / (self.count - 1)) * np.float32(127.5)

    def write(self, job, picture, size):
        """Write mean, deviation and best of the samples of a ``Picture``, in a size (H, W); return the best so."""
        best, shape, dtype = resized(self.best, size), self.best.shape, picture.rgb.dtype
        mean = Rows(shape, dtype, lambda rows: to_pixels(self.mean[rows].swapaxes(0, 1)[None], dtype)[0])
        deviation = Rows(shape, np.uint8, lambda rows: heat_map(self.deviation(rows)))
        write_result(job, job.mean, picture, resized(mean, size))
        write_image(job.deviation, resized(deviation, size))
        write_result(job, job.best, picture, best)
        logging.info(
            "%s: sample %d agrees best with the input (LR-PSNR %.1f dB)",
            job.source.name, self.best_number + 1, self.best_lr_psnr,
        )  # fmt: skip
        return best


def heat_map(deviation):
    """(H, W) 8-bit levels → uint8 (H, W, 3), black at 0 to pale yellow from :data:`HOTTEST` up."""
    place = np.clip(deviation / HOTTEST, 0, 1) * (len(_COLOURS) - 1)
    channels = [np.interp(place, np.arange(len(_COLOURS)), channel) for channel in _COLOURS.T]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
