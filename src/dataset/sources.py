"""Where the pictures of a data set lie: the official folders, however they were unpacked, or any folder."""

from pathlib import Path

from src.dataset.pairs import child, find_folders, match, require_folder, without_partners
from src.errors import UserError
from src.imaging.io import list_images

# data set: split: (HR folder, LR folder with one subfolder per scale)
OFFICIAL = {
    "div2k": {
        "train": ("DIV2K_train_HR", "DIV2K_train_LR_bicubic"),
        "val": ("DIV2K_valid_HR", "DIV2K_valid_LR_bicubic"),
    },
    "flickr2k": {"train": ("Flickr2K_HR", "Flickr2K_LR_bicubic")},
}
DATASETS = (*OFFICIAL, "folder")
_DEPTH = 4  # folders below the root that are searched: Flickr2K/Flickr2K_HR/Flickr2K_HR and one more
_LARGEST_VAL_COUNT = 10


def find_sources(root, datasets, scale, val_count=None):
    """Find the pictures of the named data sets below ``root``.

    A data set without validation pictures of its own gives its last ones by name. So does one that has some if
    ``val_count`` asks for it: its own, on which results are published, are then the test's.

    Args:
        root: folder that holds the data sets.
        datasets: names out of ``DATASETS``, in the order in which their pictures are to come.
        scale: integer factor; LR pictures of other scales are not looked at.
        val_count: training pictures set aside from each data set; 0 leaves a data set its own validation pictures,
            as None does. By default none where one of ``datasets`` has some, else a tenth, at least 1 and at most 10.

    Returns:
        {"train": [...], "val": [...]} of :class:`src.dataset.pairs.Pair`, and "test" where there are pictures for it;
        and the list of messages about what was set aside.

    Raises:
        UserError: a data set is not there or incomplete, or ``val_count`` leaves nothing to train on.
    """
    root = require_folder(root)
    found = [(dataset, _find(root, dataset, scale)) for dataset in datasets]
    has_val = any(splits["val"] for _, splits in found)
    result, messages = {"train": [], "val": []}, []
    for dataset, splits in found:
        if splits["val"] and val_count:
            splits = _set_aside(dataset, splits["train"], val_count) | {"test": splits["val"]}
            messages.append(
                f"{dataset}: the last {val_count} training pictures by name are set aside for validation, its own "
                "validation pictures are kept for the test"
            )
        elif not splits["val"]:
            count = val_count if val_count is not None else 0 if has_val else _default_count(len(splits["train"]))
            splits = _set_aside(dataset, splits["train"], count)
            taken = f"the last {count} by name are set aside" if count else "all are trained on"
            messages.append(f"{dataset}: no validation pictures found, {taken}")
        for split, pairs in splits.items():
            result.setdefault(split, []).extend(pairs)
    return result, messages


def _find(root, dataset, scale):
    """Return {"train": pairs, "val": pairs or []} of one data set."""
    if dataset == "folder":
        high, low = find_folders(root, scale, "train")
        return {"train": match(high, low, scale) if low else without_partners(high), "val": []}
    splits = {"train": [], "val": []}
    for split, (high_name, low_name) in OFFICIAL[dataset].items():
        high = find_below(root, high_name)
        if high is None and split == "train":
            raise UserError(f"no folder {high_name} with pictures in {root}: unpack {dataset} there or name its folder")
        if high is not None:
            low = _find_low(root, low_name, scale)
            splits[split] = match(high, low, scale, spare_low=True) if low else without_partners(high)
    return splits


def _find_low(root, name, scale):
    """Return the folder of official LR pictures of one scale, or None."""
    for candidate in (name, f"{name}_X{scale}"):  # the second is what the zip's own name gives
        if low := find_below(root, candidate, f"X{scale}"):
            return low
    return None


def find_below(root, name, inner=None):
    """Return the uppermost folder at or below ``root`` that has this name, in any case, and holds pictures.

    Args:
        root: where to look, up to four folders deep.
        name: the folder's name.
        inner: return its subfolder of this name, which must hold the pictures, in its place.
    """
    level = [Path(root).absolute()]
    for _ in range(_DEPTH + 1):
        for folder in level:
            if folder.name.lower() == name.lower():
                target = child(folder, inner) if inner else folder
                if target and _has_pictures(target):
                    return target
        level = [entry for folder in level for entry in _subfolders(folder)]
    return None


def _subfolders(folder):
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_dir())
    except PermissionError:
        return []


def _has_pictures(folder):
    try:
        return bool(list_images(folder))
    except UserError:
        return False


def _default_count(length):
    return max(1, min(_LARGEST_VAL_COUNT, length // 10))


def _set_aside(dataset, pairs, count):
    """Split the last ``count`` pairs off for validation."""
    if not 0 <= count < len(pairs):
        raise UserError(f"{dataset} has {len(pairs)} pictures, {count} cannot be set aside: lower --val-count")
    return {"train": pairs[: len(pairs) - count], "val": pairs[len(pairs) - count :]}
