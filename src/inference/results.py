"""What becomes of a file's picture: checks before the work, results as their sources are, and what is said of both."""

import logging

import numpy as np

from src.errors import UserError, one_line
from src.imaging.io import MAX_PIXELS, format_of, write_image
from src.imaging.resize import imresize
from src.imaging.sixteen_bits import eight_bits
from src.inference.jobs import listed
from src.inference.upscaler import strips


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
            raise UserError(f"{self._broken} of {self._total} pictures could not be done: the lines above say why")


def result_size(size, scale):
    """(height, width) of what an LR picture's (height, width) becomes."""
    return tuple(max(1, round(side * scale)) for side in size)


def check_result(job, picture, scale, own_scale):
    """Refuse what would be too large, and what the result's format cannot hold, before the work."""
    height, width = picture.rgb.shape[:2]
    if scale > own_scale and height * scale * width * scale > MAX_PIXELS:
        most = f"{MAX_PIXELS / 1e6:g} million pixels"
        raise UserError(f"{job.source} would have more than {most}, {scale:g} times as large: lower --outscale")
    suffix, own, longest = job.result.suffix, format_of(job.result), max(result_size((height, width), scale))
    if picture.alpha is not None and not own.alpha:
        raise UserError(f"{job.source} is transparent, which {suffix} files cannot be: write a .png")
    if own.longest and longest > own.longest:
        raise UserError(
            f"{job.source} becomes {longest} pixels long, {suffix} files end at {own.longest}: write a .png"
        )


def write_result(job, path, picture, sr):
    """Write a result, or a sample, with the channels, the depth and the metadata of its source, if the format can."""
    pixels = _luma(sr) if picture.gray else sr
    if picture.alpha is not None:  # enlarged by bicubic
        pixels = np.dstack([pixels, imresize(picture.alpha, size=sr.shape[:2])])
    if not format_of(path).sixteen_bits:
        pixels = eight_bits(pixels)
    write_image(path, pixels, picture.metadata, job.quality)


def _luma(rgb):
    """BT.601's gray of (H, W, 3), uint8 or uint16, in whole numbers as Pillow weighs them: (H, W)."""
    result = np.empty(rgb.shape[:2], rgb.dtype)
    for rows in strips(len(rgb)):
        red, green, blue = np.moveaxis(rgb[rows].astype(np.uint32), 2, 0)
        result[rows] = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
    return result
