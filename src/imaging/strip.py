"""Pictures beside and below each other, to be looked at; and animations."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import UserError
from ..host.files import replacing
from .resize import fitted

SEPARATOR = 2  # pixels
WHITE = 255
_LABEL = 14  # pixels of a label's height
_MILLISECONDS, _LAST = 200, 2000  # how long an animation shows a frame, and the last one
_ANIMATIONS = {  # suffix: Pillow's format and its options
    ".gif": ("GIF", {"optimize": False, "disposal": 1}),
    ".webp": ("WEBP", {"quality": 90, "method": 2}),
}


def side_by_side(lr, *pictures):
    """Put LR, uint8 (h, w, 3), its pixels repeated, and pictures of a whole multiple of its size side by side."""
    height, width = lr.shape[:2]
    scale = pictures[0].shape[0] // height if pictures else 1
    size = scale * height, scale * width
    if any(picture.shape != (*size, 3) for picture in pictures):
        shapes = ", ".join(str(picture.shape) for picture in (lr, *pictures))
        raise UserError(f"pictures side by side must have one size, a whole multiple of LR's, not {shapes}")
    return _joined([repeated(lr, size), *pictures], axis=1)


def make_grid(pictures):
    """Put pictures, uint8 (H, W, 3) of one size, into a grid that is about square."""
    columns = math.ceil(math.sqrt(len(pictures)))
    places = [*pictures, *[np.full(pictures[0].shape, WHITE, np.uint8)] * (-len(pictures) % columns)]
    return _joined([_joined(places[first : first + columns], 1) for first in range(0, len(places), columns)], 0)


def _joined(pictures, axis):
    """Put pictures below (axis 0) or beside (axis 1) each other, with white between them."""
    shape = list(pictures[0].shape)
    shape[axis] = SEPARATOR
    line = np.full(shape, WHITE, np.uint8)
    return np.concatenate([part for picture in pictures for part in (line, picture)][1:], axis=axis)


def at_most(picture, longest):
    """Return a picture, uint8 (H, W, 3), reduced by MATLAB's bicubic if a side is longer than that."""
    return fitted(picture, within(picture.shape[:2], longest))


def within(size, longest):
    """(height, width), reduced in proportion if a side is longer than that."""
    factor = longest / max(size)
    return tuple(size) if factor >= 1 else tuple(max(1, round(side * factor)) for side in size)


def repeated(picture, size, part=slice(None)):
    """Return a picture, (h, w, …), in another size (H, W) by its nearest pixels: of a whole multiple, each repeated.

    ``part`` are the rows of the result to return.
    """
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, picture.shape[:2], strict=True)
    )
    return picture[rows[part, np.newaxis], columns]


class Frame(NamedTuple):
    """One moment of a process: a label in ASCII, and one or two uint8 pictures (H, W, 3)."""

    label: str
    upper: np.ndarray
    lower: np.ndarray | None = None


def film_strip(frames):
    """Put frames of one size side by side, each with its pictures below each other."""
    return _joined(_labelled(frames, axis=0), axis=1)


def write_animation(path, frames):
    """Write frames of one size as an endless ``X.gif`` (256 colours a frame) or ``X.webp``, whole or not at all."""
    suffix = Path(path).suffix.lower()
    if suffix not in _ANIMATIONS:
        raise UserError(f"cannot write {path}: an animation's suffix must be .gif or .webp, not '{suffix}'")
    file_format, options = _ANIMATIONS[suffix]
    first, *others = map(Image.fromarray, _labelled(frames, axis=1))
    times = [_MILLISECONDS] * len(others) + [_LAST]
    with replacing(path, "animation") as temporary:
        timing = {"append_images": others, "duration": times, "loop": 0}
        first.save(temporary, format=file_format, save_all=True, **timing, **options)


def _labelled(frames, axis):
    """Return each frame's pictures, joined along an axis, under its label, all as wide as the widest label."""
    font = ImageFont.load_default()
    widest = 2 + max(math.ceil(font.getlength(frame.label)) for frame in frames)
    result = []
    for frame in frames:
        body = _joined([each for each in frame[1:] if each is not None], axis)
        canvas = np.full((_LABEL + body.shape[0], max(widest, body.shape[1]), 3), WHITE, np.uint8)
        canvas[_LABEL:, : body.shape[1]] = body
        image = Image.fromarray(canvas)
        ImageDraw.Draw(image).text((1, 1), frame.label, fill=(0, 0, 0), font=font)
        result.append(np.asarray(image))
    return result
