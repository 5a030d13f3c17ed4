"""Folders of small real pictures for these tests."""

from src.imaging.io import write_image
from src.imaging.resize import imresize


def crops(photo, count, height=64, width=80):
    """Return ``count`` different crops of a photograph, uint8 (height, width, 3)."""
    return [photo[40 * i : 40 * i + height, 30 * i : 30 * i + width].copy() for i in range(count)]


def write_pictures(folder, pictures, names=None):
    """Write pictures as PNG files, 0001.png and so on unless named; return the folder."""
    for number, picture in enumerate(pictures, start=1):
        name = names[number - 1] if names else f"{number:04d}.png"
        write_image(folder / name, picture)
    return folder


def quarter(picture, scale=4):
    """Return the picture cropped to a multiple of ``scale`` and reduced by MATLAB's bicubic."""
    height, width = (n // scale * scale for n in picture.shape[:2])
    return imresize(picture[:height, :width], 1 / scale)
