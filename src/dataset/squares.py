"""Making squares of whole pictures, as SR3 is trained on: HR, its LR, and LR enlarged again."""

from src.dataset.pngs import output_paths, write_png
from src.errors import UserError
from src.imaging.headers import picture_size
from src.imaging.io import read_rgb
from src.imaging.resize import area_resize, imresize

CROPS = ("centre", "largest")
RESAMPLERS = {"bicubic": lambda picture, size: imresize(picture, size=size), "area": area_resize}


def square(picture, side, crop="centre", resample="bicubic"):
    """Make a square of a picture that is nowhere smaller.

    Args:
        picture: uint8 (H, W, 3).
        side: of the square in pixels.
        crop: ``"centre"`` reduces the picture until its shorter side is ``side`` and takes the middle of the longer
            one, as is usual for faces; ``"largest"`` takes the largest centred square and reduces that, as arXiv
            2104.07636, section 4, does with ImageNet. They are one and the same for a square picture.
        resample: ``"bicubic"`` (MATLAB's) or ``"area"``.

    Returns:
        uint8 (side, side, 3).
    """
    if crop == "largest":
        picture = _middle(picture, min(picture.shape[:2]))
    shorter = min(picture.shape[:2])
    if shorter != side:
        size = tuple(n * side // shorter for n in picture.shape[:2])
        picture = RESAMPLERS[resample](picture, size)
    return _middle(picture, side)


def write_squares(pair, entry, split_folder, options, digits):
    """Write the square of one source picture, its LR, and that enlarged again; both by MATLAB's bicubic.

    LR is made from the square, so that the square is exactly what an upscaler of it is to find.

    Args:
        pair: the source, of which HR is read.
        entry: its entry in the manifest.
        split_folder: the output's ``train``, ``val`` or ``test``; its subfolders exist.
        options: the manifest's.
        digits: of the file numbers.

    Returns:
        What became of it: {"error": None or why it cannot be used, "small": whether it is smaller than the square}.
        With either nothing is written.

    Raises:
        UserError: the output cannot be written.
    """
    *low, side = options["sizes"]
    try:
        if min(picture_size(pair.hr)) < side:
            return {"error": None, "small": True}
        picture = read_rgb(pair.hr)
    except UserError as error:
        return {"error": str(error), "small": False}
    pictures = [square(picture, side, options["crop"], options["resample"])]
    for low_side in low:
        lr = imresize(pictures[0], size=(low_side, low_side))
        pictures += [lr, imresize(lr, size=(side, side))]
    (paths,) = output_paths(split_folder, entry, options, digits)
    for path, array in zip(paths, pictures, strict=True):
        write_png(path, array)
    return {"error": None, "small": False}


def _middle(picture, side):
    """Cut out the middle, where the picture is longer than ``side``."""
    top, left = (max(0, n - side) // 2 for n in picture.shape[:2])
    return picture[top : top + side, left : left + side]
