"""What test_distributed.py runs as every rank and as the scheduler: it writes what each function returned.

Usage: python ranks.py FOLDER
"""

import os
import pickle
import signal
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from src.command import run
from src.host.device import select_device

DTYPES = ("float32", "int32", "float16", "bool", "float64", "int64")
SHAPES = ((3, 2), (), (7,), (1, 2, 3, 4), (1_100_000,))


def main(folder):
    """Join the others, call everything, and leave the results in rank_N.pickle."""
    if os.environ["MS_ROLE"] == "MS_SCHED":
        (folder / "scheduler.pid").write_text(str(os.getpid()))
    device = select_device("CPU")
    from src.training.distributed import join

    world = join(device)
    results = {"world": (world.rank, world.size, world.is_first)}
    for part in (means, gradients, normalization, broadcasts, numbers, rows, checks):
        results |= part(world)
    results |= signals(world, folder)
    (folder / f"rank_{world.rank}.pickle").write_bytes(pickle.dumps(results))


def value(rank, number, shape, dtype="float32"):
    """Return what a rank has at first under some number."""
    draw = np.random.default_rng([rank, number]).normal(size=shape) * 100
    return np.asarray(draw, dtype)


def means(world):
    import mindspore as ms

    from src.layers.ranks import MeanOverRanks

    mean = MeanOverRanks(world.size)
    tensors = [value(world.rank, 1, (), "float32"), value(world.rank, 2, (4, 3)), value(world.rank, 3, 5, "float16")]
    return {"means": [mean(ms.Tensor(tensor)).asnumpy() for tensor in tensors]}


def gradients(world):
    """The gradients of least squares, each rank with samples of its own, in the graph that computes them."""
    import mindspore as ms
    from mindspore import nn, ops

    from src.training.distributed import gradient_mean

    class Sum(nn.Cell):
        """Something of every weight, so that the gradient of weight number k on rank r is value(r, k)."""

        def __init__(self):
            super().__init__()
            self.weights = ms.ParameterTuple(
                [ms.Parameter(ms.Tensor(np.ones(shape, np.float32)), name=f"w{k}") for k, shape in enumerate(SHAPES)]
            )
            self.factors = [ms.Tensor(value(world.rank, k, shape)) for k, shape in enumerate(SHAPES)]

        def construct(self, scale):
            total = scale * 0
            for weight, factor in zip(self.weights, self.factors):  # noqa: B905 (strict does not compile)
                total = total + (weight * factor * scale).sum()
            return total

    class Step(nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.sum = Sum()
            self.gradient = ops.value_and_grad(self.sum, None, self.sum.weights)
            self.mean = gradient_mean(self.sum.weights, world)

        def construct(self, scale):
            _, gradients = self.gradient(scale)
            return self.mean(gradients)

    step = Step()
    runs = [[tensor.asnumpy() for tensor in step(ms.Tensor(float(scale), ms.float32))] for scale in range(1, 6)]
    return {"gradients": [run[:-1] for run in runs], "large gradient": runs[-1][-1]}


def normalization(world):
    """A gradient step's worth of BatchNorm over all ranks, each with half of the pictures."""
    import mindspore as ms

    from tests.training.normalized import Step

    pictures = np.array_split(value(0, 9, (4, 3, 6, 5)), world.size)[world.rank]
    step = Step(world)
    loss, gradients = step(ms.Tensor(pictures))
    found = [loss, *gradients, *(p for p in step.net.get_parameters() if not p.requires_grad)]
    return {"normalization": [tensor.asnumpy() for tensor in found]}


def broadcasts(world):
    import mindspore as ms

    from src.errors import UserError
    from src.training.distributed import broadcast

    def parameters(shape):
        return [ms.Parameter(ms.Tensor(value(world.rank, 4, shape, dtype)), name=f"{dtype}") for dtype in DTYPES]

    small, single, large = parameters((3, 5)), parameters(()), parameters((1100, 1000))[:1]
    broadcast((p for p in [*small, *single, *large]), world)
    wrong = ""
    try:
        broadcast(small[: 2 + world.rank], world)
    except UserError as error:
        wrong = str(error)
    return {
        "small": [p.asnumpy() for p in small], "single": [p.asnumpy() for p in single],
        "large": large[0].asnumpy(), "wrong network": wrong,
    }  # fmt: skip


def numbers(world):
    from src.training.distributed import broadcast_numbers

    sent = [1, 2**70, 0.1, float("nan"), float("-inf"), None, np.float32(0.1), np.int64(-3), np.bool_(True)]
    other = ["something", "else"]
    return {
        "numbers": broadcast_numbers(sent if world.is_first else other, world),
        "no numbers": broadcast_numbers([] if world.is_first else other, world),
        "many numbers": broadcast_numbers(np.arange(3000) / 7 if world.is_first else [], world),
    }


def rows(world):
    from src.training.distributed import gather_rows

    def share(count):
        return [[i, i / 7, None, float("nan")] for i in range(world.rank, count, world.size)]

    array = np.arange(10, dtype=np.float64).reshape(5, 2)[world.rank :: world.size]
    return {"rows": [gather_rows(share(count), world) for count in (5, 4, 1, 0)], "array": gather_rows(array, world)}


def checks(world):
    from src.errors import UserError
    from src.training.distributed import check_same

    def said(*values):
        """What check_same says where rank r has values[r]."""
        try:
            check_same(values[world.rank], world)
        except UserError as error:
            return str(error)
        return ""

    settings = {"train.val_every": 100, "train.lr": 0.1, "folder": "pictures/größe", "limit": float("nan")}
    other = {"limit": float("nan"), "folder": "pictures/größe", "train.lr": np.float64(0.1), "train.val_every": 100}
    return {
        "same": [said(settings, other), said({}, {}), said(*[{"text": "x" * 5000}] * 2)],
        "one value": said(settings, other | {"train.val_every": 50}),
        "lengths": said(settings | {"number of pictures": 8}, other | {"train.lr": 0.2, "folder": "x" * 5000}),
        "names": said({"a": 1, "b": 2}, {"b": 2, "c": 3}),
        "nothing": said({}, {"a": None}),
        "nearly": said({"a": 0.1, "b": "1"}, {"a": np.nextafter(0.1, 1), "b": 1}),
        "text": said({"a": "é"}, {"a": "é" * 3000}),
    }


def signals(world, folder):
    """Rank 1 waits in a collective, and the scheduler for the ranks, when SIGTERM and SIGINT come."""
    import mindspore as ms

    from src.layers.ranks import MeanOverRanks
    from src.training.distributed import gather_rows, leave_signals_to_first

    numbers = signal.SIGTERM, signal.SIGINT
    before = [signal.getsignal(number) for number in numbers]
    leave_signals_to_first(world)
    changed = [signal.getsignal(number) for number in numbers] != before
    (_, (pid,)) = gather_rows([[os.getpid()]], world)
    if world.is_first:
        for number in numbers:
            time.sleep(0.3)
            os.kill(pid, number)
            os.kill(int((folder / "scheduler.pid").read_text()), number)
        time.sleep(0.3)
    mean = MeanOverRanks(world.size)(ms.Tensor(float(world.rank), ms.float32)).asnumpy()
    return {"signals changed": changed, "mean after signals": float(mean)}


if __name__ == "__main__":
    run(partial(main, Path(sys.argv[1])))
