"""HR pictures and their LR partners, found in the folder layouts that are in use."""

import contextlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from src.errors import UserError
from src.imaging.headers import picture_size
from src.imaging.io import list_images, read_rgb
from src.imaging.resize import imresize

_LOW_RESOLUTION = re.compile(r"(^|[^a-z])(lr|x\d+)([^a-z]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """One HR picture and its LR partner; ``lr`` None: the LR is to be made from the HR."""

    name: str
    hr: Path
    lr: Path | None = None


def find_pairs(data=None, hr=None, lr=None, scale=4, split="val"):
    """Find the pictures of a data set, and their LR partners where there are any.

    ``data`` may be a split written by ``div2k_preprocess.py`` (``X1``, ``X4``), such an output's root (then
    ``split`` is taken; for ``test``, where there is none, ``val``), a folder with ``HR`` and perhaps ``LR``, or with
    ``x4/HR``, or a folder of pictures, directly or in its subfolders. Partners have the same stem, less the usual
    endings: ``0801.png`` and ``0801x4.png``, ``a_HR.png`` and ``a_LR.png``.

    Args:
        data: folder; or else
        hr: folder of HR pictures, and
        lr: folder of their LR pictures; None if they are to be made.
        scale: integer factor between LR and HR.
        split: which part of a preprocessed root is meant, ``"train"``, ``"val"`` or ``"test"``.

    Returns:
        list of :class:`Pair` in natural order (picture 2 before picture 10).

    Raises:
        UserError: a folder is missing or holds no picture, or a picture has no partner.
    """
    if (data is None) == (hr is None) or (lr is not None and hr is None):
        raise UserError("name the pictures by one of: a data folder; an HR folder, with or without an LR folder")
    hr, lr = (Path(hr), lr) if data is None else find_folders(data, scale, split)
    if lr is None:
        return without_partners(hr)
    lr = child(require_folder(lr), f"X{scale}") or Path(lr)
    return match(hr, lr, scale)


def find_folders(data, scale, split="val"):
    """Return the (HR folder, LR folder or None) that ``data`` means; see :func:`find_pairs`."""
    data = require_folder(data)
    if high := child(data, "X1"):
        low = child(data, f"X{scale}")
        if low is None:
            raise UserError(f"{data} has X1 but no X{scale}: run div2k_preprocess.py with --scale {scale}")
        return high, low
    for name in ("test", "val") if split == "test" else (split,):
        if (part := child(data, name)) and child(part, "X1"):
            return find_folders(part, scale, split)
    if high := child(data, "HR"):
        return high, child(data, "LR")
    if (part := child(data, f"x{scale}")) and child(part, "HR"):
        return find_folders(part, scale, split)
    return data, None


def shared_pictures(pairs, others):
    """Return those of ``pairs`` whose HR file, however its path is written, is the HR file of one of ``others``."""
    files = {pair.hr.resolve() for pair in others}
    return [pair for pair in pairs if pair.hr.resolve() in files]


def load_pair(pair, scale):
    """Read a pair; an absent LR is made by MATLAB's bicubic (symmetric edges).

    Returns:
        hr: uint8 (H, W, 3), cropped to a multiple of ``scale``; lr: uint8 (H/scale, W/scale, 3).

    Raises:
        UserError: a file cannot be read, or the sizes do not fit each other.
    """
    hr = read_rgb(pair.hr)
    if pair.lr is None:
        height, width = fitting_size(pair, hr.shape[:2], None, scale)
        hr = hr[: height * scale, : width * scale]
        return hr, imresize(hr, 1 / scale)
    lr = read_rgb(pair.lr)
    height, width = fitting_size(pair, hr.shape[:2], lr.shape[:2], scale)
    return hr[: height * scale, : width * scale], lr[:height, :width]


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


def require_folder(folder):
    """Return ``folder`` as a Path; raise UserError if it is no folder."""
    folder = Path(folder)
    if folder.is_dir():
        return folder
    problem = "is a file, not a folder" if folder.exists() else "does not exist"
    raise UserError(f"expected a folder of pictures, but {folder} {problem}: check the name")


def child(folder, name):
    """Return the subfolder with that name, whatever its case, or None."""
    exact = folder / name
    if exact.is_dir():
        return exact
    found = sorted(entry for entry in folder.iterdir() if entry.name.lower() == name.lower() and entry.is_dir())
    return found[0] if found else None


def list_pictures(folder):
    """List a folder's pictures in natural order (2 before 10); if it holds none itself, those of its subfolders.

    Raises:
        UserError: there is no picture, or a subfolder's name says that it holds LR pictures.
    """
    folder = require_folder(folder)
    try:
        return list_images(folder)
    except UserError as error:
        found = _subfolder_pictures(folder)
        if not found:
            raise UserError(f"no pictures in {folder} or its subfolders: check the name") from error
    low = next((path.parent.name for path in found if _LOW_RESOLUTION.search(path.parent.name)), None)
    if low is not None:
        raise UserError(
            f"{folder} holds no pictures itself and its subfolder {low} looks like LR pictures: "
            "name the folder of HR pictures"
        )
    return found


def _subfolder_pictures(folder):
    """Return the pictures directly in the subfolders of a folder, by subfolder."""
    found = []
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.name.startswith("."):
            with contextlib.suppress(UserError):  # none in this one
                found += list_images(entry)
    return found


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
