"""What becomes of a file's picture: checks before the work, results as their sources are, and what is said of both."""

import logging
import math

import numpy as np

from ..errors import PartlyDone, UserError, one_line
from ..imaging.io import MAX_PIXELS, format_of, write_image
from ..imaging.resize import resized
from ..imaging.rows import Rows
from ..imaging.sixteen_bits import eight_bits
from .jobs import listed


class Report:
    """Names what cannot be done when it comes; at the end counts it, and says what of the pictures was not kept."""

    def __init__(self, total):
        self._total, self._broken, self._lost = total, 0, {}

    def broken(self, job, error):
        """Pass a picture over; a single one's error is raised."""
        if isinstance(error, MemoryError):
            error = UserError(f"not enough memory to enlarge {job.source}: lower --max-memory or --tile")
        if self._total == 1:
            raise error
        logging.error("error: %s", one_line(error))  # scripts/msrun.sh passes such lines of all ranks on
        self._broken += 1

    def lost(self, job, picture):
        """Remember what was lost in reading a picture, and will be in writing it."""
        own, suffix = format_of(job.result), job.result.suffix.lower()
        lost = list(picture.lost)
        if picture.rgb.dtype == np.uint16 and not own.sixteen_bits:
            lost.append(f"16 bits a colour are written as the 8 that {suffix} holds")
        if unheld := picture.metadata.lost(own.name):
            lost.append(f"{suffix} does not hold {', '.join(unheld)}")
        for what in lost:
            self._lost.setdefault(what, []).append(job.source.name)

    def end(self):
        for what, names in self._lost.items():
            logging.warning("%s: %s", listed(names), what)
        if self._broken:
            raise PartlyDone(f"{self._broken} of {self._total} pictures could not be done: the lines above say why")


def result_size(size, scale):
    """(height, width) of what an LR picture's (height, width) becomes."""
    return tuple(max(1, round(side * scale)) for side in size)


def check_result(job, picture, scale, own_scale):
    """Refuse what would be too large, and what the result's format cannot hold, before the work."""
    height, width = picture.rgb.shape[:2]
    if scale > own_scale and height * scale * width * scale > MAX_PIXELS:
        most = f"{MAX_PIXELS / 1e6:g} million pixels"
        raise UserError(f"{job.source} would have more than {most}, {scale:g} times as large: lower --outscale")
    suffix, own, size = job.result.suffix, format_of(job.result), result_size((height, width), scale)
    longest = max(size)
    if picture.alpha is not None and not own.alpha:
        raise UserError(f"{job.source} is transparent, which {suffix} files cannot be: write a .png")
    if own.longest and longest > own.longest:
        raise UserError(
            f"{job.source} becomes {longest} pixels long, {suffix} files end at {own.longest}: write a .png"
        )
    bytes_ = math.prod(size) * _channels(picture) * picture.rgb.itemsize
    if own.largest and bytes_ > own.largest:
        raise UserError(
            f"{job.source} becomes {bytes_ / 1e9:.1f} GB of pixels, {suffix} files end at {own.largest / 1e9:g}: write "
            "a .png"
        )


def write_result(job, path, picture, sr):
    """Write a result, or a sample, with the channels, the depth and the metadata of its source, if the format can.

    ``sr`` is an array or :class:`src.imaging.rows.Rows`.
    """
    gray, size, sixteen_bits = picture.gray, sr.shape[:2], format_of(path).sixteen_bits
    alpha = None if picture.alpha is None else resized(picture.alpha, size)  # by bicubic

    def read(rows):
        pixels = _luma(sr[rows]) if gray else sr[rows]
        if alpha is not None:
            pixels = np.dstack([pixels, alpha[rows]])
        return pixels if sixteen_bits else eight_bits(pixels)

    channels = _channels(picture)
    shape = size if channels == 1 else (*size, channels)
    write_image(path, Rows(shape, sr.dtype if sixteen_bits else np.uint8, read), picture.metadata, job.quality)


def _channels(picture):
    return (1 if picture.gray else 3) + (picture.alpha is not None)


def _luma(rgb):
    """BT.601's gray of (H, W, 3), uint8 or uint16, in whole numbers as Pillow weighs them: (H, W)."""
    red, green, blue = np.moveaxis(rgb.astype(np.uint32), 2, 0)
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype(rgb.dtype)
