"""Preprocessing: from the pictures that were found to a plan, and from the plan to files, in one process or in many."""

import logging
import os
from itertools import chain

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..errors import UserError
from ..host.files import locked
from ..imaging.io import picture_size, read_rgb
from ..imaging.resize import area_resize, imresize
from .manifest import begin, finish, is_whole, output_paths, read_manifest, write_png
from .pairs import check_headers, load_pair
from .shards import Shard, begin_shard, collect, in_turn
from .workers import in_processes

CROPS = ("centre", "largest")
RESAMPLERS = {"bicubic": lambda picture, size: imresize(picture, size=size), "area": area_resize}

_LOGGER = logging.getLogger(__name__)


def make_plan(sources, root, options):
    """Give each picture its range of output numbers; where patches are cut, the headers of all of them tell.

    Args:
        sources: {split: pairs}; see :func:`src.dataset.sources.find_sources`.
        root: folder that the pictures are named relative to.
        options: {"scale", "patch_size", "stride", …}, or {"sizes", "crop", "resample", …} for squares.

    Returns:
        A manifest (plain values), not ``complete``. Each split lists for each source picture its ``name``; ``size``,
        [height, width] of the file; ``tile``, [height, width] of its output HR pictures; ``first`` and ``count``, its
        range of output numbers; ``lr``, "official" or "made"; ``error``, None or why it was left out. A picture whose
        header is broken gets no numbers, one that turns out broken later keeps its own: no other's depend on it.
        Squares are one for each picture, and no header is read: there is no ``size``, and ``small`` tells whether the
        picture was left out as smaller than the square.
    """
    splits = {}
    for split, pairs in sources.items():
        entries, first = [], 0
        for pair in pairs:
            name = pair.hr.absolute().relative_to(root).as_posix()
            entry = {"name": name, "lr": "official" if pair.lr else "made"}
            if "sizes" in options:
                tile = [options["sizes"][-1]] * 2
                entry |= {"tile": tile, "first": first, "count": 1, "error": None, "small": False}
            else:
                entry |= _patches_of(pair, split, first, options)
            entries.append(entry)
            first += entry["count"]
        broken = [entry["error"] for entry in entries if entry["error"]]
        if entries and len(broken) == len(entries):
            raise UserError(f"none of the {len(entries)} pictures for {split} can be used; the first: {broken[0]}")
        splits[split] = {"files": 0, "sources": entries}
    largest = max(sum(entry["count"] for entry in split["sources"]) for split in splits.values())
    return {"complete": False, "options": options, "digits": max(4, len(str(largest - 1))), "splits": splits}


def _patches_of(pair, split, first, options):
    try:
        size, lr_size = check_headers(pair, options["scale"])
    except UserError as error:
        return {"size": None, "tile": None, "first": first, "count": 0, "error": str(error)}
    tile, count, patch_size = [n * options["scale"] for n in lr_size], 1, options["patch_size"]
    if split == "train" and min(tile) >= patch_size:
        count = len(tile_corners(*tile, patch_size, options["stride"]))
        tile = [patch_size] * 2
    return {"size": list(size), "tile": tile, "first": first, "count": count, "error": None}


def tile_corners(height, width, patch_size, stride):
    """Return the (top, left) corners of the patches that cover a picture, row by row, ``stride`` apart.

    The last row and column end with the picture. One smaller than a patch is taken whole: one corner, (0, 0).
    """
    if min(height, width) < patch_size:
        return [(0, 0)]
    rows, columns = ([*range(0, n - patch_size, stride), n - patch_size] for n in (height, width))
    return [(top, left) for top in rows for left in columns]


def preprocess(sources, plan, output, workers=1, force=False, shard=None):
    """Write the pictures of ``plan``, which was made of ``sources``, that are not there yet; return the manifest.

    In it, sources that could not be used have their ``error`` set; they are logged, too. ``workers`` are processes, of
    which 1 is this one; ``force`` replaces what another plan has left in the folder ``output``. A :class:`Shard` writes
    its own pictures only, and the manifest is not ``complete`` before all shards are done.
    """
    try:
        with logging_redirect_tqdm():
            if shard:
                return _preprocess_shard(sources, plan, output, workers, shard)
            with locked(output):
                begin(output, plan, force)
                _write(sources, plan, output, workers, Shard(1, 1))
                _count(plan)
                finish(output, plan)
    except OSError as error:
        remedy = "free some space or name another folder"
        raise UserError(f"cannot write to {output}: {error.strerror}; {remedy}") from error
    return plan


def _preprocess_shard(sources, plan, output, workers, shard):
    with locked(shard.folder(output)):
        with in_turn(output):
            if not begin_shard(output, plan, shard):
                return read_manifest(output)
        _write(sources, plan, output, workers, shard)
        os.sync()  # the one that completes the output may be another machine
        with in_turn(output):
            if collect(output, plan, shard):
                _count(plan)
                finish(output, plan)
    return plan


def _write(sources, plan, output, workers, shard):
    """Write the shard's pictures that are not all there; note in their entries, and log, what became of them."""
    for entry in shard.entries(plan):
        _report(entry)
    tasks = []  # (entry, arguments to write it)
    pairs = [(pair, split) for split, pairs in sources.items() for pair in pairs]
    for (pair, split), entry in zip(shard.own(pairs), shard.entries(plan), strict=True):
        arguments = (entry, output / split, plan["options"], plan["digits"])
        if entry["error"] is None and not all(map(is_whole, chain.from_iterable(output_paths(*arguments)))):
            tasks.append((entry, (pair, *arguments)))
    results = in_processes(write_square if "sizes" in plan["options"] else write_patches, tasks, workers)
    for entry, outcome in tqdm(results, total=len(tasks), unit="picture", desc="preprocess", disable=not tasks):
        entry.update(outcome)
        _report(entry)


def _report(entry):
    if entry["error"] is not None:
        _LOGGER.warning("skipped %s: %s", entry["name"], entry["error"])


def _count(plan):
    """Note how many files each split has, and tell of pictures too small for a square; refuse a split without any."""
    for name, split in plan["splits"].items():
        sources = split["sources"]
        small = [entry for entry in sources if entry.get("small")]
        split["files"] = sum(entry["count"] for entry in sources if entry["error"] is None and not entry.get("small"))
        if small:
            words = f"{len(small)} of {len(sources)} pictures are smaller than {small[0]['tile'][0]}"
            _LOGGER.warning("%s: %s, first %s: they are left out", name, words, small[0]["name"])
        if not split["files"] and any("small" in entry for entry in sources):  # of patches the plan has, by the headers
            broken = [entry["error"] for entry in sources if entry["error"]]
            why = f"the first: {broken[0]}" if broken else "all are too small: lower --sizes, or name others"
            remedy = "; or set more aside with a larger --val-count" if name == "val" else ""
            raise UserError(f"none of the {len(sources)} pictures for {name} can be used; {why}{remedy}")


def write_patches(pair, entry, split_folder, options, digits):
    """Write the HR and LR patches of a picture, or nothing; return {"error": None or why it cannot be used}."""
    scale = options["scale"]
    try:
        hr, lr = load_pair(pair, scale)
    except UserError as error:
        return {"error": str(error)}
    size = [n // scale * scale for n in entry["size"]]
    if list(hr.shape[:2]) != size:
        return {"error": f"{pair.hr} is not of the size its header says: replace or remove it"}
    height, width = entry["tile"]
    corners = [(0, 0)] if entry["tile"] == size else tile_corners(*size, options["patch_size"], options["stride"])
    for (top, left), paths in zip(corners, output_paths(entry, split_folder, options, digits), strict=True):
        for picture, path, by in zip((hr, lr), paths, (1, scale), strict=True):
            write_png(path, picture[top // by : (top + height) // by, left // by : (left + width) // by])
    return {"error": None}


def write_square(pair, entry, split_folder, options, digits):
    """Write the square of a picture, its LR, and that enlarged again; both by MATLAB's bicubic.

    LR is made from the square, so that this is exactly what an upscaler of it is to find.
    Return {"error": None or why the picture cannot be used, "small": whether it is smaller than the square}.
    """
    *low, side = options["sizes"]
    try:
        if min(picture_size(pair.hr)) < side:
            return {"error": None, "small": True}
        picture = read_rgb(pair.hr)
    except UserError as error:
        return {"error": str(error), "small": False}
    pictures = [square(picture, side, options["crop"], options["resample"])]
    for low_side in low:
        lr = imresize(pictures[0], size=(low_side, low_side))
        pictures += [lr, imresize(lr, size=(side, side))]
    (paths,) = output_paths(entry, split_folder, options, digits)
    for path, array in zip(paths, pictures, strict=True):
        write_png(path, array)
    return {"error": None, "small": False}


def square(picture, side, crop="centre", resample="bicubic"):
    """Make a square, uint8 (side, side, 3), of a picture, uint8 (H, W, 3), that is nowhere smaller.

    The crop "centre" reduces the picture until its shorter side is ``side`` and takes the middle, as is usual for
    faces; "largest" reduces the largest centred square, as arXiv 2104.07636, section 4, does with ImageNet.
    """
    shorter = min(picture.shape[:2])
    if crop == "largest":
        picture = _middle(picture, shorter)
    if shorter != side:
        picture = RESAMPLERS[resample](picture, tuple(n * side // shorter for n in picture.shape[:2]))
    return _middle(picture, side)


def _middle(picture, side):
    """Cut out the middle, where the picture is longer than ``side``."""
    top, left = (max(0, n - side) // 2 for n in picture.shape[:2])
    return picture[top : top + side, left : left + side]
