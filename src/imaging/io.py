"""Reading any picture, writing pictures whole or not at all, listing a folder's pictures."""

import contextlib
import functools
import io
import math
import os
import re
import select
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import UserError
from ..host.files import replacing
from .metadata import Metadata
from .picture import picture_of
from .png import write_png
from .rows import Rows, strips
from .sixteen_bits import eight_bits
from .spool import LARGE
from .tiff import LARGEST, write_tiff

READ_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000", "HEIF")
READ_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".heic", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip
MAX_PIXELS = 500_000_000
STANDARD_INPUT = Path("-")
_PATIENCE = 60  # seconds in which somebody must begin to write to a pipe


class _Format(NamedTuple):
    name: str  # Pillow's
    options: dict
    alpha: bool
    sixteen_bits: bool
    longest: int | None = None  # side in pixels
    largest: int | None = None  # bytes of pixels


_JPEG = _Format("JPEG", {"quality": 95, "subsampling": "4:4:4"}, False, False, 65500)
_TIFF = _Format("TIFF", {}, True, True, largest=LARGEST)
_WRITERS = {
    ".png": _Format("PNG", {"compress_level": 2}, True, True),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".bmp": _Format("BMP", {}, False, False),
    ".webp": _Format("WEBP", {"lossless": True, "exact": True}, True, False, 16383),
    ".tif": _TIFF,
    ".tiff": _TIFF,
}
WRITE_SUFFIXES = tuple(sorted(_WRITERS))

# Tags of TIFF, and the EXIF tag of which 5 to 8 are the orientations that swap height and width
_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")  # brands in a file's first box


def read_image(path, max_pixels=None):
    """Read a picture of one of :data:`READ_FORMATS`, whatever its suffix, into writable arrays.

    The EXIF orientation is applied; of several frames or pages the first is taken. Palettes are resolved, CMYK is
    converted by Pillow's formula, RGB and gray colour profiles are kept and not applied. 9 to 16 bits are spread over
    all of 16. 32-bit and float pixels, whose range is not known, are refused, and so are more than ``max_pixels``, by
    default :data:`MAX_PIXELS`. "-" is standard input.
    """
    path, most = Path(path), max_pixels or MAX_PIXELS
    try:
        source = _source(path)
        with _open(source, most) as image:
            if image.width * image.height > most:
                raise Image.DecompressionBombError
            return picture_of(image, lambda: _open(source, most))
    except UserError as error:
        raise UserError(f"cannot read {_shown(path)}: {error}") from error
    # Pillow's decoders answer damaged files with nearly every exception there is, and all mean the same here.
    except Exception as error:
        raise UserError(_explain(error, path, max_pixels)) from error


def _open(source, most):
    # Pillow's own limit against decompression bombs, which holds in the whole process
    if Image.MAX_IMAGE_PIXELS is not None and most > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = most
    return Image.open(source, formats=_formats())


@functools.cache
def _formats():
    """Return those of the formats that are installed here."""
    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(name for name in READ_FORMATS if name in Image.OPEN)


def _source(path):
    """Return the path, of a file; of standard input or a pipe, which can be read only once, the content."""
    if path == STANDARD_INPUT:
        return io.BytesIO(sys.stdin.buffer.read())
    if not path.is_fifo():
        return path
    # opened so, a pipe that nobody writes to does not keep us waiting
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:
        if not select.select([pipe], [], [], _PATIENCE)[0]:
            raise UserError(f"nobody has written to this pipe for {_PATIENCE} seconds; write a picture to it")
        os.set_blocking(pipe.fileno(), True)
        return io.BytesIO(pipe.read())


def _shown(path):
    return "standard input" if path == STANDARD_INPUT else path


def _explain(error, path, max_pixels):
    name = _shown(path)
    if isinstance(error, FileNotFoundError):
        return f"no picture at {name}: there is no such file; check the path"
    if isinstance(error, IsADirectoryError):
        return f"expected a picture at {name}: it is a folder; name a file in it"
    if isinstance(error, OSError) and error.errno is not None:  # from the operating system; Pillow's own have none
        return f"cannot read {name}: {error.strerror}; check the path and its permissions"
    if isinstance(error, MemoryError):
        return f"cannot read {name}: not enough memory to decode it; cut it into smaller pictures"
    if isinstance(error, Image.DecompressionBombError):
        remedy = "cut it into smaller pictures" + (", or raise --max-pixels" if max_pixels else "")
        most = (max_pixels or MAX_PIXELS) / 1e6
        return f"cannot read {name}: it has more than {most:g} million pixels; {remedy}"
    if isinstance(error, UnidentifiedImageError):
        return f"cannot read {name}: {_unidentified(path)}"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"cannot read {name}: the picture is damaged or truncated ({reason}); copy or download it again"


def _unidentified(path):
    head = b""
    if path.is_file():
        with open(path, "rb") as file:
            head = file.read(12)
        if not head:
            return "the file is empty; copy or download it again"
    if head[8:] in _HEIC and "HEIF" not in _formats():
        return "it is a HEIC picture; pip install pillow-heif reads it"
    return f"not a picture, or damaged; expected one of {', '.join(READ_FORMATS)}"


def read_rgb(path):
    """Read a picture as :func:`read_image` does; return its RGB rounded to uint8 (H, W, 3), without alpha."""
    return eight_bits(read_image(path).rgb)


def picture_size(path):
    """Read a picture's (height, width), after its EXIF orientation, from its header; decoding can still fail."""
    try:
        if not Path(path).is_file() and Path(path).exists():
            raise OSError("it is no file, whose header could be read ahead")
        with _open(path, MAX_PIXELS) as picture:
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


def write_image(path, array, metadata=None, quality=None):
    """Write a picture in the format of the path's suffix (one of :data:`WRITE_SUFFIXES`), whole or not at all.

    PNG, BMP, WebP and TIFF are lossless, JPEG has quality 95 without chroma subsampling. WebP has no gray: it comes
    back as RGB.

    Args:
        array: (H, W) gray, (H, W, 2) gray and alpha, (H, W, 3) RGB or (H, W, 4) RGB and alpha; uint8, or for PNG and
            TIFF uint16. Of :class:`src.imaging.rows.Rows` a few at a time are held, where :func:`writing_memory` is 0.
        metadata: a :class:`src.imaging.metadata.Metadata`; what the format cannot hold of it is left out.
        quality: from 1 to 100, of JPEG, and of WebP, which is lossy then.
    """
    path, metadata = Path(path), metadata or Metadata()
    if path.suffix.lower() not in _WRITERS:
        suffixes = ", ".join(WRITE_SUFFIXES)
        raise UserError(f"cannot write {path}: the suffix must be one of {suffixes}, not '{path.suffix}'")
    _check_pixels(array, path)
    own = format_of(path)
    options = own.options if quality is None else _with_quality(own, quality, path)
    size = array.shape[:2]
    with replacing(path, "picture") as temporary:
        if own is _TIFF:
            write_tiff(temporary, array, metadata.tags(size))
        elif array.dtype == np.uint16 or (own.name == "PNG" and 3 * math.prod(size) > LARGE):
            write_png(temporary, array, metadata.options(own.name, size))
        else:
            _pillows(array).save(temporary, format=own.name, **options, **metadata.options(own.name, size))


def _pillows(array):
    """A Pillow image of an array or :class:`Rows`, of which nothing else is held whole."""
    image = None
    for rows in strips(len(array)):
        part = Image.fromarray(np.ascontiguousarray(array[rows]))
        image = image or Image.new(part.mode, array.shape[1::-1])
        image.paste(part, (0, rows.start))
    return image


def writing_memory(path, quality=None):
    """Bytes of each pixel that writing a large picture takes, beside what is given to :func:`write_image`.

    Pillow holds 4; what libwebp takes beside was measured, of 7 million pixels of photographs.
    """
    return {"PNG": 0, "TIFF": 0, "WEBP": 32 if quality is None else 11}.get(format_of(path).name, 4)


def _with_quality(own, quality, path):
    if own.name not in ("JPEG", "WEBP") or not 1 <= quality <= 100:
        raise UserError(f"cannot write {path}: the quality is of .jpg and .webp, from 1 to 100; got {quality}")
    return own.options | {"quality": quality} | ({"lossless": False} if own.name == "WEBP" else {})


def _check_pixels(array, path):
    if not isinstance(array, (np.ndarray, Rows)) or array.dtype not in (np.uint8, np.uint16):
        kind = array.dtype if isinstance(array, (np.ndarray, Rows)) else type(array).__name__
        raise UserError(f"cannot write {path}: the pixels must be a NumPy array of uint8 or uint16, not {kind}")
    channels = array.shape[2:] if array.ndim in (2, 3) else None
    if channels not in ((), (2,), (3,), (4,)) or 0 in array.shape:
        expected = "(H, W), (H, W, 2), (H, W, 3) or (H, W, 4), not empty"
        raise UserError(f"cannot write {path}: expected {expected}, got {array.shape}")
    own, problem = format_of(path), None
    written = 4 if channels == (2,) else math.prod(channels)  # of gray with alpha, TIFF's writer may make RGB with it
    if channels in ((2,), (4,)) and not own.alpha:
        problem = "no alpha channel; write .png, .webp or .tif instead"
    elif array.dtype == np.uint16 and not own.sixteen_bits:
        problem = "8 bits a colour and not 16; write .png or .tif instead"
    elif own.longest and max(array.shape[:2]) > own.longest:
        size = f"{array.shape[1]}x{array.shape[0]}"
        problem = f"at most {own.longest} pixels a side, not {size}; write .png or .tif instead"
    elif own.largest and math.prod(array.shape[:2]) * written * array.dtype.itemsize > own.largest:
        problem = f"at most {own.largest / 1e9:g} GB of pixels; write .png instead"
    if problem:
        raise UserError(f"cannot write {path}: {own.name} holds {problem}")


def format_of(path):
    """Return what is known of the format in which a name of :data:`WRITE_SUFFIXES` is written."""
    return _WRITERS[Path(path).suffix.lower()]


def list_images(folder):
    """Return the pictures directly in a folder, by suffix, in natural order (2 before 10); none is a UserError."""
    folder = Path(folder)
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        reason = "it is a file" if isinstance(error, NotADirectoryError) else error.strerror
        raise UserError(f"expected a folder of pictures at {folder}: {reason}; check the path") from error
    if found := pictures_of(entries):
        return found
    raise UserError(f"no pictures in {folder}: put {', '.join(READ_SUFFIXES)} files directly into it")


def pictures_of(paths):
    """Those of some paths that are pictures by their suffix, in natural order; no hidden ones."""
    found = [p for p in paths if p.suffix.lower() in READ_SUFFIXES and not p.name.startswith(".") and p.is_file()]
    return sorted(found, key=natural_key)


def natural_key(path):
    """What paths are sorted by, 2 before 10."""
    # Splitting at a group of digits alternates text and digits, so that like is always compared with like.
    parts = re.split(r"(\d+)", path.stem.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name
