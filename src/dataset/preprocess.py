"""Preprocessing: from the pictures that were found to a plan, and from the plan to files, in one process or in many."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import connection

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from src.dataset.manifest import begin, finish, is_whole, output_paths, write_png
from src.dataset.pairs import check_headers, load_pair
from src.errors import UserError
from src.host.files import locked
from src.imaging.io import picture_size, read_rgb
from src.imaging.resize import area_resize, imresize

CROPS = ("centre", "largest")
RESAMPLERS = {"bicubic": lambda picture, size: imresize(picture, size=size), "area": area_resize}

_LOGGER = logging.getLogger(__name__)
_AHEAD = 16  # pictures for each process that wait or are worked on: all of a million would fill the memory


def make_plan(sources, root, options):
    """Give each picture its range of output numbers; where patches are cut, the headers of all of them tell.

    Args:
        sources: {split: pairs}; see :func:`src.dataset.sources.find_sources`.
        root: folder that the pictures are named relative to.
        options: {"scale": …, "patch_size": …, "stride": …, …}, or {"sizes": …, …} where whole pictures are made
            squares; kept in the manifest.

    Returns:
        A manifest (plain values) with ``complete`` False. For each split it lists for each source picture:
        ``name``; ``size``, [height, width] of the file; ``tile``, [height, width] of each of its output HR pictures;
        ``first`` and ``count``, its range of output numbers; ``lr``, "official" or "made"; and ``error``, None or
        why it was left out. A picture whose header is broken gets no numbers, one that turns out broken later keeps
        its own: no other's depend on it. Of squares there is one for each picture, and no header is read beforehand:
        ``size`` is left out, and ``small`` tells whether the picture was left out as smaller than the square.

    Raises:
        UserError: no picture of a split can be used.
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
    """Return what the manifest's entry of a source picture says of its patches."""
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
    """Return the (top, left) corners of the patches that cover a picture, row by row.

    They are ``stride`` apart; the last row and the last column are shifted inwards to end with the picture. A
    picture that is smaller than a patch in a dimension is taken whole: one corner, (0, 0).
    """
    if min(height, width) < patch_size:
        return [(0, 0)]
    rows, columns = ([*range(0, n - patch_size, stride), n - patch_size] for n in (height, width))
    return [(top, left) for top in rows for left in columns]


def preprocess(sources, plan, output, workers=1, force=False):
    """Write the pictures of ``plan``, which was made of ``sources``, that are not there yet; return the manifest.

    In it, sources that could not be used have their ``error`` set; they are logged, too. ``workers`` are processes, of
    which 1 is this one; ``force`` replaces what another plan has left in the folder ``output``.

    Raises:
        UserError: the output cannot be written, is in use, or is another plan's; or a split has no square.
    """
    write = write_square if "sizes" in plan["options"] else write_patches
    try:
        with locked(output), logging_redirect_tqdm():
            begin(output, plan, force)
            for split in plan["splits"].values():
                for entry in split["sources"]:
                    _report(entry)
            tasks = _tasks(sources, plan, output)
            results = _results(write, tasks, workers)
            for entry, outcome in tqdm(results, total=len(tasks), unit="picture", desc="preprocess", disable=not tasks):
                entry.update(outcome)
                _report(entry)
            for name, split in plan["splits"].items():
                _count(name, split)
            finish(output, plan)
    except OSError as error:  # such as a full disk
        raise UserError(
            f"cannot write to {output}: {error.strerror}; free some space or name another folder"
        ) from error
    return plan


def _report(entry):
    if entry["error"] is not None:
        _LOGGER.warning("skipped %s: %s", entry["name"], entry["error"])


def _tasks(sources, plan, output):
    """Return [(entry, arguments to write it)] of the sources whose pictures are not all there."""
    tasks = []
    for split, pairs in sources.items():
        for pair, entry in zip(pairs, plan["splits"][split]["sources"], strict=True):
            arguments = (entry, output / split, plan["options"], plan["digits"])
            if entry["error"] is None and not all(map(is_whole, chain.from_iterable(output_paths(*arguments)))):
                tasks.append((entry, (pair, *arguments)))
    return tasks


def _count(name, split):
    """Note how many files a split has; say how many pictures were too small for a square; refuse it if it has none."""
    sources = split["sources"]
    small = [entry for entry in sources if entry.get("small")]
    split["files"] = sum(entry["count"] for entry in sources if entry["error"] is None and not entry.get("small"))
    if small:
        side = small[0]["tile"][0]
        words = f"{len(small)} of {len(sources)} pictures are smaller than {side}, first {small[0]['name']}"
        _LOGGER.warning("%s: %s: they are left out", name, words)
    if not split["files"] and any("small" in entry for entry in sources):  # of patches the plan has, by the headers
        broken = [entry["error"] for entry in sources if entry["error"]]
        why = f"the first: {broken[0]}" if broken else "all are too small: lower --sizes, or name others"
        remedy = "; or set more aside with a larger --val-count" if name == "val" else ""
        raise UserError(f"none of the {len(sources)} pictures for {name} can be used; {why}{remedy}")


def _results(write, tasks, workers):
    """Yield (entry, outcome) as the sources are done."""
    if workers == 1:
        yield from ((entry, write(*arguments)) for entry, arguments in tasks)
        return
    # spawn: fork is not safe in a process with threads, and this may be called from one
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(tasks) or 1), context, initializer=_begin_worker)
    entries, rest = {}, iter(tasks)
    try:
        while True:
            with _interrupts_blocked():
                for entry, arguments in islice(rest, _AHEAD * workers - len(entries)):
                    entries[pool.submit(write, *arguments)] = entry
            if not entries:
                break
            for future in wait(entries, return_when=FIRST_COMPLETED).done:
                yield entries.pop(future), future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, perhaps for want of memory: run again with fewer --workers, it continues"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _interrupts_blocked():
    """Start processes that Ctrl-C does not reach: they inherit the mask, and here it arrives at the block's end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker():
    """End when the parent was killed: nothing may write once its lock is free."""

    def end_with_parent():
        connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def write_patches(pair, entry, split_folder, options, digits):
    """Write the HR and LR patches of one source picture, whose ``entry`` is in the manifest.

    Return what became of it: {"error": None or why the source cannot be used}; in that case nothing is written.
    """
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
    """Write the square of one source picture, its LR, and that enlarged again; both by MATLAB's bicubic.

    LR is made from the square, so that this is exactly what an upscaler of it is to find. Return what became of the
    picture: {"error": None or why it cannot be used, "small": whether it is smaller than the square}.
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

    The crop "centre" reduces the picture until its shorter side is ``side`` and takes the middle of the longer one, as
    is usual for faces; "largest" takes the largest centred square and reduces that, as arXiv 2104.07636, section 4,
    does with ImageNet. They are one and the same for a square picture.
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
