"""16 bits a colour, of which Pillow keeps 8: read by decoding twice, written as PNG; and rounding to 8 bits."""

import io
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

from src.errors import UserError

# A raw mode of Pillow keeps the high byte of 16 bits in the order that it names. The other order gives the low byte.
_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_COLOURS = ("RGB;16", "RGBX;16", "RGBA;16")
_PLANAR_CONFIGURATION, _SEPARATE, _BITS_PER_SAMPLE, _PHOTOMETRIC, _RGB = 284, 2, 258, 262, 2
_ROWS = 64  # of a picture, worked on at once
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2  # PNG's filter: each row less the one above


def eight_bits(picture):
    """Round a picture to uint8; one that is uint8 is returned itself."""
    if picture.dtype == np.uint8:
        return picture
    result = np.empty(picture.shape, np.uint8)
    for top in range(0, len(picture), _ROWS):
        result[top : top + _ROWS] = (picture[top : top + _ROWS].astype(np.uint32) + 128) // 257
    return result


def read_sixteen_bits(image, reopen):
    """Load a picture of Pillow's with 16 bits of colour: uint16 (H, W, 3 or 4), or (H, W, 2) gray and alpha, upright.

    None, and nothing is loaded, where it has fewer bits, or is of a kind of which Pillow reads 8 bits alone.
    ``reopen()`` opens the same file.
    """
    rawmode, planar = raw_mode(image), getattr(image, "tag_v2", {}).get(_PLANAR_CONFIGURATION) == _SEPARATE
    if planar and image.tile[0][0] == "raw" and set(image.tag_v2.get(_BITS_PER_SAMPLE, ())) == {16}:
        return _read_planar(image)
    if rawmode == "LA;16B":
        return _decoded(image, "RGBA").view(">u2").astype(np.uint16)
    if image.format == "PPM" and image.mode == "RGB" and image.tile[0][3] == ("RGB", 65535):
        image.tile = [image.tile[0]._replace(codec_name="raw", args=("RGB;16B", 0, 1))]
        rawmode = "RGB;16B"
    if planar or rawmode[:-1] not in _COLOURS:
        return None
    with reopen() as again:
        again.tile = image.tile
        low = _decoded(again, rawmode[:-1] + _OTHER[rawmode[-1]])
    values = _decoded(image, rawmode).astype(np.uint16)
    values <<= 8
    values |= low
    return values[..., :3] if rawmode.startswith("RGBX") else values


def raw_mode(image):
    """Return Pillow's name of how the pixels lie in the file, such as "RGB;16B"; empty where it has none."""
    arguments = image.tile[0][3] if image.tile else ""
    name = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return name if isinstance(name, str) else ""


def _decoded(image, rawmode):
    image.tile = [
        tile._replace(args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode)
        for tile in image.tile
    ]
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return np.array(image)


def _read_planar(image):
    """Read an uncompressed TIFF whose colours lie one after the other, which Pillow reads as 8 bits, and wrong."""
    try:
        import tifffile
    except ImportError as error:
        raise UserError("its colours lie apart in 16 bits: pip install tifffile reads it") from error
    if image.tag_v2.get(_PHOTOMETRIC) != _RGB:
        raise UserError("its colours lie apart in 16 bits and are not RGB: save it as RGB")
    image.fp.seek(0)
    with tifffile.TiffFile(image.fp) as file:
        values = np.moveaxis(file.pages[0].asarray(), 0, 2)[..., :4]
    parts = []
    for byte in (values >> 8, values & 255):
        part = Image.fromarray(np.ascontiguousarray(byte.astype(np.uint8)))
        part.getexif().update({274: image.getexif().get(274, 1)})
        parts.append(np.asarray(ImageOps.exif_transpose(part)).astype(np.uint16))
    return parts[0] << 8 | parts[1]


def write_png(path, picture, options):
    """Write uint16 (H, W) or (H, W, C) as a PNG, gray, gray and alpha, RGB or RGBA; ``options`` are Pillow's."""
    height, width = picture.shape[:2]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[picture.size // (height * width)]
    with open(path, "wb") as file:
        file.write(_SIGNATURE)
        for kind, content in _chunks_of_pillow("RGB" if colour_type & 2 else "L", options):
            if kind == b"IHDR":
                _write_chunk(file, kind, struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
            elif kind == b"IDAT":
                _write_pixels(file, picture.reshape(height, -1))
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


def _write_pixels(file, rows):
    """Write uint16 (H, n) as IDAT chunks (PNG, third edition, section 9)."""
    compressor = zlib.compressobj(3)
    above = np.zeros((1, 2 * rows.shape[1]), np.uint8)
    for top in range(0, len(rows), _ROWS):
        own = np.ascontiguousarray(rows[top : top + _ROWS], ">u2").view(np.uint8)
        filtered = own - np.concatenate([above, own[:-1]])
        above = own[-1:]
        lines = np.insert(filtered, 0, _UP, axis=1)
        if data := compressor.compress(lines.tobytes()):
            _write_chunk(file, b"IDAT", data)
    _write_chunk(file, b"IDAT", compressor.flush())


def _write_chunk(file, kind, content):
    file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
