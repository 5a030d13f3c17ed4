"""Pictures side by side, to be looked at."""

import math

import numpy as np

from src.errors import UserError
from src.imaging.resize import imresize

SEPARATOR = 2  # pixels
WHITE = 255


def strip(lr, *pictures):
    """Put LR, its pixels repeated, and larger pictures of it side by side, such as ``strip(lr, sr, hr)``.

    Args:
        lr: uint8 (h, w, 3).
        pictures: uint8 (H, W, 3), all of one size that is a whole multiple of ``lr``'s.

    Returns:
        uint8 (H, n·W + (n − 1)·:data:`SEPARATOR`, 3) of n pictures with LR, white between them.

    Raises:
        UserError: the sizes do not fit.
    """
    height, width = pictures[0].shape[:2] if pictures else lr.shape[:2]
    scale = height // lr.shape[0]
    if any(picture.shape != (scale * lr.shape[0], scale * lr.shape[1], 3) for picture in pictures):
        shapes = ", ".join(str(picture.shape) for picture in (lr, *pictures))
        raise UserError(f"pictures side by side must have one size, a whole multiple of LR's, not {shapes}")
    return joined([lr.repeat(scale, axis=0).repeat(scale, axis=1), *pictures], axis=1)


def joined(pictures, axis):
    """Put pictures below (axis 0) or beside (axis 1) each other, with white lines of :data:`SEPARATOR` between them.

    Args:
        pictures: non-empty list of uint8 (H, W, 3), equal in the other size.
        axis: 0 or 1.
    """
    shape = list(pictures[0].shape)
    shape[axis] = SEPARATOR
    parts = [pictures[0]]
    for picture in pictures[1:]:
        parts += [np.full(shape, WHITE, np.uint8), picture]
    return np.concatenate(parts, axis=axis)


def mosaic(pictures):
    """Put pictures into rows of a grid, as square as their number allows; its last places stay white.

    Args:
        pictures: non-empty list of uint8 (H, W, 3), all of one size.

    Returns:
        uint8 (H', W', 3).
    """
    columns = math.ceil(math.sqrt(len(pictures)))
    white = [np.full(pictures[0].shape, WHITE, np.uint8)] * (-len(pictures) % columns)
    places = [*pictures, *white]
    return joined([joined(places[first : first + columns], 1) for first in range(0, len(places), columns)], 0)


def at_most(picture, longest):
    """Return a picture, reduced by MATLAB's bicubic if its longer side has more than ``longest`` pixels.

    Args:
        picture: uint8 (H, W, 3).
        longest: pixels, at least 1.
    """
    height, width = picture.shape[:2]
    if max(height, width) <= longest:
        return picture
    factor = longest / max(height, width)
    return imresize(picture, size=(max(1, round(height * factor)), max(1, round(width * factor))))
