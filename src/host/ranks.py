"""The ranks of one job, processes that msrun starts with one program, as its environment variables tell them."""

import os
from dataclasses import dataclass

from ..errors import UserError


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
    """Whether msrun started this process, as a rank or as the scheduler."""
    return is_scheduler() or os.environ.get("MS_ROLE") == "MS_WORKER"


def is_scheduler():
    """Whether this is the process through which the ranks find each other; msrun runs the same program in it."""
    return os.environ.get("MS_ROLE") == "MS_SCHED"


def launched_size():
    """How many ranks msrun started; 1 without it."""
    return int(os.environ["MS_WORKER_NUM"]) if launched() else 1


def device_id():
    """Return the number of this rank's device on its host; 0 without msrun."""
    return int(os.environ.get("DEVICE_ID", 0)) if launched() else 0


def launched_world():
    """The :class:`World` of a rank that has not met the others, as msrun told it; one process without msrun."""
    if not launched():
        return World()
    if "RANK_ID" not in os.environ:
        raise UserError("msrun leaves the ranks' numbers open: give it --node_rank, the number of this host")
    return World(int(os.environ["RANK_ID"]), launched_size())
