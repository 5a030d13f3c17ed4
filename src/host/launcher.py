"""The processes of one distributed job on this host: started, watched, and ended together.

They get the environment variables that msrun gives them. msrun itself answers Ctrl-C with SIGKILL, leaves its workers
behind on SIGTERM, and does not say which of them failed, with what status.
"""

import contextlib
import ctypes
import logging
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

from src.errors import UserError

GRACE = 120  # seconds that rank 0 has to finish its step and save when it is stopped
LAST_WORDS = 10  # seconds that the other processes have to end by themselves
_PERIOD = 0.1  # seconds between two looks at the processes
_PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Hosts:
    """How the job is spread: ``nproc`` ranks on each of ``nnodes`` hosts, of which this is number ``node_rank``.

    The scheduler runs on host 0 at ``address``, ``port``.
    """

    address: str
    port: int
    nproc: int
    nnodes: int = 1
    node_rank: int = 0

    @property
    def ranks(self):
        """The ranks on this host."""
        return range(self.node_rank * self.nproc, (self.node_rank + 1) * self.nproc)


def launch(command, hosts, logs):
    """Run a command as every rank of this host, and on host 0 as the scheduler; return the exit status.

    Rank 0 keeps this process's stdout and stderr; the others write to ``logs/rank_N.log``. No process outlives this
    one. Ctrl-C, SIGTERM and SIGHUP let rank 0 save: it alone gets a SIGTERM, while the others, which have nothing to
    save, help it to finish its step; a second signal ends all at once.

    Args:
        command: a list of words.
        hosts: the :class:`Hosts`.
        logs: folder, a ``Path``; made if needed, and added to.

    Returns:
        0; 2 after a rank's 2, which is a user's mistake; 130, 143 or 129 after a signal to this process; else the
        status of the rank that failed first, 128 + n for the signal n.

    Raises:
        UserError: the logs cannot be written.
    """
    job = _Job(hosts, logs)
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    handlers = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}  # nohup
    for number in handlers:
        signal.signal(number, lambda number, frame: job.signals.append(number))
    try:
        job.start(command)
        return job.watch()
    finally:
        job.kill()
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _Job:
    def __init__(self, hosts, logs):
        self.hosts, self.logs = hosts, logs
        self.signals = []
        self.ranks = {}  # rank → process
        self.scheduler = None  # on host 0
        self.connection = None  # on the others: to the scheduler

    def start(self, command):
        hosts = self.hosts
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            if hosts.node_rank == 0:
                self.scheduler = self._start(command, self.logs / "scheduler.log", MS_ROLE="MS_SCHED", RANK_ID=0)
            for device, rank in enumerate(hosts.ranks):
                part = {"MS_NODE_ID": rank, "RANK_ID": rank, "DEVICE_ID": device}
                self.ranks[rank] = self._start(command, self._log(rank), MS_ROLE="MS_WORKER", **part)
        except OSError as error:
            raise UserError(f"cannot write to {self.logs}: {error.strerror}; name another --output") from error
        logging.info("rank 0 reports %s, the others in %s", "here" if 0 in self.ranks else "on host 0", self.logs)
        if hosts.nnodes > 1:
            logging.info("waiting for %d ranks at %s:%d", hosts.nproc * hosts.nnodes, hosts.address, hosts.port)

    def _start(self, command, log, **part):
        count = self.hosts.nproc * self.hosts.nnodes
        part |= {"MS_SCHED_HOST": self.hosts.address, "MS_SCHED_PORT": self.hosts.port}
        part |= {"MS_WORKER_NUM": count, "RANK_SIZE": count}
        options = {
            "env": os.environ | {name: str(value) for name, value in part.items()}, "stdin": subprocess.DEVNULL,
            "start_new_session": True, "preexec_fn": dying_with(os.getpid()),
        }  # fmt: skip
        if log is None:
            return subprocess.Popen(command, **options)
        with open(log, "ab") as file:
            return subprocess.Popen(command, stdout=file, stderr=file, **options)

    def _log(self, rank):
        return self.logs / f"rank_{rank}.log" if rank else None

    def watch(self):
        """Wait for the end; return the exit status."""
        while True:
            if self.signals:
                return self._stop(self.signals[0])
            ended = self._ended()
            failed = {rank: status for rank, status in ended.items() if status}
            if ended.get(0) == 0 or (not failed and len(ended) == len(self.ranks)):
                return self._finish()
            if failed:
                rank = _cause(failed)
                return self._fail(rank, failed[rank])
            if self._scheduler_ended() and not self._wait(LAST_WORDS, lambda: self.signals or self._ended()):
                return self._tell(self._elsewhere(), 1)
            time.sleep(_PERIOD)

    def _finish(self):
        """Rank 0, or every rank of another host, has done its work; the rest is about to end."""
        self._wait(LAST_WORDS, lambda: len(self._ended()) == len(self.ranks) and self._scheduler_ended())
        for rank in self.ranks:
            if self._ended().get(rank) != 0:
                logging.warning("the work is done, but rank %d did not end well: see %s", rank, self._log(rank))
        return 0

    def _fail(self, rank, status):
        if status == 2:
            return self._mistake(rank)
        how = f"ended with status {status}"
        if status < 0:
            how = f"was killed by signal {-status} ({_name(-status)})"
        where = f"its log is {self._log(rank)}" if rank else "its messages are above"
        remedy = "the other ranks were stopped: go on from the newest checkpoint with --resume"
        return self._tell(f"rank {rank} {how}; {where}; {remedy}", status if status > 0 else 128 - status)

    def _mistake(self, rank):
        """A rank has ended with a user's mistake, and rank 0 has said, or is about to say, the same."""
        if 0 in self.ranks:
            self._wait(LAST_WORDS, lambda: 0 in self._ended())
        if self._ended().get(0) == 2:
            return 2
        lines = self._log(rank).read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return self._tell(f"on rank {rank}: {said[-1] if said else f'see {self._log(rank)}'}", 2)

    def _elsewhere(self):
        remedy = "start every host again with --resume"
        if self.scheduler:
            return f"a rank on another host is lost ({self.logs / 'scheduler.log'}); all are stopped: {remedy}"
        return f"the job has ended on host 0, {self.hosts.address}, which says why: {remedy}"

    def _tell(self, message, status):
        self.kill()
        logging.error("\nerror: %s", message)  # below rank 0's bar
        return status

    def _stop(self, number):
        logging.warning("\nstopping: rank 0 has %d s to finish its step and save; once more stops at once", GRACE)
        first = self.ranks.get(0)
        if first and first.poll() is None:
            first.send_signal(signal.SIGTERM)
        done = (lambda: 0 in self._ended()) if first else self._scheduler_ended
        self._wait(GRACE, lambda: len(self.signals) > 1 or done())
        status = self._ended().get(0)
        return 128 + number if status is None or status < 0 or status > 128 else status

    def _ended(self):
        """Rank → exit status of those that have ended on this host."""
        return {rank: process.returncode for rank, process in self.ranks.items() if process.poll() is not None}

    def _scheduler_ended(self):
        """Whether the scheduler has ended, as it does with the job, and half a minute after a rank was lost."""
        if self.scheduler:
            return self.scheduler.poll() is not None
        try:
            if self.connection is None:
                self.connection = socket.create_connection((self.hosts.address, self.hosts.port), timeout=1)
                self.connection.setblocking(False)
            return self.connection.recv(1) == b""
        except OSError as error:  # it has sent nothing, or it has not started yet
            return self.connection is not None and not isinstance(error, BlockingIOError)

    @staticmethod
    def _wait(seconds, condition):
        """Wait until a condition holds, at most so long; return whether it does."""
        end = time.monotonic() + seconds
        while not (holds := condition()) and time.monotonic() < end:
            time.sleep(_PERIOD)
        return holds

    def kill(self):
        """End what still runs, and the children of what did not end well."""
        for process in [*self.ranks.values(), *filter(None, [self.scheduler])]:
            if process.poll() != 0:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self.connection:
            self.connection.close()


def _cause(failed):
    """Return which of the failed ranks, rank → status, is to be named: the others may have failed because it did."""

    def order(rank):
        status = failed[rank]
        return status != 2, status != -signal.SIGKILL, status > 0, rank

    return min(failed, key=order)


def _name(number):
    """Return a signal's name, or what the system calls it: most real-time signals have none."""
    return {known.value: known.name for known in signal.Signals}.get(number) or signal.strsignal(number)


def dying_with(parent):
    """Return a function that makes the calling process die with its parent, even where that is killed with SIGKILL.

    Only Linux can do so: elsewhere the function only ends a process whose parent is dead already.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)

    def prepare():
        if prctl:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return prepare
