"""Where the pictures of a data set lie: the official folders, however they were unpacked, or any folder."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..imaging.io import list_images
from .layouts import child, lr_beside, require_folder, subfolders
from .matching import match
from .pairs import PictureSet, find_picture_set


@dataclass(frozen=True)
class Layout:
    """One form in which a data set is given out; "A/B" is the folder B of a folder A."""

    train: str  # the folder of HR pictures to train on
    val: str = ""  # that of those to validate on; empty where there are none
    train_lr: str = ""  # folder of official LR pictures with one subfolder per scale; empty where there is none
    val_lr: str = ""
    subfolders: bool = False  # the pictures may lie in subfolders of train and val
    beside: bool = False  # val is looked for where train is, and nowhere else: others have folders of that name, too
    val_from: int | None = None  # pictures whose names are numbers from this one on are to validate on


# The README of github.com/NVlabs/ffhq-dataset: 70,000 pictures in folders of 1000, the last 10,000 for validation.
_FFHQ = {"subfolders": True, "val_from": 60_000}

# data set: its forms; the first that is there is taken
OFFICIAL = {
    "div2k": (Layout("DIV2K_train_HR", "DIV2K_valid_HR", "DIV2K_train_LR_bicubic", "DIV2K_valid_LR_bicubic"),),
    "flickr2k": (Layout("Flickr2K_HR", train_lr="Flickr2K_LR_bicubic"),),
    "ffhq": (Layout("images1024x1024", **_FFHQ), Layout("thumbnails128x128", **_FFHQ)),
    "celebahq": (
        Layout("CelebA-HQ-img"),  # CelebAMask-HQ
        Layout("celeba_hq/train", "celeba_hq/val", subfolders=True),  # StarGAN v2: female/ and male/ in each
        Layout("celeba_hq_256"),  # as resized for Kaggle
        Layout("data1024x1024"),
        Layout("data256x256"),
    ),
    "imagenet": (
        Layout("CLS-LOC/train", "CLS-LOC/val", subfolders=True),  # ILSVRC/Data/CLS-LOC
        Layout("ILSVRC2012_img_train", "ILSVRC2012_img_val", subfolders=True),  # named as the archives are
        Layout("train", "val", subfolders=True, beside=True),
    ),
}  # fmt: skip
DATASETS = (*OFFICIAL, "folder")

_DEPTH = 4  # folders below the root that are searched: Flickr2K/Flickr2K_HR/Flickr2K_HR and one more
_LARGEST_VAL_COUNT = 10


def find_sources(root, datasets, scale, val_count=None, split=None):
    """Find the pictures of the named data sets, out of :data:`DATASETS`, below the folder ``root``.

    A data set without validation pictures of its own gives its last ones by name. So does one that has some if
    ``val_count`` asks for it: its own, on which results are published, are then the test's.

    Args:
        scale: integer factor; LR pictures of other scales are not looked at. None looks for no LR pictures.
        val_count: training pictures set aside from each data set; 0 leaves a data set its own validation pictures,
            as None does. By default none where one of ``datasets`` has some, else a tenth, at least 1 and at most 10.
        split: put all pictures there, ``"train"``, ``"val"`` or ``"test"``, and set none aside.

    Returns:
        {"train": pairs, "val": pairs}, and "test" where there are pictures for it, or {split: pairs}; and the list of
        messages about what was set aside, paired and left out.
    """
    root, messages = require_folder(root), []
    found = [(dataset, _find(root, dataset, scale, split or "train", messages)) for dataset in datasets]
    if split:
        return {split: [pair for _, splits in found for pairs in splits.values() for pair in pairs]}, messages
    has_val = any(splits["val"] for _, splits in found)
    result = {"train": [], "val": []}
    for dataset, splits in found:
        if splits["val"] and val_count:
            splits = _set_aside(dataset, splits["train"], val_count) | {"test": splits["val"]}
            taken = f"the last {val_count} training pictures by name are set aside for validation"
            messages.append(f"{dataset}: {taken}, its own validation pictures are kept for the test")
        elif not splits["val"]:
            count = val_count
            if count is None:
                count = 0 if has_val else max(1, min(_LARGEST_VAL_COUNT, len(splits["train"]) // 10))
            splits = _set_aside(dataset, splits["train"], count)
            taken = f"the last {count} by name are set aside" if count else "all are trained on"
            messages.append(f"{dataset}: no validation pictures found, {taken}")
        for name, pairs in splits.items():
            result.setdefault(name, []).extend(pairs)
    return result, messages


def _set_aside(dataset, pairs, count):
    if not 0 <= count < len(pairs):
        raise UserError(f"{dataset} has {len(pairs)} pictures, {count} cannot be set aside: lower --val-count")
    return {"train": pairs[: len(pairs) - count], "val": pairs[len(pairs) - count :]}


def _find(root, dataset, scale, split, messages):
    """Return {"train": pairs, "val": pairs or []} of one data set; add to the messages what there is to tell."""
    if dataset == "folder":
        found = find_picture_set(root, scale=scale or 1, split=split)
        messages += [f"folder: {line}" for line in found.told(scale or 1)]
        return {"train": found.pairs, "val": []}
    for layout in OFFICIAL[dataset]:
        if train := _find_below(root, layout.train, layout.subfolders):
            return _splits(root, layout, train, scale, messages)
    names = " or ".join(layout.train for layout in OFFICIAL[dataset])
    raise UserError(f"no folder {names} with pictures in {root}: unpack {dataset} there or name its folder")


def _splits(root, layout, train, scale, messages):
    splits = {"train": _pairs(train, _find_low(root, layout.train_lr, scale), scale, messages), "val": []}
    if val := _find_val(root, layout, train):
        splits["val"] = _pairs(val, _find_low(root, layout.val_lr, scale), scale, messages)
    if layout.val_from is not None:
        pairs = splits["train"]
        late = {pair for pair in pairs if pair.hr.stem.isdecimal() and int(pair.hr.stem) >= layout.val_from}
        if len(late) < len(pairs):
            splits = {"train": [p for p in pairs if p not in late], "val": [p for p in pairs if p in late]}
    return splits


def _pairs(high, low, scale, messages):
    """Pair an official folder of HR with that of its LR, or with the LR to be made; tell of other LR beside it."""
    pairs = (
        match(list_images(high), list_images(low), scale, spare_low=True)
        if low
        else find_picture_set(hr=high, scale=1).pairs
    )
    beside = lr_beside(high) if scale else []
    aside = {place.folder: len(place.pictures) for place in beside if place.suits(scale) and place.folder != low}
    lines = PictureSet(pairs, "folder and name", aside).told(scale or 1)
    messages += lines if aside else lines[1:]
    return pairs


def _find_val(root, layout, train):
    if not layout.beside:
        return _find_below(root, layout.val, layout.subfolders) if layout.val else None
    inside = train != Path(root).absolute()  # else the folder beside it is not the root's
    val = child(train.parent, layout.val) if inside else None
    return val if val and _has_pictures(val, layout.subfolders) else None


def _find_low(root, name, scale):
    if not name or scale is None:
        return None
    candidates = (name, f"{name}_X{scale}")  # the second is what the zip's own name gives
    return next(filter(None, (_find_below(root, f"{candidate}/X{scale}") for candidate in candidates)), None)


def _find_below(root, path, in_subfolders=False):
    """Return the uppermost folder at or below ``root`` that has this name, in any case, and holds pictures, or None."""
    name, _, inner = path.partition("/")
    level = [Path(root).absolute()]
    for _ in range(_DEPTH + 1):
        for folder in level:
            if folder.name.lower() == name.lower():
                target = child(folder, inner) if inner else folder
                if target and _has_pictures(target, in_subfolders):
                    return target
        level = [entry for folder in level for entry in subfolders(folder)]
    return None


def _has_pictures(folder, in_subfolders):
    for each in [folder, *(subfolders(folder) if in_subfolders else [])]:
        with contextlib.suppress(UserError):  # none in this one
            return bool(list_images(each))
    return False
