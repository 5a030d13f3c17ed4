"""HR pictures and their LR partners: matched by name, and read."""

import contextlib
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from src.errors import UserError
from src.imaging.io import list_images, picture_size, read_rgb
from src.imaging.resize import imresize

_LOW_RESOLUTION = re.compile(r"(^|[^a-z])(lr|x\d+)([^a-z]|$)", re.IGNORECASE)
_OF_SQUARES = re.compile(r"(hr|lr)_(\d+)|(sr)_(\d+)_(\d+)")


class Folders(NamedTuple):
    """Where the pictures of a data set lie.

    Attributes:
        hr: the folder of HR pictures.
        lr: that of their LR pictures; None where they are to be made.
        lr_up: that of LR enlarged to HR's size; None where there is none.
    """

    hr: Path
    lr: Path | None = None
    lr_up: Path | None = None


def find_folders(data, scale, split="val"):
    """Return the :class:`Folders` that ``data`` means; see :func:`src.dataset.pairs.find_pairs`."""
    data = require_folder(data)
    if squares := find_squares(data, scale):
        return squares
    if high := child(data, "X1"):
        if scale == 1:
            return Folders(high)
        low = child(data, f"X{scale}")
        if low is None:
            raise UserError(f"{data} has X1 but no X{scale}: run div2k_preprocess.py with --scale {scale}")
        return Folders(high, low)
    for name in ("test", "val") if split == "test" else (split,):
        if (part := child(data, name)) and (child(part, "X1") or find_squares(part, scale)):
            return find_folders(part, scale, split)
    if high := child(data, "HR"):
        return Folders(high, None if scale == 1 else child(data, "LR"))
    if (part := child(data, f"x{scale}")) and child(part, "HR"):
        return find_folders(part, scale, split)
    return Folders(data)


def find_squares(folder, scale):
    """Return the :class:`Folders` of a folder of squares for a scale, None if it is not one.

    It holds hr_128, and perhaps lr_16 and sr_16_128, as ``div2k_preprocess.py --sizes`` writes them, and as
    data/prepare_data.py of SR3's PyTorch port does (github.com/Janspiry). Where the scale is 1, no LR is looked at.

    Raises:
        UserError: there are LR pictures, but of another scale; or HR pictures of several sizes that would do.
    """
    parts = _parts_of_squares(folder)
    sides = sorted(side for kind, side, *_ in parts if kind == "hr")
    if not sides:
        return None
    if scale > 1 and any(kind == "lr" for kind, *_ in parts):
        sides = [side for side in sides if side % scale == 0 and ("lr", side // scale) in parts]
    if len(sides) != 1:
        expected = "one hr_N" if scale == 1 else f"one hr_N with its lr_N/{scale}"
        names = ", ".join(sorted(path.name for path in parts.values()))
        remedy = "move all but one elsewhere" if sides else "name another folder or scale"
        raise UserError(f"{folder} should hold {expected} for scale {scale}, but holds {names}: {remedy}")
    (side,) = sides
    if scale == 1:
        return Folders(parts["hr", side])
    low_side = side // scale
    return Folders(parts["hr", side], parts.get(("lr", low_side)), parts.get(("sr", low_side, side)))


def _parts_of_squares(folder):
    """Map the kind and the sides in a subfolder's name to it, as ("hr", 128) and ("sr", 16, 128)."""
    parts = {}
    for entry in sorted(folder.iterdir()):
        found = _OF_SQUARES.fullmatch(entry.name.lower())
        if found and entry.is_dir():
            kind, *sides = filter(None, found.groups())
            parts[(kind, *map(int, sides))] = entry
    return parts


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
    ``lr_16`` and ``sr_16_128``; see :func:`src.dataset.pairs.find_squares`), a folder with ``HR`` and perhaps
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


def prepared_lr_up(pair, lr, scale):
    """Return {"lr_up": [uint8 (H, W, 3)]} for ``Upscaler.upscale`` where a pair's LR↑ is prepared, or {}."""
    return {} if pair.lr_up is None else {"lr_up": [load_lr_up(pair, [n * scale for n in lr.shape[:2]])]}
