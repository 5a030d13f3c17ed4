"""The ranks of one job, processes that msrun starts with one program, as its environment variables tell them."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """The processes that work together: ``rank`` 0 … size − 1 is this one."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self):
        """Whether this is the rank that speaks for all, and reads and writes what they share."""
        return self.rank == 0

    def share(self, items):
        """This rank's items of a sequence that all ranks have: every n-th."""
        return items[self.rank :: self.size]


def launched():
    """Return whether msrun started this process, as a rank or as the scheduler."""
    return is_scheduler() or os.environ.get("MS_ROLE") == "MS_WORKER"


def is_scheduler():
    """Return whether this is the process through which the ranks find each other; msrun runs the same program in it."""
    return os.environ.get("MS_ROLE") == "MS_SCHED"


def launched_world():
    """Return the :class:`World` that msrun has told a rank; one process where it started none."""
    if not launched():
        return World()
    return World(int(os.environ["RANK_ID"]), int(os.environ["MS_WORKER_NUM"]))
