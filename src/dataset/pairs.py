"""HR pictures and their LR partners: matched by folder, by name or by size, and read."""

import logging
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from ..errors import UserError
from ..imaging.io import READ_SUFFIXES, list_images, picture_size, read_rgb
from ..imaging.resize import make_lr
from .layouts import child, find_folders, find_sets, lr_beside, require_folder
from .matching import (
    Pair,
    fits,
    match,
    match_by_size,
    match_within,
    refuse_two_sizes,
    without_partners,
)

_SEVERAL = (".gif", ".tif", ".tiff", ".webp", ".mpo", ".avif")  # suffixes of files that may hold several pictures

_NAMED = 8  # folders in one line


@dataclass(frozen=True)
class PictureSet:
    """The pairs of a data set, and what there is to tell of them."""

    pairs: list[Pair]
    rule: str = ""  # how HR and LR were told apart
    aside: dict[Path, int] = field(default_factory=dict)  # folder: how many of its pictures were not taken

    def lr_source(self):
        """Where LR came from, for a report: the kernel that made it, or the folders; and what was left aside."""
        folders = sorted({str(pair.lr.parent) for pair in self.pairs if pair.lr})
        kernel = None if folders or self.pairs[0].degrade else self.pairs[0].lr_kernel
        edges = "symmetric" if kernel == "bicubic" else None  # of ``src.imaging.resize.imresize``
        return {
            "lr_kernel": kernel,
            "lr_edges": edges,
            "lr_folders": folders,
            "left_aside": [str(folder) for folder in self.aside],
        }

    def told(self, scale):
        """Lines that say what is paired by which rule, what is left aside, and of which files only a part is read."""
        high = _names(pair.hr.parent for pair in self.pairs)
        low = f"; LR is made by {self.pairs[0].lr_kernel}" * (scale > 1)
        if self.pairs[0].lr:
            low = f"; LR in {_names(pair.lr.parent for pair in self.pairs)}, paired by {self.rule}"
        aside = ", ".join(f"{folder} ({count})" for folder, count in [*self.aside.items()][:_NAMED])
        aside += f" and {len(self.aside) - _NAMED} more folders" * (len(self.aside) > _NAMED)
        line = f"{len(self.pairs)} HR pictures in {high}{low}" + f"; left aside: {aside}" * bool(aside)
        return [line, *_told_of_files(self.pairs)]


def _names(folders):
    first, *others = dict.fromkeys(map(str, folders))
    return f"{first} and {len(others)} more" if len(others) > 1 else " and ".join([first, *others])


def _told_of_files(pairs):
    files = [path for pair in pairs for path in (pair.hr, pair.lr) if path]
    entries = (entry for folder in dict.fromkeys(path.parent for path in files) for entry in os.scandir(folder))
    gone = [e.path for e in entries if e.name.lower().endswith(READ_SUFFIXES) and e.is_symlink() and not e.is_file()]
    if gone:
        yield f"links that lead nowhere, left out: {len(gone)}, first {min(gone)}"
    several = [path for path in files if path.suffix.lower() in _SEVERAL and _count_frames(path) > 1]
    if several:
        yield f"files of which the first of several frames or pages is taken: {len(several)}, first {several[0]}"


def _count_frames(path):
    try:
        with Image.open(path) as picture:
            return getattr(picture, "n_frames", 1)
    except Exception:  # whoever reads it tells what is wrong
        return 1


def find_pairs(data=None, hr=None, lr=None, scale=4, split="val", lr_kernel=None):
    """Find the pairs as :func:`find_picture_set` does; log what it tells of them; return their list."""
    found = find_picture_set(data, hr, lr, scale, split, lr_kernel)
    for line in found.told(scale):
        logging.getLogger(__name__).info("%s", line)
    return found.pairs


def find_picture_set(data=None, hr=None, lr=None, scale=4, split="val", lr_kernel=None):
    """Find the HR pictures of a data set, and the LR of each, in natural order (2 before 10): a :class:`PictureSet`.

    ``data`` is a folder in any layout of :mod:`src.dataset.layouts` or of HR pictures alone. Or else ``hr`` is a
    folder of HR pictures and ``lr``, if it is named, of their LR. HR and LR are told apart by the folders' names; in
    one folder by the names of the files; of two folders with the same names by the pictures' sizes. Partners have
    the same stem, less the usual affixes: ``0801.png`` and ``0801x4.png``, ``a_HR.png`` and ``a_LR.png``. At the
    ``scale`` (HR / LR) 1 no LR is looked for. An ``lr_kernel`` is to make LR, of which there must be none.
    """
    if (data is None) == (hr is None) or (lr is not None and hr is None):
        raise UserError("name the pictures by one of: a data folder; an HR folder, with or without an LR folder")
    if lr is not None:
        high, low = (child(folder, f"X{scale}") or folder for folder in map(require_folder, (hr, lr)))
        found = PictureSet(match(list_images(high), list_images(low), scale), "name")
    elif data is not None and (folders := find_folders(data, scale, split)):
        found = _prepared(folders, scale)
    else:
        found = _laid_out(Path(data or hr), scale, split, alone=data is None)
    if not lr_kernel:
        return found
    if there := found.pairs[0].lr or found.pairs[0].lr_up:
        raise UserError(
            f"the kernel {lr_kernel} cannot make LR pictures, they are there, in {there.parent}: leave it out, or "
            "name a folder of HR pictures alone"
        )
    return replace(found, pairs=[replace(pair, lr_kernel=lr_kernel) for pair in found.pairs])


def _prepared(folders, scale):
    high = list_images(folders.hr)
    pairs = match(high, list_images(folders.lr), scale) if folders.lr else without_partners(high)
    if folders.lr_up:
        enlarged = match(high, list_images(folders.lr_up), scale)
        pairs = [replace(pair, lr_up=each.lr) for pair, each in zip(pairs, enlarged, strict=True)]
    return PictureSet(pairs, "folder and name")


def _laid_out(folder, scale, split, alone):
    """Find the pictures of :func:`find_sets`; ``alone``: those of HR alone, whose LR is to be made."""
    sets, places, named = find_sets(folder, 1 if alone else scale, split)
    highs = [high for high, _ in sets]
    parts, rule = _paired(sets, 1 if alone else scale)
    with_lr = {part[0].lr is not None: part[0].hr.parent for part in parts}
    if len(with_lr) == 2:
        raise UserError(f"{folder} holds LR of {with_lr[True]}, but none of {with_lr[False]}: name one of them")
    if True not in with_lr and scale > 1:
        places += lr_beside(folder)
        if not (alone or named):
            refuse_two_sizes(folder, [pair.hr for part in parts for pair in part], scale)
    taken = {path for part in parts for pair in part for path in (pair.hr, pair.lr)}
    left = {place.folder: len({*place.pictures} - taken) for place in [*highs, *places]}
    pairs = [pair for part in parts for pair in part]
    if len(parts) > 1:  # folders may hold pictures of the same names
        common = os.path.commonpath([high.folder for high in highs])
        pairs = [replace(pair, name="_".join((*pair.hr.parent.relative_to(common).parts, pair.name))) for pair in pairs]
    return PictureSet(pairs, rule, {place: count for place, count in left.items() if count})


def _paired(sets, scale):
    """Return the pairs of each set, by the first rule that finds any, and that rule."""
    if any(low for _, low in sets):
        pairs = [
            match(high.pictures, low.pictures, scale) if low else without_partners(high.pictures) for high, low in sets
        ]
        return pairs, "folder and name"
    pictures = [high.pictures for high, _ in sets]
    if any(within := [match_within(each, scale) for each in pictures]):
        pairs = [part or without_partners(each) for part, each in zip(within, pictures, strict=True)]
        return pairs, "the files' names"
    if scale > 1 and len(pictures) == 2:
        for two in (pictures, pictures[::-1]):
            if pairs := match_by_size(*two, scale):
                return [pairs], "name and size"
    return [without_partners(each) for each in pictures], ""


def list_pictures(folder):
    """List the HR pictures of a folder, or of its subfolders, in any layout of :mod:`src.dataset.layouts`."""
    return [pair.hr for pair in find_pairs(hr=folder, scale=1)]


def shared_pictures(pairs, others):
    """Return those of ``pairs`` whose HR file, however its path is written, is the HR file of one of ``others``."""
    files = {pair.hr.resolve() for pair in others}
    return [pair for pair in pairs if pair.hr.resolve() in files]


def load_pair(pair, scale):
    """Read HR, uint8 (H, W, 3), cropped to a multiple of ``scale``, and LR, uint8 (H/scale, W/scale, 3).

    An absent LR is made by the pair's ``degrade``, or else by its kernel; at scale 1 that leaves HR itself.
    """
    hr = read_rgb(pair.hr)
    lr = None if pair.lr is None else read_rgb(pair.lr)
    height, width = _fitting_size(pair, hr.shape[:2], None if lr is None else lr.shape[:2], scale)
    hr = hr[: height * scale, : width * scale]
    if lr is not None:
        return hr, lr[:height, :width]
    if pair.degrade:
        return hr, pair.degrade(hr, scale)
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
    floor = tuple(n // scale for n in hr_size)
    if lr_size is not None and not fits(hr_size, lr_size, scale):
        problem = f"should be {_by(floor)}, a {scale}th of {pair.hr} ({_by(hr_size)}), but is {_by(lr_size)}"
        raise UserError(f"{pair.lr} {problem}: check the scale and the folders")
    return floor


def is_damage(error):
    """Tell whether a UserError says that a file was read and is no whole picture."""
    cause = error.__cause__  # none where sizes do not fit; the operating system's errors have a number
    return cause is not None and getattr(cause, "errno", None) is None


def _by(size):  # as people write it: width×height
    return f"{size[1]}×{size[0]}"


def prepared_lr_up(pair, lr, scale):
    """Return {"lr_up": [uint8 (H, W, 3)]} for ``Upscaler.upscale`` where a pair's LR↑ is prepared, or {}."""
    return {} if pair.lr_up is None else {"lr_up": [load_lr_up(pair, [n * scale for n in lr.shape[:2]])]}
