"""Writing the planned pictures, in one process or in many."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from src.dataset.manifest import begin, finish, is_done, locked, output_paths, write_png
from src.dataset.pairs import fitting_size, header_sizes, load_pair
from src.errors import UserError
from src.imaging.io import picture_size, read_rgb
from src.imaging.resize import area_resize, imresize


def write_tiles(pair, entry, split_folder, options, digits):
    """Write the HR and LR pictures of one source picture.

    Args:
        pair: the source.
        entry: its entry in the manifest.
        split_folder: the output's ``train``, ``val`` or ``test``; its X1 and X{scale} exist.
        options: the manifest's.
        digits: of the file numbers.

    Returns:
        What became of it: {"error": None or why the source cannot be used, in which case nothing is written}.

    Raises:
        UserError: the output cannot be written.
    """
    scale = options["scale"]
    try:
        hr, lr = load_pair(pair, scale)
    except UserError as error:
        return {"error": str(error)}
    expected = [n // scale * scale for n in entry["size"]]
    if list(hr.shape[:2]) != expected:
        return {"error": f"{pair.hr} is not of the size its header says: replace or remove it"}
    tile_height, tile_width = entry["tile"]
    whole = entry["tile"] == expected
    corners = [(0, 0)] if whole else tile_corners(*expected, options["patch_size"], options["stride"])
    paths = output_paths(split_folder, entry, options, digits)
    for (top, left), (hr_path, lr_path) in zip(corners, paths, strict=True):
        write_png(hr_path, hr[top : top + tile_height, left : left + tile_width])
        top, left, height, width = (n // scale for n in (top, left, tile_height, tile_width))
        write_png(lr_path, lr[top : top + height, left : left + width])
    return {"error": None}


CROPS = ("centre", "largest")
RESAMPLERS = {"bicubic": lambda picture, size: imresize(picture, size=size), "area": area_resize}


def square(picture, side, crop="centre", resample="bicubic"):
    """Make a square of a picture that is nowhere smaller.

    Args:
        picture: uint8 (H, W, 3).
        side: of the square in pixels.
        crop: ``"centre"`` reduces the picture until its shorter side is ``side`` and takes the middle of the longer
            one, as is usual for faces; ``"largest"`` takes the largest centred square and reduces that, as arXiv
            2104.07636, section 4, does with ImageNet. They are one and the same for a square picture.
        resample: ``"bicubic"`` (MATLAB's) or ``"area"``.

    Returns:
        uint8 (side, side, 3).
    """
    if crop == "largest":
        picture = _middle(picture, min(picture.shape[:2]))
    shorter = min(picture.shape[:2])
    if shorter != side:
        size = tuple(n * side // shorter for n in picture.shape[:2])
        picture = RESAMPLERS[resample](picture, size)
    return _middle(picture, side)


def write_squares(pair, entry, split_folder, options, digits):
    """Write the square of one source picture, its LR, and that enlarged again; both by MATLAB's bicubic.

    LR is made from the square, so that the square is exactly what an upscaler of it is to find.

    Args:
        pair: the source, of which HR is read.
        entry: its entry in the manifest.
        split_folder: the output's ``train``, ``val`` or ``test``; its subfolders exist.
        options: the manifest's.
        digits: of the file numbers.

    Returns:
        What became of it: {"error": None or why it cannot be used, "small": whether it is smaller than the square}.
        With either nothing is written.

    Raises:
        UserError: the output cannot be written.
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
    (paths,) = output_paths(split_folder, entry, options, digits)
    for path, array in zip(paths, pictures, strict=True):
        write_png(path, array)
    return {"error": None, "small": False}


def _middle(picture, side):
    """Cut out the middle, where the picture is longer than ``side``."""
    top, left = (max(0, n - side) // 2 for n in picture.shape[:2])
    return picture[top : top + side, left : left + side]


_LOGGER = logging.getLogger(__name__)
_AHEAD = 16  # pictures for each process that wait or are worked on: all of a million would fill the memory


def preprocess(sources, plan, output, workers=1, force=False):
    """Write the pictures of ``plan`` that are not there yet, then the finished manifest.

    Args:
        sources: {split: pairs} that the plan was made of.
        plan: see :func:`src.dataset.preprocess.make_plan`.
        output: Path of the folder to write to.
        workers: processes; 1 works in this one.
        force: replace what another plan has left there.

    Returns:
        The finished manifest. Sources that could not be used are logged and have their ``error`` set.

    Raises:
        UserError: the output cannot be written, is in use, or is another plan's; or of squares, no picture of a
            split can be used.
    """
    write = write_squares if "sizes" in plan["options"] else write_tiles
    with locked(output), logging_redirect_tqdm():
        begin(output, plan, force)
        for split in plan["splits"].values():
            for entry in split["sources"]:
                _report(entry)
        tasks = _tasks(sources, plan, output)
        results = _in_this_process(write, tasks) if workers == 1 else _in_processes(write, tasks, workers)
        for entry, outcome in tqdm(results, total=len(tasks), unit="picture", desc="preprocess", disable=not tasks):
            entry.update(outcome)
            _report(entry)
        for name, split in plan["splits"].items():
            _count(name, split)
            if write is write_squares:  # of patches the plan has, by the headers
                _require_some(name, split)
        finish(output, plan)
    return plan


def _tasks(sources, plan, output):
    """Return [(entry, arguments to write it)] of the sources whose pictures are not all there."""
    return [
        (entry, (pair, entry, output / split, plan["options"], plan["digits"]))
        for split, pairs in sources.items()
        for pair, entry in zip(pairs, plan["splits"][split]["sources"], strict=True)
        if entry["error"] is None and not is_done(output, split, entry, plan)
    ]


def _report(entry):
    if entry["error"] is not None:
        _LOGGER.warning("skipped %s: %s", entry["name"], entry["error"])


def _count(name, split):
    """Note how many files a split has; say how many pictures were left out as too small."""
    sources = split["sources"]
    small = [entry for entry in sources if entry.get("small")]
    split["files"] = sum(entry["count"] for entry in sources if entry["error"] is None and not entry.get("small"))
    if small:
        side = small[0]["tile"][0]
        words = f"{len(small)} of {len(sources)} pictures are smaller than {side}, first {small[0]['name']}"
        _LOGGER.warning("%s: %s: they are left out", name, words)


def _require_some(name, split):
    """Refuse a split of squares for which there are pictures, but none that can be used.

    Raises:
        UserError: it is one.
    """
    sources = split["sources"]
    if sources and not split["files"]:
        broken = [entry["error"] for entry in sources if entry["error"]]
        why = f"the first: {broken[0]}" if broken else "all are too small: lower --sizes, or name others"
        remedy = "; or set more aside with a larger --val-count" if name == "val" else ""
        raise UserError(f"none of the {len(sources)} pictures for {name} can be used; {why}{remedy}")


def _in_this_process(write, tasks):
    for entry, arguments in tasks:
        yield entry, write(*arguments)


def _in_processes(write, tasks, workers):
    """Yield (entry, outcome) as the sources are done."""
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
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def tile_corners(height, width, patch_size, stride):
    """Return the (top, left) corners of the patches that cover a picture, row by row.

    They are ``stride`` apart; the last row and the last column are shifted inwards to end with the picture. A
    picture that is smaller than a patch in a dimension is taken whole: one corner, (0, 0).
    """
    if min(height, width) < patch_size:
        return [(0, 0)]
    rows, columns = ([*range(0, n - patch_size, stride), n - patch_size] for n in (height, width))
    return [(top, left) for top in rows for left in columns]


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
        why it was left out. A picture whose header is broken gets no numbers. One that turns out broken while it is
        decoded keeps its range, which then has no files: no other picture's number depends on it. Of squares there is
        one for each picture, so that no header is read beforehand: ``size`` is left out, and ``small`` tells whether
        the picture was left out as smaller than the square.

    Raises:
        UserError: no picture of a split can be used.
    """
    make_entry = _square_entry if "sizes" in options else _entry
    splits = {}
    for split, pairs in sources.items():
        entries, first = [], 0
        for pair in pairs:
            entries.append(make_entry(pair, root, split, first, options))
            first += entries[-1]["count"]
        broken = [entry["error"] for entry in entries if entry["error"]]
        if entries and len(broken) == len(entries):
            raise UserError(f"none of the {len(entries)} pictures for {split} can be used; the first: {broken[0]}")
        splits[split] = {"files": 0, "sources": entries}
    largest = max(sum(entry["count"] for entry in split["sources"]) for split in splits.values())
    digits = max(4, len(str(largest - 1)))
    return {"complete": False, "options": options, "digits": digits, "splits": splits}


def _named(pair, root):
    name = pair.hr.absolute().relative_to(root).as_posix()
    return {"name": name, "lr": "official" if pair.lr else "made"}


def _square_entry(pair, root, split, first, options):
    """Return the manifest's entry of one source picture that becomes a square."""
    tile = [options["sizes"][-1]] * 2
    return _named(pair, root) | {"tile": tile, "first": first, "count": 1, "error": None, "small": False}


def _entry(pair, root, split, first, options):
    """Return the manifest's entry of one source picture that is cut into patches."""
    entry = _named(pair, root)
    try:
        size, lr_size = header_sizes(pair)
        height, width = (n * options["scale"] for n in fitting_size(pair, size, lr_size, options["scale"]))
    except UserError as error:
        return entry | {"size": None, "tile": None, "first": first, "count": 0, "error": str(error)}
    patch_size = options["patch_size"]
    if split != "train" or min(height, width) < patch_size:
        tile, count = [height, width], 1
    else:
        tile, count = [patch_size] * 2, len(tile_corners(height, width, patch_size, options["stride"]))
    return entry | {"size": list(size), "tile": tile, "first": first, "count": count, "error": None}
