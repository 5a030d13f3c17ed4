"""Writing TIFF with 8 or 16 bits and everything that metadata has, which Pillow's own writer has not."""

import zlib

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _SAMPLES = 256, 257, 258, 259, 262, 273, 277
_ROWS_PER_STRIP, _BYTE_COUNTS, _PREDICTOR, _EXTRA_SAMPLES = 278, 279, 317, 338
_DEFLATE, _BLACK_IS_ZERO, _RGB, _DIFFERENCES, _STRAIGHT_ALPHA = 8, 1, 2, 2, 2  # TIFF 6.0 and its supplement 2
_ROWS = 64


def write_tiff(path, picture, tags):
    """Write uint8 or uint16 (H, W) or (H, W, C), gray or RGB, each with or without alpha; ``tags`` are {tag: value}.

    Gray with alpha in 16 bits, which Pillow does not read, becomes RGB with alpha.
    """
    if picture.ndim == 3 and picture.shape[2] == 2 and picture.dtype == np.uint16:
        picture = picture[..., [0, 0, 0, 1]]
    height, width = picture.shape[:2]
    samples = picture.size // (height * width)
    strips = [_strip(picture[top : top + _ROWS]) for top in range(0, height, _ROWS)]
    lengths = [len(strip) for strip in strips]
    directory = ImageFileDirectory_v2()
    layout = {
        _WIDTH: width, _HEIGHT: height, _BITS: (8 * picture.itemsize,) * samples, _COMPRESSION: _DEFLATE,
        _PHOTOMETRIC: _BLACK_IS_ZERO if samples < 3 else _RGB, _SAMPLES: samples, _ROWS_PER_STRIP: _ROWS,
        _PREDICTOR: _DIFFERENCES, _BYTE_COUNTS: tuple(lengths), _OFFSETS: tuple(np.cumsum([0, *lengths[:-1]]).tolist()),
    }  # fmt: skip
    if samples in (2, 4):
        layout[_EXTRA_SAMPLES] = _STRAIGHT_ALPHA
    for tag, value in (tags | layout).items():
        directory[tag] = value
    for tag in (_BYTE_COUNTS, _OFFSETS):  # the offsets are yet to grow by the directory's length
        directory.tagtype[tag] = 4  # LONG
    with open(path, "wb") as file:
        directory.save(file)
        file.writelines(strips)


def _strip(rows):
    """Compress (n, W, …): each pixel less its left neighbour, little-endian."""
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.astype(differences.dtype.newbyteorder("<"), copy=False).tobytes())
