"""Bytes and JSON between the ranks: what the rest of distributed training sends beside its tensors.

Every rank calls the same functions in the same order, whatever it has to send; each takes a :class:`World` of size 2
or more.
"""

import json
from functools import cache

import mindspore as ms
import numpy as np
from mindspore import nn, ops

_PIECE = 4 << 20  # bytes in one message


def to_json(value):
    """Return JSON bytes: Python writes and reads floats exactly that way, and NaN and None; NumPy's numbers too."""
    return json.dumps(value, default=lambda number: number.item()).encode()


def from_first(data):
    """Return rank 0's bytes; ``data`` has the same length on every rank."""
    pieces = (data[i : i + _PIECE] for i in range(0, len(data), _PIECE))
    return b"".join(_exchange("broadcast", piece)[: len(piece)] for piece in pieces)


def gather(value, world):
    """Return a list of the values of all ranks, in order, on every rank; a value is whatever :func:`to_json` takes."""
    data = to_json(value)
    lengths = [int.from_bytes(length, "little") for length in from_all(len(data).to_bytes(4, "little"), world)]
    shares = from_all(data.ljust(max(lengths)), world)
    meet()
    return [json.loads(share) for share in shares]


def from_all(data, world):
    """Return the bytes of each rank; ``data`` has the same length on every rank."""
    received = _exchange("gather", data)
    room = len(received) // world.size
    return [received[rank * room :][: len(data)] for rank in range(world.size)]


def _exchange(kind, data):
    """Send and receive bytes as int32, which every backend carries unchanged; float64 and bool not.

    They are filled up to a power of two, since each length is a graph to compile.
    """
    data = data.ljust(max(1024, 1 << (len(data) - 1).bit_length()), b"\0")
    return _collective(kind)(ms.Tensor(np.frombuffer(data, np.int32))).asnumpy().tobytes()


def meet():
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


@cache
def _collective(kind):
    return _Collective(kind)
