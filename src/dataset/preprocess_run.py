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

from src.dataset.output_folder import begin, finish, is_done, locked
from src.dataset.squares import write_squares
from src.dataset.tiles import write_tiles
from src.errors import UserError

_LOGGER = logging.getLogger(__name__)
_AHEAD = 16  # pictures for each process that wait or are worked on: all of a million would fill the memory


def preprocess(sources, plan, output, workers=1, force=False):
    """Write the pictures of ``plan`` that are not there yet, then the finished manifest.

    Args:
        sources: {split: pairs} that the plan was made of.
        plan: see :func:`src.dataset.plan.make_plan`.
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
