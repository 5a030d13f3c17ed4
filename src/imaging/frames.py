"""A process as pictures: its steps as columns of a strip, or one after the other in an animation."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from src.atomic_file import replacing
from src.errors import UserError
from src.imaging.strip import WHITE, joined

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
