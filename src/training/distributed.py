"""Data-parallel training on MindSpore's own collectives: HCCL on Ascend, NCCL on GPU, MCCL on the CPU.

The processes are started by ``msrun``: N workers, the ranks, and one scheduler through which they find each other. One
process alone is a ``World()`` of size 1, for which every function here is the identity and loads nothing, but for what
belongs in graphs, :func:`gradient_mean`, which is of several ranks.
"""

import atexit
import json
import logging
import os
import signal
import sys
import zlib
from functools import cache

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from ..errors import UserError, first_line
from ..host.ranks import World, is_scheduler, launched
from ..host.signals import answer_with
from ..weights.checkpoint import put

# Seconds that a rank waits for the others, which may be saving or compiling: HCCL's own limit. MCCL's is 30.
PATIENCE = 1800
_PIECE = 4 << 20  # bytes in one message


def join(device):
    """Meet the other processes; return this one's :class:`World`.

    To be called once, after the device is chosen and before anything is computed. The scheduler's process, which runs
    the same program, serves the ranks in here and ends in here when they have ended.
    """
    if not launched():
        return World()
    from mindspore import communication

    backend = {"Ascend": "hccl", "GPU": "nccl", "CPU": "mccl"}[device]
    if is_scheduler():
        _serve(communication)
    if device == "CPU":
        for name in ("MS_CPU_COMM_OP_TIMEOUT", "MS_NODE_TIMEOUT"):  # the first in mindspore 2.10, the second before
            os.environ.setdefault(name, str(PATIENCE))
    try:
        communication.init(backend)
    except RuntimeError as error:
        master = f"{os.environ.get('MS_SCHED_HOST')}:{os.environ.get('MS_SCHED_PORT')}"
        raise UserError(
            f"cannot meet the other processes at {master} ({first_line(error)}): start the same command on every "
            "host, with a port that is free on host 0"
        ) from error
    atexit.register(_silence_stderr)
    return World(communication.get_rank(), communication.get_group_size())


def leave_signals_to_first(world):
    """Ignore SIGTERM and Ctrl-C from here on, but for rank 0: it alone answers them, by saving and ending.

    A job scheduler, or a terminal, may signal all processes, and rank 0 needs the others to finish its step. They end
    with it: msrun kills them. To be called after :func:`join`, which does the same for the scheduler's process.
    """
    if not world.is_first:
        answer_with(signal.SIG_IGN)


def check_same(values, world):
    """Check that all ranks have the same values: hosts may have other copies of the configuration or the pictures.

    ``values`` is a dict of name → text or number, Python's or NumPy's, the same to the last bit and in its type; NaN is
    the same as NaN. Where any two ranks differ, also in a name, every rank raises a ``UserError`` that names them.
    """
    if world.size == 1:
        return
    shares = _gather({name: _to_json(value).decode() for name, value in values.items()}, world)
    names = dict.fromkeys(name for share in shares for name in share)  # in rank 0's order
    differing = [name for name in names if len({share.get(name) for share in shares}) > 1]
    if differing:
        raise UserError(
            f"the ranks differ in {', '.join(differing)}: use the same configuration and pictures on every host"
        )


def broadcast(parameters, world):
    """Copy rank 0's values of parameters, of any dtype, to all ranks, in place.

    It is a ``UserError`` on every rank if one has other parameters, or in another order, than rank 0.
    """
    if world.size == 1:
        return
    parameters = list(parameters)
    kind = repr([(p.name, tuple(p.shape), str(p.dtype)) for p in parameters])
    kinds = _from_all(zlib.crc32(kind.encode()).to_bytes(4, "little"), world)
    others = [rank for rank, kind in enumerate(kinds) if kind != kinds[0]]
    if others:
        _meet()
        raise UserError(f"rank {others[0]} has another network than rank 0: use one configuration on every host")
    for parameter in parameters:
        value = parameter.asnumpy()
        received = _from_first(value.tobytes())
        if not world.is_first:
            put(parameter, np.frombuffer(received, value.dtype).reshape(value.shape))
    _meet()


def broadcast_numbers(numbers, world):
    """Return rank 0's list of numbers, Python's or NumPy's, on every rank, exactly: ints stay ints; NaN and None pass.

    What the other ranks give does not matter.
    """
    numbers = list(numbers)
    if world.size == 1:
        return numbers
    data = _to_json(numbers) if world.is_first else b""
    length = int.from_bytes(_from_first(len(data).to_bytes(4, "little")), "little")
    received = _from_first(data.ljust(length))
    _meet()
    return json.loads(received)


def gather_rows(rows, world):
    """Return the rows of all ranks, a list of lists, on every rank: those of items 0, 1, 2, ….

    ``rows`` are those of this rank's items, rank, rank + size, rank + 2·size, …, if it has any: a sequence of rows of
    numbers, NaN and None among them, or a float array (n, k).
    """
    rows = [list(row) for row in rows]
    if world.size == 1:
        return rows
    shares = _gather(rows, world)
    return [shares[i % world.size][i // world.size] for i in range(sum(map(len, shares)))]


def gradient_mean(parameters, world):
    """Return a Cell that takes a tuple of gradients, one for each parameter, to their means over the ranks.

    It is MindSpore's own reducer: one all-reduce for each parameter, in float32, which the Ascend compiler merges. On
    the CPU joining them by hand gained nothing, and the joined graph was too deep for the compiler.
    """
    return nn.DistributedGradReducer(list(parameters), mean=True, degree=world.size)


def _gather(value, world):
    """The values of all ranks, in order, on every rank; a value is whatever :func:`_to_json` takes."""
    data = _to_json(value)
    lengths = [int.from_bytes(length, "little") for length in _from_all(len(data).to_bytes(4, "little"), world)]
    shares = _from_all(data.ljust(max(lengths)), world)
    _meet()
    return [json.loads(share) for share in shares]


def _to_json(value):
    """JSON bytes: Python writes and reads floats exactly that way, and NaN and None; NumPy's numbers too."""
    return json.dumps(value, default=lambda number: number.item()).encode()


def _from_first(data):
    """Rank 0's bytes; ``data`` has the same length on every rank."""
    pieces = (data[i : i + _PIECE] for i in range(0, len(data), _PIECE))
    return b"".join(_exchange("broadcast", piece)[: len(piece)] for piece in pieces)


def _from_all(data, world):
    """The bytes of each rank; ``data`` has the same length on every rank."""
    received = _exchange("gather", data)
    room = len(received) // world.size
    return [received[rank * room :][: len(data)] for rank in range(world.size)]


def _exchange(kind, data):
    """Send and receive bytes as int32, which every backend carries unchanged; float64 and bool not.

    They are filled up to a power of two, since each length is a graph to compile.
    """
    data = data.ljust(max(1024, 1 << (len(data) - 1).bit_length()), b"\0")
    return _collective(kind)(ms.Tensor(np.frombuffer(data, np.int32))).asnumpy().tobytes()


def _meet():
    """Wait until every rank has come here: one that ended with a message on its way would let its sender wait."""
    _collective("sum")(ms.Tensor(np.ones(1, np.float32))).asnumpy()


class _Collective(nn.Cell):
    def __init__(self, kind):
        super().__init__(auto_prefix=False)
        make = {"broadcast": lambda: ops.Broadcast(0), "gather": ops.AllGather, "sum": ops.AllReduce}
        self.is_broadcast = kind == "broadcast"
        self.run = make[kind]()

    def construct(self, tensor):
        return self.run((tensor,))[0] if self.is_broadcast else self.run(tensor)


_collective = cache(_Collective)  # of a kind: each is compiled once


def _serve(communication):
    """Be the scheduler, then end the process: mindspore does so itself, unless a rank was lost."""
    answer_with(signal.SIG_IGN)
    try:
        communication.init("mccl")
    except RuntimeError as error:
        logging.error("the scheduler ended: %s (a rank was lost, or its port is in use)", first_line(error))
        os._exit(1)
    os._exit(0)


def _silence_stderr():
    """Drop what mindspore writes about its own threads while the process ends."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
