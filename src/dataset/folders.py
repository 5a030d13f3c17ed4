"""The folder layouts that are in use: which folder holds HR, which LR, which LR↑."""

import contextlib
import re
from pathlib import Path
from typing import NamedTuple

from src.errors import UserError
from src.imaging.io import list_images

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
