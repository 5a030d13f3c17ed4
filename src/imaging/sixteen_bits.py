"""16 bits a colour, of which Pillow keeps 8: read by decoding twice; and rounding to 8 bits."""

import sys

import numpy as np
from PIL import Image, ImageOps

from ..errors import UserError
from .rows import strips

# A raw mode of Pillow keeps the high byte of 16 bits in the order that it names. The other order gives the low byte.
_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_COLOURS = ("RGB;16", "RGBX;16", "RGBA;16")
_PLANAR_CONFIGURATION, _SEPARATE, _BITS_PER_SAMPLE, _PHOTOMETRIC, _RGB = 284, 2, 258, 262, 2


def eight_bits(picture):
    """Round a picture to uint8; one that is uint8 is returned itself."""
    if picture.dtype == np.uint8:
        return picture
    result = np.empty(picture.shape, np.uint8)
    for rows in strips(len(picture)):
        result[rows] = (picture[rows].astype(np.uint32) + 128) // 257
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
