"""Time one denoising step on the CPU, of this project and of the same network in PyTorch; prints a table.

MindSpore and PyTorch run in a process each and are called in turns, on the same cores, with the same weights and
inputs, so that a busy machine slows both. PyTorch's is ``torch_srdiff.py``, run eagerly. MindSpore's table of operators
is that of ``train_step.py``.

Usage: python benchmarks/denoise_step.py [--config configs/srdiff_df2k_x4.yaml] [--batch 1] [--size 160] [--repeats 15]
           [--threads N] [--encode] [--operators] [--ordinary] [key=value ...]
"""

import argparse
import contextlib
import datetime
import statistics
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
from onednn_isa import processor
from train_step import ROOT, Worker, available_cores, print_kinds, why_no_torch

sys.path.insert(0, str(ROOT))

from src.families.registry import read_config


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=str(ROOT / "configs" / "srdiff_df2k_x4.yaml"))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=160, dest="patch", help="HR pixels, the side of a picture")
    parser.add_argument("--repeats", type=int, default=15, help="measured calls of each, after one that compiles")
    parser.add_argument("--threads", type=int, default=available_cores(), help="cores for each")
    parser.add_argument("--encode", action="store_true", help="measure encode, once per picture, as well")
    parser.add_argument("--operators", action="store_true", help="print the time of MindSpore's operators as well")
    parser.add_argument("--ordinary", action="store_true", help="the convolutions of training, not infer.py's products")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace the configuration's")
    arguments = parser.parse_args()
    config = read_config(arguments.config, arguments.overrides)
    if not hasattr(config, "unet"):
        parser.error(f"{arguments.config} is of the system {config.system}, which has no denoising step")
    reason = why_no_torch(config)
    print(f"processor  {processor()}, {arguments.threads} used")
    print(f"date       {datetime.date.today()}")
    print(f"network    {config.name}, {arguments.batch} x {arguments.patch}², {arguments.repeats} calls in turns\n")
    print(f"{'':<27}{'ms, fastest':>12}{'median':>9}{'first call':>12}{'peak memory, MiB':>18}")
    for part in ("denoise", "encode")[: 1 + arguments.encode]:
        measure(part, arguments, reason)
    if reason:
        print(f"torch      no row: {reason}")


def measure(part, arguments, reason):
    """Call ``denoise`` or ``encode`` in turns and print its rows."""
    form = "ordinary" if arguments.ordinary else "dedicated"
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        workers = [
            running.enter_context(Worker(framework, folder, arguments, "denoise_step_worker.py", [part, form]))
            for framework in (["mindspore"] if reason else ["mindspore", "torch"])
        ]
        for _ in range(1 + arguments.repeats):
            for worker in workers:
                worker.results.append(worker.ask("step"))
        figures = [print_row(part, worker) for worker in workers]
        if not reason:
            ratios = [a / b for a, b in zip(*figures, strict=True)]
            print(
                f"{part + ' ratio':<27}{ratios[0]:>12.2f}{ratios[1]:>9.2f}{ratios[2]:>12.2f}{ratios[3]:>18.2f}", end=""
            )
            print(f"   results apart by {difference(Path(folder)):.0e} of the largest value")
        if arguments.operators:
            print_kinds(workers[0].ask("profile 5"))


def print_row(part, worker):
    """Print what one process needed; return it: fastest, median and first in milliseconds, MiB."""
    first, *milliseconds = [1000 * result["seconds"] for result in worker.results]
    found = [min(milliseconds), statistics.median(milliseconds), first, worker.results[-1]["peak"] / 2**20]
    name = f"{part} {worker.framework} {metadata.version(worker.framework).partition('+')[0]}"
    print(f"{name:<27}{found[0]:>12,.0f}{found[1]:>9,.0f}{found[2]:>12,.0f}{found[3]:>18,.0f}")
    return found


def difference(folder):
    """The largest difference of the two results, in terms of the largest value."""
    ours, theirs = np.load(folder / "mindspore.npy"), np.load(folder / "torch.npy")
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


if __name__ == "__main__":
    main()
