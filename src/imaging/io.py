"""Reading any picture as 8-bit RGB, writing pictures whole or not at all, listing a folder's pictures."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from src.errors import UserError
from src.host.files import replacing

READ_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
READ_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MAX_PIXELS = 500_000_000

# suffix: (Pillow's format, its options, may it hold an alpha channel, its longest side in pixels)
_JPEG = ("JPEG", {"quality": 95, "subsampling": "4:4:4"}, False, 65500)
_TIFF = ("TIFF", {"compression": "tiff_adobe_deflate"}, True, None)
_WRITERS = {
    ".png": ("PNG", {"compress_level": 3}, True, None),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".bmp": ("BMP", {}, False, None),
    ".webp": ("WEBP", {"lossless": True, "exact": True}, True, 16383),
    ".tif": _TIFF,
    ".tiff": _TIFF,
}
WRITE_SUFFIXES = tuple(sorted(_WRITERS))

# Tags of TIFF, and the EXIF tag of which 5 to 8 are the orientations that swap height and width
_WIDTH, _HEIGHT, _BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 262, 274
_WHITE_IS_ZERO = 0  # a photometric interpretation


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as read from a file, upright and in 8 bits."""

    rgb: np.ndarray  # uint8 (H, W, 3); a gray picture has three equal channels
    alpha: np.ndarray | None  # uint8 (H, W), 255 where opaque; None where the file has no transparency
    gray: bool  # whether the file's pixels are of a gray kind; a palette of grays or an RGB file of grays is not


def read_image(path):
    """Read a picture of one of :data:`READ_FORMATS`, whatever its suffix, into writable arrays.

    The EXIF orientation is applied; of several frames or pages the first is taken. Palettes are resolved, CMYK is
    converted by Pillow's formula, colour profiles are not applied. 16-bit gray is divided by 257 and rounded; of 16-bit
    colour Pillow keeps the high byte. 32-bit and float pixels, whose range is not known, are refused.
    """
    path = Path(path)
    _raise_pixel_limit()
    try:
        with Image.open(path, formats=READ_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            return _picture(image, path)
    except UserError:
        raise
    # Pillow's decoders answer damaged files with nearly every exception there is, and all mean the same here.
    except Exception as error:
        raise UserError(_explain(error, path)) from error


def _picture(image, path):
    # Pillow turns 16-bit gray with alpha into RGBA; only the raw mode, known before loading, tells.
    gray_in_rgba = image.format == "PNG" and bool(image.tile) and str(image.tile[0][3]).startswith("LA;16")
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode[0] in "IF":
        image = _eight_bits(image, path)
    gray = image.mode in ("1", "L", "LA", "La")
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if gray else "RGBA")
        alpha = np.array(image.getchannel("A"))
    return Picture(np.array(image.convert("RGB")), alpha, gray or gray_in_rgba)


def _eight_bits(image, path):
    # Some formats and releases of Pillow give 16-bit gray as mode "I", with values up to 65535.
    if not (image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))):
        kind = "float" if image.mode == "F" else "signed or 32-bit integer"
        problem = f"its pixels are {kind} numbers of unknown range"
        raise UserError(f"cannot read {path}: {problem}; save it with 8 or 16 bits")
    tags = getattr(image, "tag_v2", {})
    largest = (1 << tags.get(_BITS_PER_SAMPLE, (16,))[0]) - 1
    values = np.asarray(image).astype(np.int64)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = largest - values
    return Image.fromarray(((values * 255 + largest // 2) // largest).astype(np.uint8))


def _explain(error, path):
    if isinstance(error, FileNotFoundError):
        return f"no picture at {path}: there is no such file; check the path"
    if isinstance(error, IsADirectoryError):
        return f"expected a picture at {path}: it is a folder; name a file in it"
    if isinstance(error, OSError) and error.errno is not None:  # from the operating system; Pillow's own have none
        return f"cannot read {path}: {error.strerror}; check the path and its permissions"
    if isinstance(error, MemoryError):
        return f"cannot read {path}: not enough memory to decode it; cut it into smaller pictures"
    if isinstance(error, Image.DecompressionBombError):
        return f"cannot read {path}: it has more than {MAX_PIXELS / 1e6:g} million pixels; cut it into smaller pictures"
    if isinstance(error, UnidentifiedImageError):
        if path.stat().st_size == 0:
            return f"cannot read {path}: the file is empty; copy or download it again"
        return f"cannot read {path}: not a picture, or damaged; expected one of {', '.join(READ_FORMATS)}"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"cannot read {path}: the picture is damaged or truncated ({reason}); copy or download it again"


def read_rgb(path):
    """Read a picture as :func:`read_image` does; return its uint8 (H, W, 3) RGB without alpha."""
    return read_image(path).rgb


def picture_size(path):
    """Read a picture's (height, width), after its EXIF orientation, from its header; decoding can still fail."""
    _raise_pixel_limit()
    try:
        with Image.open(path, formats=READ_FORMATS) as picture:
            # Pillow turns the size of a TIFF as soon as it is opened, that of other formats with their pixels
            tags = getattr(picture, "tag_v2", {})
            width, height = tags.get(_WIDTH, picture.width), tags.get(_HEIGHT, picture.height)
            # a PNG's EXIF can follow its pixels and asking for it would decode them: take what the header holds
            asks = picture.format != "PNG" or "exif" in picture.info
            turned = asks and picture.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except FileNotFoundError as error:
        raise UserError(f"no picture {path}: check the name") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read {path} as a picture ({error}): replace or remove the file") from error
    return (width, height) if turned else (height, width)


def _raise_pixel_limit():
    """Raise Pillow's process-wide limit against decompression bombs to ours."""
    if Image.MAX_IMAGE_PIXELS is not None and Image.MAX_IMAGE_PIXELS < MAX_PIXELS:
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS


def write_image(path, array):
    """Write a picture in the format of the path's suffix (one of :data:`WRITE_SUFFIXES`), whole or not at all.

    ``array`` is uint8: (H, W) gray, (H, W, 2) gray and alpha, (H, W, 3) RGB or (H, W, 4) RGB and alpha. PNG, BMP, WebP
    and TIFF are lossless, JPEG has quality 95 without chroma subsampling. WebP has no gray: it comes back as RGB.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        suffixes = ", ".join(WRITE_SUFFIXES)
        raise UserError(f"cannot write {path}: the suffix must be one of {suffixes}, not '{path.suffix}'")
    file_format, options, holds_alpha, longest = _WRITERS[path.suffix.lower()]
    _check_pixels(array, path)
    if array.ndim == 3 and array.shape[2] in (2, 4) and not holds_alpha:
        raise UserError(f"cannot write {path}: {file_format} holds no alpha channel; write .png, .webp or .tif instead")
    if longest and max(array.shape[:2]) > longest:
        problem = f"{file_format} holds at most {longest} pixels a side, not {array.shape[1]}x{array.shape[0]}"
        raise UserError(f"cannot write {path}: {problem}; write .png or .tif instead")
    with replacing(path, "picture") as temporary:
        Image.fromarray(np.ascontiguousarray(array)).save(temporary, format=file_format, **options)


def _check_pixels(array, path):
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise UserError(f"cannot write {path}: the pixels must be a NumPy array of uint8, not {kind}")
    channels = array.shape[2:] if array.ndim in (2, 3) else None
    if channels not in ((), (2,), (3,), (4,)) or 0 in array.shape:
        expected = "(H, W), (H, W, 2), (H, W, 3) or (H, W, 4), not empty"
        raise UserError(f"cannot write {path}: expected {expected}, got {array.shape}")


def holds_alpha(path):
    """Tell whether the format of a file name can hold an alpha channel."""
    writer = _WRITERS.get(Path(path).suffix.lower())
    return writer is not None and writer[2]


def longest_side(path):
    """Return how many pixels a side the format of a file name can hold; None for any number."""
    writer = _WRITERS.get(Path(path).suffix.lower())
    return writer[3] if writer else None


def list_images(folder):
    """Return the pictures directly in a folder, by suffix, in natural order (2 before 10); none is a UserError."""
    folder = Path(folder)
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        reason = "it is a file" if isinstance(error, NotADirectoryError) else error.strerror
        raise UserError(f"expected a folder of pictures at {folder}: {reason}; check the path") from error
    found = [p for p in entries if p.suffix.lower() in READ_SUFFIXES and not p.name.startswith(".") and p.is_file()]
    if not found:
        raise UserError(f"no pictures in {folder}: put {', '.join(READ_SUFFIXES)} files directly into it")
    return sorted(found, key=_natural_key)


def _natural_key(path):
    # Splitting at a group of digits alternates text and digits, so that like is always compared with like.
    parts = re.split(r"(\d+)", path.stem.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name
