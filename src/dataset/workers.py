"""Work for many processes, which end with the one that gives it."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection

from ..errors import UserError
from ..host.signals import held_back

_AHEAD = 16  # tasks for each process that wait or are worked on: all of a million would fill the memory


def in_processes(work, tasks, workers):
    """Yield (key, ``work(*arguments)``) of the tasks [(key, arguments)] as they are done, by so many processes."""
    if workers == 1:
        yield from ((key, work(*arguments)) for key, arguments in tasks)
        return
    # spawn: fork is not safe in a process with threads, and this may be called from one
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(tasks) or 1), context, initializer=_begin_worker)
    keys, rest = {}, iter(tasks)
    try:
        while True:
            with held_back():  # processes start here, whole, and inherit the mask: Ctrl-C reaches this one alone
                before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                try:
                    for key, arguments in islice(rest, _AHEAD * workers - len(keys)):
                        keys[pool.submit(work, *arguments)] = key
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
            if not keys:
                break
            for future in wait(keys, return_when=FIRST_COMPLETED).done:
                yield keys.pop(future), future.result()
    except KeyboardInterrupt:
        for process in multiprocessing.active_children():  # a picture may take minutes
            process.kill()
        raise
    except BrokenProcessPool as error:
        remedy = "run again with fewer --workers, it continues"
        raise UserError(f"a worker process died, perhaps for want of memory: {remedy}") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker():
    """End when the parent was killed: nothing may write once its lock is free."""

    def end_with_parent():
        connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
