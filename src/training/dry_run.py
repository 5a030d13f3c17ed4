"""What a training would take: built whole, three steps run, nothing written."""

import resource
import sys
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import mindspore as ms
import numpy as np
from PIL import Image

from ..families.registry import family_of
from .loop import Progress
from .trainer import training_of


def dry_run(config):
    """Build everything, run three steps; return lines of text: parameters, memory, time of a step.

    Where the pictures are not there, noise stands in for them, and nothing that the run starts from is loaded.
    """
    absent = [name for name in ("train", "val") if not Path(getattr(config.data, name)).exists()]
    if not absent:
        return _measured(config, training_of(config))
    needed = " ".join(f"data.{name}={getattr(config.data, name)}" for name in absent)
    with tempfile.TemporaryDirectory() as folder:
        side = config.data.patch_size
        noise = np.random.default_rng(config.seed).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(noise).save(Path(folder) / "noise.png")
        config = replace(config, data=replace(config.data, **dict.fromkeys(absent, folder)))
        lines = _measured(config, training_of(config, pretrained=family_of(config).distilled))
    return [*lines, f"needed         {needed}: not there, these steps ran on noise, from random weights"]


def _measured(config, training):
    train = config.train
    total = sum(parameter.size for parameter in training.parameters())
    trained = sum(parameter.size for parameter in training.trained)
    shown = 0 if training.shown is training.model else sum(p.size for p in training.shown.get_parameters())
    seconds = []
    for batches in islice(training.batches(Progress()), 3):
        start = time.perf_counter()
        loss, *_ = training.step(batches)
        loss.asnumpy()
        seconds.append(time.perf_counter() - start)
    least = min(seconds[1:] or seconds)
    state = 4 * (total + shown + (3 + (train.accumulate > 1)) * trained) / 2**20
    batch = f"batch {train.batch_size}" + (f" x {train.accumulate} passes" if train.accumulate > 1 else "")
    return [
        f"configuration  {config.name} ({config.system}), {batch} x {config.data.patch_size}²",
        f"pictures       {training.pictures}",
        f"parameters     {total:,} ({trained:,} trained)",
        f"memory         {state:,.0f} MiB for parameters, gradients, their average and Adam's state; "
        f"{_peak_memory() / 2**20:,.0f} MiB at the peak of these steps, measured",
        f"first step     {seconds[0]:.1f} s with compilation",
        f"one step       {1000 * least:,.0f} ms; {training.steps:,} steps take about "
        f"{training.steps * least / 3600:,.1f} h",
    ]


def _peak_memory():
    """Bytes at the peak so far: of the accelerator's memory, or of the process where it is the CPU's."""
    if ms.get_context("device_target") == "CPU":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # KiB on Linux
    return ms.runtime.max_memory_allocated()
