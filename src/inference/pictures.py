"""Pictures as people have them, a path, Pillow's or an array, as the arrays that are upscaled."""

import os
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import UserError
from ..imaging.io import read_image

Pixels: TypeAlias = NDArray[Any]  # uint8 or uint16 (H, W, 3), RGB
Picture: TypeAlias = str | os.PathLike[str] | Image.Image | Pixels


def as_pixels(picture: Picture) -> Pixels:
    """A path, a Pillow image, or an array of uint8 or uint16 (h, w, 3) as such an array; else a UserError.

    Of files and Pillow images gray is three equal colours and transparency is left out; a file's 16 bits are kept.
    """
    if isinstance(picture, (str, os.PathLike)):
        return read_image(picture).rgb
    if isinstance(picture, Image.Image):
        if picture.mode[0] in "IF":
            raise UserError(f"a Pillow image of mode {picture.mode} does not tell its range: give the path of its file")
        try:
            return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
        except (OSError, SyntaxError) as error:  # it is read only now
            raise UserError(f"a Pillow image cannot be read: {error}") from error
    if not isinstance(picture, np.ndarray):
        kind = type(picture).__name__
        raise UserError(f"expected a picture as a path, a Pillow image or a NumPy array (h, w, 3), not {kind}")
    if picture.dtype not in (np.uint8, np.uint16):
        raise UserError(
            f"an array's pixels are uint8 from 0 to 255, or uint16 from 0 to 65535, not {picture.dtype}: of one from 0 "
            "to 1 take np.rint(255 * picture).astype(np.uint8); sample() takes float32 (B, 3, h, w) from -1 to 1"
        )
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise UserError(f"expected an array (h, w, 3), RGB, got {picture.shape}; a path or a Pillow image may be gray")
    return picture
