"""Writing PNG by rows, of 8 bits or of the 16 that Pillow does not write, with what Pillow says beside the pixels."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from .rows import strips

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2  # PNG's filter: each row less the one above


def write_png(path, picture, options):
    """Write uint8 or uint16 (H, W) or (H, W, C), an array or :class:`src.imaging.rows.Rows`, gray or RGB, with alpha.

    ``options`` are Pillow's.
    """
    height, width = picture.shape[:2]
    colour_type = {(): 0, (1,): 0, (2,): 4, (3,): 2, (4,): 6}[picture.shape[2:]]
    bits = 8 * picture.dtype.itemsize
    with open(path, "wb") as file:
        file.write(_SIGNATURE)
        for kind, content in _chunks_of_pillow("RGB" if colour_type & 2 else "L", options):
            if kind == b"IHDR":
                _write_chunk(file, kind, struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
            elif kind == b"IDAT":
                _write_pixels(file, picture)
            else:
                _write_chunk(file, kind, content)


def _chunks_of_pillow(mode, options):
    """Yield (kind, content) of the chunks of a PNG of one pixel that Pillow writes: it knows where each belongs."""
    buffer = io.BytesIO()
    Image.new(mode, (1, 1)).save(buffer, "PNG", **options)
    content, place = buffer.getvalue(), len(_SIGNATURE)
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        yield kind, content[place + 8 : place + 8 + length]
        place += length + 12


def _write_pixels(file, picture):
    """Write the pixels as IDAT chunks (PNG, third edition, section 9)."""
    compressor, above = zlib.compressobj(2), 0
    for rows in strips(len(picture)):
        own = np.ascontiguousarray(picture[rows], picture.dtype.newbyteorder(">")).view(np.uint8)
        own = own.reshape(rows.stop - rows.start, -1)
        lines = np.full((len(own), 1 + own.shape[1]), _UP, np.uint8)
        np.subtract(own[0], above, out=lines[0, 1:])
        np.subtract(own[1:], own[:-1], out=lines[1:, 1:])
        above = own[-1]
        if data := compressor.compress(lines):
            _write_chunk(file, b"IDAT", data)
    _write_chunk(file, b"IDAT", compressor.flush())


def _write_chunk(file, kind, content):
    file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
