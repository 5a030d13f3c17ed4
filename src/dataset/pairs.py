"""HR pictures and their LR partners: found in a folder, matched by name, and read."""

import contextlib
import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from src.errors import UserError
from src.imaging.io import list_images, picture_size, read_rgb
from src.imaging.resize import make_lr

_LOW_RESOLUTION = re.compile(r"(^|[^a-z])(lr|x\d+)([^a-z]|$)", re.IGNORECASE)
_OF_SQUARES = re.compile(r"(hr|lr)_(\d+)|(sr)_(\d+)_(\d+)")


@dataclass(frozen=True)
class Pair:
    """One HR picture and its partners; ``lr`` None: it is to be made; ``lr_up``: LR enlarged, where it is prepared."""

    name: str
    hr: Path
    lr: Path | None = None
    lr_up: Path | None = None
    lr_kernel: str = "bicubic"  # how LR is made, one of ``src.imaging.resize.LR_KERNELS``


class Folders(NamedTuple):
    """Where the pictures of a data set lie, as in :class:`Pair`."""

    hr: Path
    lr: Path | None = None
    lr_up: Path | None = None


def find_pairs(data=None, hr=None, lr=None, scale=4, split="val"):
    """Find the pictures of a data set, and their LR partners where there are any, in natural order (2 before 10).

    ``data`` may be a split written by ``div2k_preprocess.py`` (``X1``, ``X4``), such an output's root (then
    ``split`` is taken; for ``test``, where there is none, ``val``), a folder of squares (``hr_128``, and perhaps
    ``lr_16`` and ``sr_16_128``), a folder with ``HR`` and perhaps ``LR``, or with ``x4/HR``, or a folder of pictures,
    directly or in its subfolders. Or else ``hr`` is a folder of HR pictures, and ``lr``, if it is named, of their LR.
    Partners have the same stem, less the usual endings: ``0801.png`` and ``0801x4.png``, ``a_HR.png`` and
    ``a_LR.png``. At the ``scale`` (HR / LR) 1 no LR pictures are looked for.
    """
    if (data is None) == (hr is None) or (lr is not None and hr is None):
        raise UserError("name the pictures by one of: a data folder; an HR folder, with or without an LR folder")
    hr, lr, lr_up = Folders(Path(hr), lr) if data is None else find_folders(data, scale, split)
    low = None if lr is None else child(require_folder(lr), f"X{scale}") or Path(lr)
    pairs = match(hr, low, scale) if low else without_partners(hr)
    if lr_up is None:
        return pairs
    return [replace(pair, lr_up=enlarged.lr) for pair, enlarged in zip(pairs, match(hr, lr_up, scale), strict=True)]


def made_by(pairs, kernel):
    """Return pairs whose LR pictures are to be made by a kernel of ``src.imaging.resize.LR_KERNELS``, not read."""
    for pair in pairs:
        if there := pair.lr or pair.lr_up:
            raise UserError(
                f"the kernel {kernel} cannot make LR pictures, they are there, in {there.parent}: leave it out, or "
                "name a folder of HR pictures alone"
            )
    return [replace(pair, lr_kernel=kernel) for pair in pairs]


def find_folders(data, scale, split="val"):
    """Return the :class:`Folders` that ``data`` means; see :func:`find_pairs`."""
    data = require_folder(data)
    if squares := _find_squares(data, scale):
        return squares
    if high := child(data, "X1"):
        if scale == 1:
            return Folders(high)
        if low := child(data, f"X{scale}"):
            return Folders(high, low)
        raise UserError(f"{data} has X1 but no X{scale}: run div2k_preprocess.py with --scale {scale}")
    for name in ("test", "val") if split == "test" else (split,):
        if (part := child(data, name)) and (child(part, "X1") or _find_squares(part, scale)):
            return find_folders(part, scale, split)
    if high := child(data, "HR"):
        return Folders(high, None if scale == 1 else child(data, "LR"))
    if (part := child(data, f"x{scale}")) and child(part, "HR"):
        return find_folders(part, scale, split)
    return Folders(data)


def _find_squares(folder, scale):
    """Return the :class:`Folders` of a folder of squares, ours or SR3's PyTorch port's; None if it is not one."""
    parts = {}  # ("hr", 128) and ("sr", 16, 128): their folders
    for entry in sorted(folder.iterdir()):
        found = _OF_SQUARES.fullmatch(entry.name.lower())
        if found and entry.is_dir():
            kind, *sides = filter(None, found.groups())
            parts[(kind, *map(int, sides))] = entry
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
    low = side // scale
    return Folders(parts["hr", side], parts.get(("lr", low)), parts.get(("sr", low, side)))


def require_folder(folder):
    """Return ``folder`` as a Path, or raise UserError."""
    folder = Path(folder)
    if folder.is_dir():
        return folder
    problem = "is a file, not a folder" if folder.exists() else "does not exist"
    raise UserError(f"expected a folder of pictures, but {folder} {problem}: check the name")


def child(folder, name):
    """Return the subfolder with that name, whatever its case, or None."""
    if (folder / name).is_dir():
        return folder / name
    found = (entry for entry in folder.iterdir() if entry.name.lower() == name.lower() and entry.is_dir())
    return min(found, default=None)


def subfolders(folder):
    """List a folder's subfolders, but hidden ones; none of a folder that may not be read."""
    _, names, _ = next(os.walk(folder), ("", [], []))  # it does not ask for each of a million files what it is
    return sorted(Path(folder, name) for name in names if not name.startswith("."))


def without_partners(folder):
    """Pair each picture of :func:`list_pictures` with the LR to be made; two of one name keep their suffixes."""
    folder = Path(folder)
    pictures = list_pictures(folder)
    names = ["_".join(path.relative_to(folder).with_suffix("").parts) for path in pictures]
    count = Counter(names)
    return [
        Pair(name if count[name] == 1 else "_".join(path.relative_to(folder).parts), path)
        for name, path in zip(names, pictures, strict=True)
    ]


def list_pictures(folder):
    """List a folder's pictures, or if it holds none those of its subfolders, unless they are LR's by name."""
    folder = require_folder(folder)
    with contextlib.suppress(UserError):
        return list_images(folder)
    found = []
    for subfolder in subfolders(folder):
        with contextlib.suppress(UserError):  # none in this one
            found += list_images(subfolder)
    if not found:
        raise UserError(f"no pictures in {folder} or its subfolders: check the name")
    for low in {path.parent.name: None for path in found}:
        if _LOW_RESOLUTION.search(low):
            problem = f"{folder} holds no pictures itself and its subfolder {low} looks like LR pictures"
            raise UserError(f"{problem}: name the folder of HR pictures")
    return found


def match(high_folder, low_folder, scale, spare_low=False):
    """Pair the pictures of an HR and an LR folder by name; with ``spare_low`` an LR picture needs no partner."""
    high, low = (_by_shared_name(folder, scale) for folder in (high_folder, low_folder))
    for name in [*high, *low]:
        if name not in low:
            raise UserError(
                f"{high[name].name} of {high_folder} has no partner in {low_folder}: complete the LR folder"
            )
        if name not in high and not spare_low:
            raise UserError(f"{low[name].name} of {low_folder} has no partner in {high_folder}: complete the HR folder")
    return [Pair(_shared_name(path, scale), path, low[name]) for name, path in high.items()]


def _by_shared_name(folder, scale):
    found = {}
    for path in list_images(folder):
        other = found.setdefault(_shared_name(path, scale).lower(), path)
        if other is not path:
            raise UserError(f"{other.name} and {path.name} in {folder} are the same picture by name: remove one")
    return found


def _shared_name(path, scale):
    """Return a file's stem without the endings that tell HR and LR apart."""
    ending = re.compile(rf"([ _-]+|(?<=[0-9]))(hr|lr|gt|bicubic)$|[ _-]*(srf[_-]?{scale}|x{scale})$", re.IGNORECASE)
    name = path.stem
    while (shorter := ending.sub("", name)) not in ("", name):
        name = shorter
    return name


def shared_pictures(pairs, others):
    """Return those of ``pairs`` whose HR file, however its path is written, is the HR file of one of ``others``."""
    files = {pair.hr.resolve() for pair in others}
    return [pair for pair in pairs if pair.hr.resolve() in files]


def load_pair(pair, scale):
    """Read HR, uint8 (H, W, 3), cropped to a multiple of ``scale``, and LR, uint8 (H/scale, W/scale, 3).

    An absent LR is made by the pair's kernel; at scale 1 it is HR itself.
    """
    hr = read_rgb(pair.hr)
    lr = None if pair.lr is None else read_rgb(pair.lr)
    height, width = _fitting_size(pair, hr.shape[:2], None if lr is None else lr.shape[:2], scale)
    hr = hr[: height * scale, : width * scale]
    if lr is not None:
        return hr, lr[:height, :width]
    return hr, hr if scale == 1 else make_lr(hr, scale, pair.lr_kernel)


def load_lr_up(pair, size):
    """Read a pair's prepared LR↑, uint8 (H, W, 3), which must be of its HR's ``size``, (H, W)."""
    lr_up = read_rgb(pair.lr_up)
    _check_lr_up(pair, size, lr_up.shape[:2])
    return lr_up


def check_headers(pair, scale):
    """Return the (height, width) of a pair's HR file and of the LR that fits it, by the files' headers."""
    hr_size = picture_size(pair.hr)
    lr_size = _fitting_size(pair, hr_size, None if pair.lr is None else picture_size(pair.lr), scale)
    if pair.lr_up is not None:
        _check_lr_up(pair, [n * scale for n in lr_size], picture_size(pair.lr_up))
    return hr_size, lr_size


def _check_lr_up(pair, size, found):
    if tuple(found) != tuple(size):
        problem = f"should be {_by(size)}, as {pair.hr.name} of {pair.hr.parent.name}, but is {_by(found)}"
        raise UserError(f"{pair.lr_up} {problem}: prepare the folder anew")


def _fitting_size(pair, hr_size, lr_size, scale):
    """Return the size of LR, floor(HR / scale); one of ceil(HR / scale) fits: its last row or column is left out."""
    if min(hr_size) < scale:
        raise UserError(f"{pair.hr} is {_by(hr_size)}, smaller than the scale {scale}: remove it")
    floor, ceiling = tuple(n // scale for n in hr_size), tuple(-(-n // scale) for n in hr_size)
    if lr_size is not None and tuple(lr_size) not in (floor, ceiling):
        problem = f"should be {_by(floor)}, a {scale}th of {pair.hr} ({_by(hr_size)}), but is {_by(lr_size)}"
        raise UserError(f"{pair.lr} {problem}: check the scale and the folders")
    return floor


def _by(size):  # as people write it: width×height
    return f"{size[1]}×{size[0]}"


def prepared_lr_up(pair, lr, scale):
    """Return {"lr_up": [uint8 (H, W, 3)]} for ``Upscaler.upscale`` where a pair's LR↑ is prepared, or {}."""
    return {} if pair.lr_up is None else {"lr_up": [load_lr_up(pair, [n * scale for n in lr.shape[:2]])]}
