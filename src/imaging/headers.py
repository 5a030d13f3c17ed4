"""The size of a picture without decoding it."""

from PIL import Image

from src.errors import UserError
from src.imaging.io import READ_FORMATS, raise_pixel_limit

_WIDTH, _HEIGHT = 256, 257  # tags of TIFF
_ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 are the orientations that swap height and width


def picture_size(path):
    """Read a picture's (height, width) from its header, as it stands after its EXIF orientation.

    A whole header does not mean whole pixels: decoding can still fail.

    Raises:
        UserError: the file is missing, cannot be read or is no picture.
    """
    raise_pixel_limit()
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
