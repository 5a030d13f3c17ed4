"""Which file of HR and which of LR are the same picture: told by their names, then by their sizes."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..imaging.io import picture_size

# affixes of files' stems, "_" standing for any of " _-" or none behind a digit: baby_HR, LR_baby, 0001x4, a_SRF_4_LR
_HR = "hr|gt|hq"
_LR = "lr(?:bic?|bd|dn|(?P<{}>[2-9]))?|lq"


@dataclass(frozen=True)
class Pair:
    """One HR picture and its partners; ``lr`` None: it is to be made; ``lr_up``: LR enlarged, where it is prepared."""

    name: str
    hr: Path
    lr: Path | None = None
    lr_up: Path | None = None
    lr_kernel: str = "bicubic"  # how LR is made, one of ``src.imaging.resize.LR_KERNELS``
    degrade: Callable | None = None  # makes LR in its place, of (HR, scale)


def without_partners(pictures):
    """Pair each picture with the LR to be made; two of one name keep their suffixes."""
    count = Counter(path.stem for path in pictures)
    return [Pair(path.stem if count[path.stem] == 1 else path.name, path) for path in pictures]


def match(high, low, scale, spare_low=False):
    """Pair the pictures of HR and of LR by name; with ``spare_low`` an LR picture needs no partner."""
    folders = high[0].parent, low[0].parent
    high, low = (_by_shared_name(pictures, scale) for pictures in (high, low))
    for name in [*high, *low]:
        if name not in low:
            raise UserError(f"{high[name].name} of {folders[0]} has no partner in {folders[1]}: complete the LR folder")
        if name not in high and not spare_low:
            raise UserError(f"{low[name].name} of {folders[1]} has no partner in {folders[0]}: complete the HR folder")
    return [Pair(_read_name(path, scale)[0], path, low[name]) for name, path in high.items()]


def _by_shared_name(pictures, scale):
    found = {}
    for path in pictures:
        other = found.setdefault(_read_name(path, scale)[0].lower(), path)
        if other is not path:
            problem = f"{other.name} and {path.name} in {path.parent} are the same picture by name"
            raise UserError(f"{problem}: remove one")
    return found


def _read_name(path, scale):
    """Return a file's stem without the affixes that tell HR and LR apart, and which it is: "HR", "LR" or "".

    "LR" is one of ``scale``, for 1 of any; one that is of another is "other".
    """
    name, found, factor = path.stem, {}, scale if scale > 1 else "[2-9]"
    affix = re.compile(
        rf"(?:[ _-]+|(?<=[0-9]))(?:(?P<hr>{_HR})|(?P<lr>{_LR.format('n')})|bicubic)$"
        rf"|[ _-]*(?:srf[_-]?{factor}|(?P<x>x{factor}(?:m|d|w[0-9]?)?))$"
        rf"|^(?:(?P<hr_>{_HR})|(?P<lr_>{_LR.format('n_')}))[ _-]+",
        re.IGNORECASE,
    )
    while (part := affix.search(name)) and (shorter := name[: part.start()] + name[part.end() :]):
        found |= {key: text for key, text in part.groupdict().items() if text}
        name = shorter
    if found.keys() & {"hr", "hr_"}:
        return name, "HR"
    if scale > 1 and {found[key] for key in ("n", "n_") if key in found} - {str(scale)}:
        return name, "other"
    return name, "LR" if found else ""


def holds_both(pictures):
    """Tell whether the names of some of the pictures say HR and of some LR."""
    return {"HR", "LR"} <= {_read_name(path, 1)[1] for path in pictures}


def match_within(pictures, scale):
    """Pair the pictures of one folder by their affixes; None where no two of them belong together.

    HR are those that say so, or else those that say nothing. Where all LR are of other scales, HR have no partners.
    """
    told = [(path, *_read_name(path, scale)) for path in pictures]
    role = "HR" if any(role == "HR" for *_, role in told) else ""
    high = {name.lower(): path for path, name, said in told if said == role}
    low = {name.lower(): path for path, name, said in told if said == "LR"}
    if not any(name.lower() in high for _, name, said in told if said in ("LR", "other")):
        return None
    both = high.keys() & low.keys()
    if not role and scale > 1 and not any(fits(_size(high[name]), _size(low[name]), scale) for name in both):
        return None  # b_x4 is b enlarged
    if scale == 1 or not low:
        return without_partners([path for path, _, said in told if said == role])
    return match(*([path for path, _, said in told if said == wanted] for wanted in (role, "LR")), scale)


def match_by_size(high, low, scale):
    """Pair pictures of the same names, all of HR ``scale`` times as large as those of LR; None where they are not."""
    names = [sorted(_read_name(path, scale)[0].lower() for path in pictures) for pictures in (high, low)]
    if names[0] != names[1]:
        return None
    pairs = match(high, low, scale)
    return pairs if all(fits(_size(pair.hr), _size(pair.lr), scale) for pair in pairs) else None


def fits(hr_size, lr_size, scale):
    """Tell whether LR is HR / scale, rounded down, or up where HR was not cropped to a multiple."""
    lr_sizes = tuple(n // scale for n in hr_size), tuple(-(-n // scale) for n in hr_size)
    return min(hr_size, default=0) >= scale and tuple(lr_size) in lr_sizes


def refuse_two_sizes(folder, pictures, scale):
    """Refuse pictures most of which are ``scale`` times as large as others, or others so much larger than they."""
    example = {}  # size: a picture
    count = Counter()
    for path in pictures:
        if size := _size(path):
            count[size] += 1
            example.setdefault(size, path)
    partners = {
        size: low
        for size in count
        for rows in {size[0] // scale, -(-size[0] // scale)}
        for columns in {size[1] // scale, -(-size[1] // scale)}
        if (low := (rows, columns)) in count and fits(size, low, scale)
    }
    if 2 * sum(count[size] for size in {*partners, *partners.values()}) > count.total():
        size, low = next(iter(partners.items()))
        high_name, low_name = (f"{example[n].name} ({n[1]}×{n[0]})" for n in (size, low))
        raise UserError(
            f"{folder} holds pictures of sizes that are {scale} times apart, such as {high_name} and {low_name}, and "
            "nothing tells which belong together: name them with --hr DIR --lr DIR, or lay them in folders HR and LR"
        )


def _size(path):
    try:
        return picture_size(path)
    except UserError:  # whoever reads it tells
        return ()
