"""What lies under invisible pixels: colours that an enlarged edge would show as a halo."""

import numpy as np


def fill_invisible(rgb, alpha):
    """Return (H, W, 3) in which pixels of alpha 0 have their visible neighbours' colour; ``alpha`` (H, W) or None.

    A pyramid of halves: what is invisible takes the mean of the visible in its 2 × 2 pixels, or else in the next level.
    """
    if alpha is None or alpha.all() or not alpha.any():
        return rgb
    return _filled(rgb, alpha > 0)


def _filled(rgb, visible):
    if visible.all():
        return rgb
    height, width = visible.shape
    sums = np.zeros((-(-height // 2), -(-width // 2), 3), np.float32)
    counts = np.zeros((*sums.shape[:2], 1), np.float32)
    for top, left in ((0, 0), (0, 1), (1, 0), (1, 1)):
        part, seen = rgb[top::2, left::2], visible[top::2, left::2, np.newaxis]
        place = slice(part.shape[0]), slice(part.shape[1])
        sums[place] += part * seen
        counts[place] += seen
    means = np.rint(sums / np.maximum(counts, 1)).astype(rgb.dtype)
    means = _filled(means, counts[..., 0] > 0)
    return np.where(visible[..., np.newaxis], rgb, means.repeat(2, 0).repeat(2, 1)[:height, :width])
