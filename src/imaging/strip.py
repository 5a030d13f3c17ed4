"""Pictures side by side, to be looked at."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from src.errors import UserError
from src.host.files import replacing
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


_LABEL = 14  # pixels of a label's height
_MILLISECONDS, _LAST = 200, 2000  # how long an animation shows a frame, and the last one
_ANIMATIONS = {  # suffix: Pillow's format and its options
    ".gif": ("GIF", {"optimize": False, "disposal": 1}),
    ".webp": ("WEBP", {"quality": 90, "method": 2}),
}


class Frame(NamedTuple):
    """One moment of a process: a label in ASCII, and two uint8 pictures (H, W, 3)."""

    label: str
    upper: np.ndarray
    lower: np.ndarray


def film_strip(frames):
    """Put frames side by side, of each the label, the upper and below it the lower picture.

    Args:
        frames: non-empty list of :class:`Frame`, all of one size.

    Returns:
        uint8 (H', W', 3), white between the pictures.
    """
    width = max(_width(frame.label) for frame in frames)
    return joined([_labelled(frame.label, [frame.upper, frame.lower], 0, width) for frame in frames], axis=1)


def write_animation(path, frames):
    """Write frames one after the other, the two pictures side by side, for ever; whole or not at all.

    Args:
        path: ``X.gif`` (256 colours a frame) or ``X.webp``.
        frames: non-empty list of :class:`Frame`, all of one size.

    Raises:
        UserError: another suffix, or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _ANIMATIONS:
        raise UserError(f"cannot write {path}: an animation's suffix must be .gif or .webp, not '{suffix}'")
    file_format, options = _ANIMATIONS[suffix]
    width = max(_width(frame.label) for frame in frames)
    first, *others = (Image.fromarray(_labelled(frame.label, [frame.upper, frame.lower], 1, width)) for frame in frames)
    times = [_MILLISECONDS] * len(others) + [_LAST]
    with replacing(path, "animation") as temporary:
        first.save(
            temporary, format=file_format, save_all=True, append_images=others, duration=times, loop=0, **options
        )


def _labelled(label, pictures, axis, width):
    """Pictures joined along an axis under a label, at least ``width`` pixels wide."""
    body = joined(pictures, axis)
    canvas = np.full((_LABEL + body.shape[0], max(width, body.shape[1]), 3), WHITE, np.uint8)
    canvas[_LABEL:, : body.shape[1]] = body
    image = Image.fromarray(canvas)
    ImageDraw.Draw(image).text((1, 1), label, fill=(0, 0, 0), font=ImageFont.load_default())
    return np.asarray(image)


def _width(label):
    return 2 + math.ceil(ImageFont.load_default().getlength(label))
