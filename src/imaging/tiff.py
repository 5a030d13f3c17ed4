"""Writing TIFF with 8 or 16 bits and everything that metadata has, which Pillow's own writer has not."""

import math
import zlib

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from .rows import strips

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _SAMPLES = 256, 257, 258, 259, 262, 273, 277
_ROWS_PER_STRIP, _BYTE_COUNTS, _PREDICTOR, _EXTRA_SAMPLES = 278, 279, 317, 338
_DEFLATE, _BLACK_IS_ZERO, _RGB, _DIFFERENCES, _STRAIGHT_ALPHA = 8, 1, 2, 2, 2  # TIFF 6.0 and its supplement 2
LARGEST = 4_000_000_000  # bytes of pixels: offsets are of 32 bits, and the file has more than pixels


def write_tiff(path, picture, tags):
    """Write uint8 or uint16 (H, W) or (H, W, C), an array or :class:`src.imaging.rows.Rows`, gray or RGB, with alpha.

    ``tags`` are {tag: value}. Gray with alpha in 16 bits, which Pillow does not read, becomes RGB with alpha.
    """
    repeats_gray = picture.shape[2:] == (2,) and picture.dtype == np.uint16
    places = strips(len(picture))
    directory = _directory(picture, 4 if repeats_gray else math.prod(picture.shape[2:]), tags, places)
    with open(path, "wb") as file:
        directory.save(file)  # to know how long it is
        lengths = []
        for rows in places:
            values = picture[rows]
            lengths.append(file.write(_strip(values[..., [0, 0, 0, 1]] if repeats_gray else values)))
        # the offsets are yet to grow by the directory's length
        directory[_BYTE_COUNTS], directory[_OFFSETS] = tuple(lengths), tuple(np.cumsum([0, *lengths[:-1]]).tolist())
        file.seek(0)
        directory.save(file)


def _directory(picture, samples, tags, places):
    """What TIFF says of a picture of so many ``samples`` a pixel; where its strips are is yet to be filled in."""
    directory = ImageFileDirectory_v2()
    unknown = (0,) * len(places)
    layout = {
        _WIDTH: picture.shape[1], _HEIGHT: len(picture), _BITS: (8 * picture.dtype.itemsize,) * samples,
        _COMPRESSION: _DEFLATE, _PHOTOMETRIC: _BLACK_IS_ZERO if samples < 3 else _RGB, _SAMPLES: samples,
        _ROWS_PER_STRIP: places[0].stop, _PREDICTOR: _DIFFERENCES, _BYTE_COUNTS: unknown, _OFFSETS: unknown,
    }  # fmt: skip
    if samples in (2, 4):
        layout[_EXTRA_SAMPLES] = _STRAIGHT_ALPHA
    for tag in (_BYTE_COUNTS, _OFFSETS):
        directory.tagtype[tag] = 4  # LONG
    for tag, value in (tags | layout).items():
        directory[tag] = value
    return directory


def _strip(rows):
    """Compress (n, W, …): each pixel less its left neighbour, little-endian."""
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.astype(differences.dtype.newbyteorder("<"), copy=False).tobytes())
