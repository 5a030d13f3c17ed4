"""What Pillow has opened as arrays: upright, gray or RGB, transparency apart, in 8 or 16 bits."""

import contextlib
from dataclasses import dataclass, field

import numpy as np
from PIL import ImageOps

from ..errors import UserError
from .metadata import Metadata, read_metadata
from .sixteen_bits import raw_mode, read_sixteen_bits

_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF, and a photometric interpretation
_HEAD = 1 << 16  # bytes, in which the boxes of an AVIF or JPEG 2000 tell their bits


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as read from a file, upright."""

    rgb: np.ndarray  # (H, W, 3), uint8, or uint16 where the file has more bits; gray is three equal channels
    alpha: np.ndarray | None  # (H, W) of the same dtype, its maximum where opaque; None: the file has no transparency
    gray: bool  # whether the file's pixels are of a gray kind; a palette of grays or an RGB file of grays is not
    metadata: Metadata = field(default_factory=Metadata)
    lost: tuple = ()  # what of the file is not in here, in words


def picture_of(image, reopen):
    """Return the :class:`Picture` of a file that Pillow has just opened; ``reopen()`` opens it again."""
    lost = ["only the first frame or page is taken"] if _frames(image) > 1 else []
    deep = _has_more_bits(image)
    # Pillow turns 16-bit gray with alpha into RGBA; only the raw mode, known before loading, tells.
    rawmode, values = raw_mode(image), read_sixteen_bits(image, reopen)
    if values is None:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode[0] in "IF":
            values = _gray_values(image)
        elif deep or ";16" in rawmode:
            lost.append("more than 8 bits a colour are read as 8")
    gray = image.mode in ("1", "L", "LA", "La") or image.mode[0] == "I" or rawmode.startswith("LA;16")
    rgb, alpha = _eight_bits(image, gray) if values is None else _sixteen_bits(values, image.info)
    metadata, unkept = read_metadata(image, gray)
    return Picture(rgb, alpha, gray, metadata, (*lost, *unkept))


def _frames(image):
    with contextlib.suppress(Exception):  # damage behind the first frame
        return getattr(image, "n_frames", 1)
    return 1


def _has_more_bits(image):
    """Tell whether colours of a format that Pillow gives 8 bits of have more in the file."""
    if image.format == "PPM":
        arguments = image.tile[0][3]
        return isinstance(arguments, tuple) and arguments[1] not in range(256)
    if image.format in ("AVIF", "JPEG2000"):
        place = image.fp.tell()
        image.fp.seek(0)
        head = image.fp.read(_HEAD)
        image.fp.seek(place)
        # the pixi box: version, flags, the number of channels, bits; the SIZ segment: sizes, their number, bits less 1
        kind, ahead = (b"pixi", 9) if image.format == "AVIF" else (b"\xff\x4f\xff\x51", 42)
        bits = head[head.find(kind) + ahead :][:1] if kind in head else b""
        return bool(bits) and bits[0] % 128 + (image.format == "JPEG2000") > 8
    return image.info.get("bit_depth", 8) > 8  # pillow-heif's


def _eight_bits(image, gray):
    """Return uint8 (H, W, 3), and (H, W) or None."""
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if gray else "RGBA")
        alpha = np.array(image.getchannel("A"))
    return np.array(image.convert("RGB")), alpha


def _sixteen_bits(values, info):
    """Return uint16 (H, W, 3), and (H, W) or None, of (H, W) or (H, W, 2 to 4) and a PNG's transparent colour."""
    samples = values.reshape(*values.shape[:2], -1)
    gray = samples.shape[2] < 3
    colours = samples[..., : 1 if gray else 3]
    alpha = np.ascontiguousarray(samples[..., -1]) if samples.shape[2] in (2, 4) else None
    if alpha is None and "transparency" in info:
        alpha = np.where((colours == info["transparency"]).all(axis=-1), 0, 65535).astype(np.uint16)
    return colours.repeat(3, axis=2) if gray else np.ascontiguousarray(colours), alpha


def _gray_values(image):
    """Return uint16 (H, W) of gray with 9 to 16 bits, spread over all of 16."""
    # Some formats and releases of Pillow give 16-bit gray as mode "I", with values up to 65535.
    if not (image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))):
        kind = "float" if image.mode == "F" else "signed or 32-bit integer"
        raise UserError(f"its pixels are {kind} numbers of unknown range; save it with 8 or 16 bits")
    tags = getattr(image, "tag_v2", {})
    largest = (1 << tags.get(_BITS_PER_SAMPLE, (16,))[0]) - 1
    values = np.array(image).astype(np.uint16)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = largest - values
    return values if largest == 65535 else ((values * np.uint32(65535) + largest // 2) // largest).astype(np.uint16)
