"""The processes that ``train_step.py`` measures: each takes one training step whenever it is told to.

Usage: python train_step_worker.py {mindspore,torch} FOLDER CONFIG BATCH PATCH THREADS [key=value ...]
Commands come as lines on stdin (``step``, ``profile N``), answers go as lines of JSON to stdout; the first says that
the step is built. The MindSpore process writes weights and batch to FOLDER, where the PyTorch process reads them.
"""

import csv
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from src.families.registry import family_of, read_config  # noqa: E402
from src.host.device import select_device  # noqa: E402
from src.imaging.resize import imresize  # noqa: E402


def main():
    """Build the step, then do as told until stdin ends."""
    framework, folder, path, batch, patch, threads, *overrides = sys.argv[1:]

    def build():
        config = read_config(path, overrides)
        if framework == "torch":
            return torch_step(config, Path(folder), int(threads))
        return mindspore_step(config, Path(folder), int(batch), int(patch))

    serve(build, int(threads))


def serve(build, threads):
    """Call ``build`` for the step, then do as told until stdin ends.

    Args:
        build: returns a function that takes one step and returns what to tell of it, a dict.
        threads: cores to use.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints must not mix with the answers
    if hasattr(os, "sched_setaffinity"):  # the same cores for both, however many threads they start
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    step = build()
    print(json.dumps({}), file=answers, flush=True)
    for line in sys.stdin:
        command, *number = line.split()
        answer = profiled(step, int(number[0])) if command == "profile" else timed(step)
        print(json.dumps(answer), file=answers, flush=True)


def timed(step):
    """Take one step; return its seconds, the most bytes that the process has had so far, and what the step tells."""
    start = time.perf_counter()
    found = step()
    return {"seconds": time.perf_counter() - start, "peak": peak_memory()} | found


def peak_memory():
    """Bytes. From VmHWM where there is one: Linux's ru_maxrss counts what the parent had before this process began."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def random_batch(config, batch, patch):
    """Return hr, lr, t, noise and LR↑ of a random batch, NumPy; stage 1 needs the first two only."""
    random = np.random.default_rng(0)
    draws = batch * config.train.draws
    hr, noise = random.uniform(-1, 1, (batch, 3, patch, patch)), random.standard_normal((draws, 3, patch, patch))
    unit = [imresize(picture.transpose(1, 2, 0) / 2 + 0.5, 1 / config.data.scale) for picture in hr]
    to_unit = 255 / config.diffusion.lr_divisor
    lr_up = np.stack([imresize(picture * to_unit, config.data.scale) for picture in unit]).transpose(0, 3, 1, 2)
    lr = np.stack(unit).transpose(0, 3, 1, 2)
    t = random.integers(0, config.diffusion.steps, draws).astype(np.int32)
    pictures = {"hr": hr, "lr": 2 * lr - 1, "noise": noise, "lr_up": 2 * lr_up - 1}
    return {"t": t} | {name: array.astype(np.float32) for name, array in pictures.items()}


def mindspore_step(config, folder, batch, patch):
    """Return a function that takes one step of this project's training and returns the loss and the gradient's norm.

    Without the moving average of the weights, which is no part of the PyTorch step either.
    """
    select_device("CPU")
    import mindspore as ms

    from src.training.optimizers import RateSchedule, adam
    from src.training.step import TrainStep, Update

    ms.set_seed(config.seed)
    family = family_of(config)
    model = family.model()
    arrays = random_batch(config, batch, patch)
    np.savez(folder / "weights.npz", **{p.name: p.asnumpy() for p in model.get_parameters()})
    np.savez(folder / "batch.npz", **arrays)
    train = config.train
    rate = RateSchedule(train.lr, "constant", 1)
    groups = [(parameters, rate) for parameters, _ in family.groups(model)]
    update = Update(adam(groups, train.beta1, train.beta2), train.clip_norm)
    step = TrainStep(family.objectives(model)[0].loss, update)
    inputs = ("hr", "lr") if family.one_pass else ("hr", "lr", "t", "noise")
    tensors = [ms.Tensor(arrays[name]) for name in inputs]
    return lambda: dict(zip(("loss", "norm"), (float(result.asnumpy()) for result in step([tensors])[:2]), strict=True))


def torch_step(config, folder, threads):
    """The same step in PyTorch, from the weights and the batch in ``folder``."""
    import torch
    from torch_srdiff import TorchStep

    torch.set_num_threads(threads)
    with np.load(folder / "weights.npz") as weights, np.load(folder / "batch.npz") as batch:
        step = TorchStep(config, dict(weights), family_of(config).schedule())
        tensors = {name: torch.tensor(array) for name, array in batch.items()}
    return lambda: dict(zip(("loss", "norm"), step(**tensors), strict=True))


def profiled(step, steps):
    """Return the milliseconds per step that mindspore's profiler counts for each operator, by its full name."""
    import mindspore as ms
    from mindspore.profiler import ProfilerActivity

    with tempfile.TemporaryDirectory() as folder:
        handler = ms.profiler.tensorboard_trace_handler(folder)
        with ms.profiler.profile(activities=[ProfilerActivity.CPU], on_trace_ready=handler) as profiler:
            for _ in range(steps):
                step()
                profiler.step()
        (table,) = Path(folder).glob("*/FRAMEWORK/cpu_op_detail_info_*.csv")
        with open(table, encoding="utf-8", newline="") as rows:
            return {row["full_op_name"]: float(row["op_total_time(ms)"]) / steps for row in csv.DictReader(rows)}


if __name__ == "__main__":
    main()
