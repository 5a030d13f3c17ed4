"""HR pictures and their LR partners: matched by name, and read."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from src.dataset.folders import Folders, child, find_folders, list_pictures, require_folder
from src.errors import UserError
from src.imaging.headers import picture_size
from src.imaging.io import list_images, read_rgb
from src.imaging.resize import imresize


@dataclass(frozen=True)
class Pair:
    """One HR picture and its LR partner; ``lr`` None: the LR is to be made from the HR.

    ``lr_up`` is the LR enlarged to HR's size, where somebody has prepared it.
    """

    name: str
    hr: Path
    lr: Path | None = None
    lr_up: Path | None = None


def find_pairs(data=None, hr=None, lr=None, scale=4, split="val"):
    """Find the pictures of a data set, and their LR partners where there are any.

    ``data`` may be a split written by ``div2k_preprocess.py`` (``X1``, ``X4``), such an output's root (then
    ``split`` is taken; for ``test``, where there is none, ``val``), a folder of squares (``hr_128``, and perhaps
    ``lr_16`` and ``sr_16_128``; see :func:`src.dataset.folders.find_squares`), a folder with ``HR`` and perhaps
    ``LR``, or with ``x4/HR``, or a folder of pictures, directly or in its subfolders. Partners have the same stem,
    less the usual endings: ``0801.png`` and ``0801x4.png``, ``a_HR.png`` and ``a_LR.png``.

    Args:
        data: folder; or else
        hr: folder of HR pictures, and
        lr: folder of their LR pictures; None if they are to be made.
        scale: integer factor between LR and HR; at 1 no LR pictures are looked for.
        split: which part of a preprocessed root is meant, ``"train"``, ``"val"`` or ``"test"``.

    Returns:
        list of :class:`Pair` in natural order (picture 2 before picture 10).

    Raises:
        UserError: a folder is missing or holds no picture, or a picture has no partner.
    """
    if (data is None) == (hr is None) or (lr is not None and hr is None):
        raise UserError("name the pictures by one of: a data folder; an HR folder, with or without an LR folder")
    hr, lr, lr_up = Folders(Path(hr), lr) if data is None else find_folders(data, scale, split)
    low = None if lr is None else child(require_folder(lr), f"X{scale}") or Path(lr)
    pairs = match(hr, low, scale) if low else without_partners(hr)
    if lr_up is None:
        return pairs
    return [replace(pair, lr_up=enlarged.lr) for pair, enlarged in zip(pairs, match(hr, lr_up, scale), strict=True)]


def shared_pictures(pairs, others):
    """Return those of ``pairs`` whose HR file, however its path is written, is the HR file of one of ``others``."""
    files = {pair.hr.resolve() for pair in others}
    return [pair for pair in pairs if pair.hr.resolve() in files]


def load_pair(pair, scale):
    """Read a pair; an absent LR is made by MATLAB's bicubic (symmetric edges).

    Returns:
        hr: uint8 (H, W, 3), cropped to a multiple of ``scale``; lr: uint8 (H/scale, W/scale, 3), at scale 1 hr itself.

    Raises:
        UserError: a file cannot be read, or the sizes do not fit each other.
    """
    hr = read_rgb(pair.hr)
    if pair.lr is None:
        height, width = fitting_size(pair, hr.shape[:2], None, scale)
        hr = hr[: height * scale, : width * scale]
        return hr, hr if scale == 1 else imresize(hr, 1 / scale)
    lr = read_rgb(pair.lr)
    height, width = fitting_size(pair, hr.shape[:2], lr.shape[:2], scale)
    return hr[: height * scale, : width * scale], lr[:height, :width]


def load_lr_up(pair, size):
    """Read a pair's prepared LR↑.

    Args:
        pair: one that has it.
        size: (height, width) of its HR.

    Returns:
        uint8 (height, width, 3).

    Raises:
        UserError: the file cannot be read, or is of another size.
    """
    lr_up = read_rgb(pair.lr_up)
    _check_lr_up(pair, size, lr_up.shape[:2])
    return lr_up


def check_headers(pair, scale):
    """Return the (height, width) of a pair's LR by the headers of its files.

    Raises:
        UserError: one cannot be read, or their sizes do not fit each other.
    """
    size = fitting_size(pair, *header_sizes(pair), scale)
    if pair.lr_up is not None:
        _check_lr_up(pair, tuple(n * scale for n in size), picture_size(pair.lr_up))
    return size


def _check_lr_up(pair, size, found):
    if tuple(found) != tuple(size):
        raise UserError(
            f"{pair.lr_up} should be {_by(size)}, as {pair.hr.name} of {pair.hr.parent.name}, but is {_by(found)}: "
            "prepare the folder anew"
        )


def header_sizes(pair):
    """Return the (height, width) of a pair's HR and of its LR (None without one) from the files' headers."""
    return picture_size(pair.hr), None if pair.lr is None else picture_size(pair.lr)


def fitting_size(pair, hr_size, lr_size, scale):
    """Return the (height, width) of the LR that fits HR cropped to a multiple of ``scale``.

    An LR that was made without cropping, ceil(HR / scale), fits as well: its last row or column is left out.

    Raises:
        UserError: the HR is smaller than ``scale``, or the LR has another size.
    """
    if min(hr_size) < scale:
        raise UserError(f"{pair.hr} is {_by(hr_size)}, smaller than the scale {scale}: remove it")
    floor = tuple(n // scale for n in hr_size)
    ceiling = tuple(-(-n // scale) for n in hr_size)
    if lr_size is not None and tuple(lr_size) not in (floor, ceiling):
        raise UserError(
            f"{pair.lr} should be {_by(floor)}, a {scale}th of {pair.hr} ({_by(hr_size)}), "
            f"but is {_by(lr_size)}: check the scale and the folders"
        )
    return floor


def shared_name(path, scale):
    """Return a file's stem without the endings that tell HR and LR apart."""
    ending = re.compile(rf"([ _-]+|(?<=[0-9]))(hr|lr|gt|bicubic)$|[ _-]*(srf[_-]?{scale}|x{scale})$", re.IGNORECASE)
    name = path.stem
    while (shorter := ending.sub("", name)) not in ("", name):
        name = shorter
    return name


def without_partners(folder):
    """Return the :class:`Pair` of each picture of a folder (or of its subfolders), with the LR to be made.

    The name is the path below the folder without its suffix; with it where two would be the same.

    Raises:
        UserError: there is no picture, or a subfolder's name says that it holds LR pictures.
    """
    folder = Path(folder)
    pictures = list_pictures(folder)
    names = ["_".join(path.relative_to(folder).with_suffix("").parts) for path in pictures]
    count = Counter(names)
    return [
        Pair(name if count[name] == 1 else "_".join(path.relative_to(folder).parts), path)
        for name, path in zip(names, pictures, strict=True)
    ]


def match(high_folder, low_folder, scale, spare_low=False):
    """Return the :class:`Pair` of each picture of an HR folder with its partner in an LR folder, matched by name.

    Raises:
        UserError: a folder is missing or empty, two names mean the same picture, or a picture has no partner;
            with ``spare_low`` an LR picture needs none.
    """
    high_by_name = _by_shared_name(high_folder, scale)
    low_by_name = _by_shared_name(low_folder, scale)
    for name, high in high_by_name.items():
        if name not in low_by_name:
            raise UserError(f"{high.name} of {high_folder} has no partner in {low_folder}: complete the LR folder")
    for name, low in low_by_name.items():
        if name not in high_by_name and not spare_low:
            raise UserError(f"{low.name} of {low_folder} has no partner in {high_folder}: complete the HR folder")
    return [Pair(shared_name(high, scale), high, low_by_name[name]) for name, high in high_by_name.items()]


def _by_shared_name(folder, scale):
    """Map the lower-case shared name of each picture of a folder to its path."""
    found = {}
    for path in list_images(folder):
        other = found.setdefault(shared_name(path, scale).lower(), path)
        if other is not path:
            raise UserError(f"{other.name} and {path.name} in {folder} are the same picture by name: remove one")
    return found


def _by(size):
    """Return a (height, width) as people write it: width×height."""
    return f"{size[1]}×{size[0]}"
