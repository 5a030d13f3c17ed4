"""Several samples of a picture: their mean, their deviation as a heat map, and the one that is nearest to the mean."""

import logging

import numpy as np

from ..imaging.io import write_image
from ..imaging.resize import resized
from ..imaging.rows import Rows, strips
from ..imaging.spool import new_picture, stored_picture
from .results import write_result
from .upscaler import to_pixels

HOTTEST = 32  # 8-bit levels of standard deviation at the upper end of the heat map
# black, violet, red, orange, pale yellow: lightness rises evenly, so that the map reads in gray as well
_COLOURS = np.array([(0, 0, 0), (70, 20, 110), (185, 40, 80), (245, 130, 30), (255, 255, 190)], np.float64)


class SampleStatistics:
    """Running mean and variance (Welford, Technometrics 4(3), 1962) of a picture's samples, and the best one.

    The mean is (H, 3, W) float32 in about [−1, 1]; its PSNR is higher than a sample's. The best is the sample with the
    least squared distance to it, and so, but for clipping, to all samples: their medoid, the least surprising of them.
    The LR picture tells nothing here, of results that are consistent with it. Samples are (H, W, 3) in LR's dtype, in a
    temporary file; the others are where they are large.
    """

    def __init__(self, size, samples, dtype=np.uint8):
        height, width = size
        self.count = 0
        self.mean, self._squares = (new_picture((height, 3, width), np.float32) for _ in range(2))
        self._samples = stored_picture((samples * height, width, 3), dtype)

    def see(self, rows, sr):
        """Take some rows (a slice) of a sample, (3, n, W) float32 in about [−1, 1]; :meth:`add` is to follow them."""
        for part in strips(sr.shape[1]):
            there = slice(rows.start + part.start, rows.start + part.stop)
            values = sr[:, part].swapaxes(0, 1)
            before = values - self.mean[there] if self.count else values
            mean = self.mean[there] + before / (self.count + 1) if self.count else values
            added = before * (values - mean)
            self.mean[there], self._squares[there] = mean, self._squares[there] + added if self.count else added

    def add(self, pixels):
        """Take a sample whose rows were seen, as (H, W, 3)."""
        for rows in strips(len(pixels)):
            self._samples[self._place(self.count, rows)] = pixels[rows]
        self.count += 1

    def _place(self, number, rows):
        first = number * len(self.mean)
        return slice(first + rows.start, first + rows.stop)

    def sample(self, number):
        """A sample as (H, W, 3), :class:`Rows`."""
        shape = (len(self.mean), *self._samples.shape[1:])
        return Rows(shape, self._samples.dtype, lambda rows: self._samples[self._place(number, rows)])

    def distances(self):
        """The root mean square distance of each sample to the mean, in 8-bit levels."""
        most, squares = np.iinfo(self._samples.dtype).max, np.zeros(self.count)
        for rows in strips(len(self.mean)):
            mean = (self.mean[rows].swapaxes(1, 2) + 1) * np.float32(most / 2)
            for number in range(self.count):
                squares[number] += np.square(self._samples[self._place(number, rows)] - mean).sum(dtype=np.float64)
        return np.sqrt(squares / self.mean.shape[0] / self.mean.shape[2] / 3) * (255 / most)

    def deviation(self, rows=slice(None)):
        """The standard deviation of each pixel, the root of its mean over the colours: (n, W) float32, 8-bit levels."""
        return np.sqrt(self._squares[rows].mean(axis=1) / (self.count - 1)) * np.float32(127.5)

    def write(self, job, picture, size):
        """Write mean, deviation and best of the samples of a ``Picture``, in a size (H, W); return the best so."""
        distances, dtype = self.distances(), picture.rgb.dtype
        number = int(distances.argmin())
        sample = self.sample(number)
        best, shape = resized(sample, size), sample.shape
        mean = Rows(shape, dtype, lambda rows: to_pixels(self.mean[rows].swapaxes(0, 1)[None], dtype)[0])
        deviation = Rows(shape, np.uint8, lambda rows: heat_map(self.deviation(rows)))
        write_result(job, job.mean, picture, resized(mean, size))
        write_image(job.deviation, resized(deviation, size))
        write_result(job, job.best, picture, best)
        logging.info(
            "%s: sample %d is the nearest to their mean (%.1f of 255 levels)",
            job.source.name, number + 1, distances[number],
        )  # fmt: skip
        return best


def heat_map(deviation):
    """(H, W) 8-bit levels → uint8 (H, W, 3), black at 0 to pale yellow from :data:`HOTTEST` up."""
    place = np.clip(deviation / HOTTEST, 0, 1) * (len(_COLOURS) - 1)
    channels = [np.interp(place, np.arange(len(_COLOURS)), channel) for channel in _COLOURS.T]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
