"""In which folders HR pictures and their LR lie: as preprocessing wrote them, or told by the words of the paths."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from ..imaging.io import list_images
from .manifest import read_manifest
from .matching import holds_both, match_by_size


class Word(NamedTuple):
    """What a word of a path, in small letters, says of the pictures below; its group ``scale`` is HR / LR."""

    pattern: str
    role: str = ""  # "HR" or "LR"; "version": more of an LR
    rank: int = 0  # of several HR, or versions of LR, the lowest is taken
    scale: int | None = None  # where the pattern has no such group


# docs/layouts.md shows whose these are. Words are parted by all but letters and digits: DIV2K_train_LR_bicubic/X4
WORDS = (
    Word(r"hr|gt|hq", "HR"),
    Word(r"gtmod\d+", "HR", 1),
    Word(r"original", "HR", 2),
    Word(r"l[rq](x?(?P<scale>\d))?", "LR"),
    Word(r"(lrbic?|biclr)(x(?P<scale>\d))?", "LR", 1),
    Word(r"lr(bd|dn)", "LR", 2),
    Word(r"bi|bic|bicubic", "version", 1),
    Word(r"unknown", "version", 2),
    Word(r"mild|difficult|wild", "version", 2, scale=4),
    Word(r"(x|srf)(?P<scale>\d\d?)"),  # alone, it is LR if the sizes are so
)
_SPLITS = {"train": {"train", "training"}, "val": {"val", "valid", "validation"}, "test": {"test", "testing"}}
_LOW = "LR", "scale"  # roles of a :class:`Place`
_DEPTH = 4  # folders below a data set's that are searched
_OF_SQUARES = re.compile(r"(hr|lr)_(\d+)|(sr)_(\d+)_(\d+)")


class Folders(NamedTuple):
    """Where preprocessed pictures lie, as in :class:`src.dataset.pairs.Pair`."""

    hr: Path
    lr: Path | None = None
    lr_up: Path | None = None


@dataclass(frozen=True, eq=False)
class Place:
    """A folder that holds pictures, and what its path says of them."""

    folder: Path
    pictures: list[Path]
    role: str  # "HR", "LR", "scale" where it says no more than that, or "" where it does not say
    rank: int  # as of :class:`Word`
    scale: int | None  # HR / LR, if it says so
    of: frozenset  # its other words: those of an HR folder and of its LR are the same

    @property
    def order(self):
        return self.rank, len(self.folder.parts), self.folder

    def suits(self, scale):
        return scale == 1 or self.scale in (None, scale)


class Sets(NamedTuple):
    """What :func:`find_sets` found."""

    sets: list[tuple[Place, Place | None]]  # HR, and its LR where there is any
    aside: list[Place]  # not taken
    named: bool  # whether a path, or the name of ``data``, says that these are HR


def find_folders(data, scale, split="val"):
    """Return the :class:`Folders` of preprocessed pictures that ``data`` means, None where they are laid otherwise.

    It may be a split written by ``div2k_preprocess.py`` (``X1``, ``X4``), such an output's root (then ``split`` is
    taken; for ``test``, where there is none, ``val``), or a folder of squares (``hr_128``, and perhaps ``lr_16`` and
    ``sr_16_128``).
    """
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
    return None


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


def find_sets(data, scale, split="val"):
    """Find the HR folders at and below ``data``, and the LR of ``scale`` of each, as :class:`Sets`.

    HR lies in folders that say so; else in ``data`` itself; else in all that do not say LR. Its LR are in the folder
    whose path, but for the words of :data:`WORDS`, is the same. Where folders name splits, those of ``split`` are
    taken. At the scale 1 there is no LR.
    """
    data = require_folder(data)
    places = [*places_below(data)]
    if not places:
        raise UserError(f"no pictures in {data} or its subfolders: check the name")
    here = _of_split(places, split)
    highs = _highs(data, here, scale)
    lows = [place for place in here if place.role in _LOW and place.scale in (None, scale) and scale > 1]
    found = [(high, _low_of(high, lows, scale, alone=len(highs) == 1)) for high in highs]
    taken = [place for pair in found for place in pair]
    named = found[0][0].role == "HR" or _told((data.absolute().name,))["role"] == "HR"
    return Sets(found, [place for place in places if place not in taken], named)


def _highs(data, places, scale):
    named = [place for place in places if place.role == "HR"]
    if highs := [place for place in named if place.suits(scale)]:
        first = {}
        for place in sorted(highs, key=lambda place: place.order):
            first.setdefault(place.of, place)
        return sorted(first.values(), key=lambda place: place.folder)
    if named:
        scales = ", ".join(sorted({f"x{place.scale}" for place in named}))
        raise UserError(f"{data} holds HR pictures for {scales}, none for x{scale}: name another scale or folder")
    plain = [place for place in places if not place.role and place.suits(scale)]
    if not plain:
        low = places[0].folder.relative_to(data)
        problem = f"{data} holds no pictures itself and its subfolder {low} looks like LR pictures"
        raise UserError(f"{problem}: name the folder of HR pictures")
    return plain[:1] if plain[0].folder == data else plain


def _low_of(high, lows, scale, alone):
    """Return the LR of the same words as HR, or if there is only one of each that one; None if there is none."""
    lows = [low for low in lows if low.role == "LR" or match_by_size(high.pictures, low.pictures, scale)]
    same = [low for low in lows if low.of == high.of] or (lows if alone and len(lows) == 1 else [])
    return min(same, key=lambda low: low.order, default=None)


def _of_split(places, split):
    """Return the places of a split, where their paths name more than one; those that name none are for training."""
    named = [{name for name, words in _SPLITS.items() if words & place.of} for place in places]
    there = set().union(*named)
    split = "val" if split == "test" and "test" not in there else split
    if split not in there or len(there) == 1:
        return places
    return [
        place for place, names in zip(places, named, strict=True) if split in names or not names and split == "train"
    ]


def lr_beside(folder):
    """Return the places of LR beside a folder of HR pictures: DIV2K_train_LR_unknown/X4 beside DIV2K_train_HR."""
    folder = folder if folder.name else folder.absolute()
    of = _told((folder.name,))["of"]
    siblings = [
        entry for entry in subfolders(folder.parent) if entry != folder and _told((entry.name,))["role"] in _LOW
    ]
    return [
        place
        for entry in siblings
        for place in places_below(folder.parent, entry)
        if place.role in _LOW and place.of == of
    ]


def places_below(data, folder=None, seen=None) -> Iterator[Place]:
    """Yield the folders with pictures at and below ``folder``, ``data`` itself by default, but those we wrote."""
    folder, seen = folder or data, set() if seen is None else seen
    parts = folder.relative_to(data).parts
    real = folder.resolve()
    if real in seen or (parts and _is_ours(folder)):  # a link leads back; an output among what it is made of
        return
    seen.add(real)
    with contextlib.suppress(UserError):  # none in this one
        pictures, told = list_images(folder), _told(parts)
        if told["role"] in _LOW and holds_both(pictures):
            told["role"] = ""
        yield Place(folder, pictures, **told)
    for entry in subfolders(folder) if len(parts) < _DEPTH else ():
        yield from places_below(data, entry, seen)


def _is_ours(folder):
    with contextlib.suppress(UserError):
        return read_manifest(folder) is not None
    return False


def _told(parts):
    """Return what the parts of a path say, by :data:`WORDS`; for the role the last that names one counts."""
    role, rank, scale, of, version = "", 0, None, set(), {}
    for part in parts:
        words = re.split(r"[\W_]+", re.sub(r"(srf)[ _-]?(?=\d)", r"\1", part.lower()))
        told = {word: _look_up(word) for word in words if word}
        roles = {found.role: found.rank for found, _ in told.values() if found.role in ("HR", "LR")}
        if len(roles) == 1:
            ((role, rank),) = roles.items()
        of |= {word for word, (found, _) in told.items() if not found.pattern}
        version |= {word: (found.rank, found.scale) for word, (found, _) in told.items() if found.role == "version"}
        scale = next((number for _, number in reversed(told.values()) if number), scale)
    if not role and (scale or 1) > 1:
        role = "scale"
    if role == "LR":
        rank, implied = max([(rank, None), *version.values()], key=lambda found: found[0])
        return {"role": role, "rank": rank, "scale": scale or implied, "of": frozenset(of)}
    return {"role": role, "rank": rank, "scale": scale, "of": frozenset(of | set(version))}


def _look_up(word):
    for known in WORDS:
        if found := re.fullmatch(known.pattern, word):
            return known, int(found.groupdict().get("scale") or 0)
    return Word(""), 0


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
