"""Writing the planned pictures, in one process or in many."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from src.dataset.output_folder import begin, finish, is_done, locked
from src.dataset.tiles import write_tiles
from src.errors import UserError

_LOGGER = logging.getLogger(__name__)


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
        UserError: the output cannot be written, is in use, or is another plan's.
    """
    with locked(output), logging_redirect_tqdm():
        begin(output, plan, force)
        for split in plan["splits"].values():
            for entry in split["sources"]:
                _report(entry)
        tasks = _tasks(sources, plan, output)
        results = _in_this_process(tasks) if workers == 1 else _in_processes(tasks, workers)
        for entry, error in tqdm(results, total=len(tasks), unit="picture", desc="preprocess", disable=not tasks):
            entry["error"] = error
            _report(entry)
        for split in plan["splits"].values():
            split["files"] = sum(entry["count"] for entry in split["sources"] if entry["error"] is None)
        finish(output, plan)
    return plan


def _tasks(sources, plan, output):
    """Return [(entry, arguments of write_tiles)] of the sources whose pictures are not all there."""
    return [
        (entry, (pair, entry, output / split, plan["options"], plan["digits"]))
        for split, pairs in sources.items()
        for pair, entry in zip(pairs, plan["splits"][split]["sources"], strict=True)
        if entry["error"] is None and not is_done(output, split, entry, plan)
    ]


def _report(entry):
    if entry["error"] is not None:
        _LOGGER.warning("skipped %s: %s", entry["name"], entry["error"])


def _in_this_process(tasks):
    for entry, arguments in tasks:
        yield entry, write_tiles(*arguments)


def _in_processes(tasks, workers):
    """Yield (entry, error) as the sources are done."""
    # spawn: fork is not safe in a process with threads, and this may be called from one
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(tasks) or 1), context, initializer=_begin_worker)
    try:
        with _interrupts_blocked():
            entries = {pool.submit(write_tiles, *arguments): entry for entry, arguments in tasks}
        for future in as_completed(entries):
            yield entries[future], future.result()
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
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
