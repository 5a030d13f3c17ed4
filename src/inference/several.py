"""What several samples of one picture say together."""

import math

import numpy as np

from src.imaging.resize import imresize

_ROWS = 64
HOTTEST = 32  # 8-bit levels of standard deviation at the upper end of the heat map
# black, violet, red, orange, pale yellow: lightness rises evenly, so that the map reads in gray as well
_COLOURS = np.array([(0, 0, 0), (70, 20, 110), (185, 40, 80), (245, 130, 30), (255, 255, 190)], np.float64)


class Several:
    """Running mean and variance (Welford, Technometrics 4(3), 1962) of a picture's samples, and the best one.

    Attributes:
        mean: (3, H, W) float32 in about [−1, 1]; its PSNR is higher than a sample's, which it is the mean of.
        best: uint8 (H, W, 3), the sample whose reduction is nearest to the LR picture.
        best_number: its number, from 0.
        best_lr_psnr: its LR-PSNR in dB.
    """

    def __init__(self):
        self.count = 0
        self.best_lr_psnr = -math.inf

    def add(self, sr, levels, lr):
        """Take a sample: (3, H, W) float32 in about [−1, 1], the same as uint8 (H, W, 3), and the LR picture."""
        if not self.count:
            self.mean = np.zeros_like(sr)
            self._squares = np.zeros_like(sr)
        self.count += 1
        for rows in _strips(sr.shape[1]):
            before = sr[:, rows] - self.mean[:, rows]
            self.mean[:, rows] += before / self.count
            self._squares[:, rows] += before * (sr[:, rows] - self.mean[:, rows])
        agreement = _lr_psnr(levels, lr)
        if agreement > self.best_lr_psnr:
            self.best, self.best_number, self.best_lr_psnr = levels, self.count - 1, agreement

    def deviation(self):
        """The standard deviation of each pixel over the samples, the root of its mean over the colours.

        Returns:
            (H, W) float32, 8-bit levels.
        """
        result = np.empty(self.mean.shape[1:], np.float32)
        for rows in _strips(len(result)):
            result[rows] = np.sqrt(self._squares[:, rows].mean(axis=0) / (self.count - 1)) * 127.5
        return result


def heat_map(deviation):
    """(H, W) 8-bit levels → uint8 (H, W, 3), black at 0 to pale yellow from :data:`HOTTEST` up."""
    steps = np.arange(len(_COLOURS))
    result = np.empty((*deviation.shape, 3), np.uint8)
    for rows in _strips(len(deviation)):
        place = np.clip(deviation[rows] / HOTTEST, 0, 1) * (len(_COLOURS) - 1)
        result[rows] = np.rint(np.stack([np.interp(place, steps, channel) for channel in _COLOURS.T], axis=-1))
    return result


def _strips(height):
    """Rows, a few at a time: temporaries of a whole 8K picture would take gigabytes."""
    return [slice(top, top + _ROWS) for top in range(0, height, _ROWS)]


def _lr_psnr(sr, lr):
    """LR-PSNR in dB; infinite where the reduced sample is the LR picture."""
    reduced = imresize(sr, size=lr.shape[:2]).astype(np.float64)
    error = np.square(reduced - lr).mean()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
