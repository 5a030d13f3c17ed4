"""Time a whole picture with a checkpoint, its exports, and PyTorch on the CPU; prints a table.

Each is a process of its own and they are called in turns, on the same cores, with the same picture and noise, so that a
busy machine slows all. "checkpoint" is what infer.py runs (ONNX Runtime, see docs/inference_speed.md), "mindspore" the
same with --runtime mindspore. PyTorch's networks are ``torch_srdiff.py`` and ``torch_sr3.py``, run eagerly, in the
same upscaler.

Usage: python benchmarks/engines.py [--checkpoint W | --config YAML] [--size 128] [--repeats 5] [--threads N]
           [--sampler S --steps N ...]
A configuration takes random weights.
"""

import argparse
import contextlib
import datetime
import importlib.util
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from onednn_isa import processor
from train_step import ROOT, Worker, available_cores

sys.path.insert(0, str(ROOT))

from src.command import SRDIFF, add_sampling, given_sampling
from src.diffusion.samplers import SAMPLERS
from src.families.registry import family_of
from src.imaging.resize import imresize


def main():
    """Export, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--checkpoint", default=str(SRDIFF))
    model.add_argument("--config", help="take random weights of this configuration")
    parser.add_argument("--size", type=int, default=128, help="LR pixels, the side of the picture")
    parser.add_argument("--repeats", type=int, default=5, help="measured calls of each, after the first")
    parser.add_argument("--threads", type=int, default=available_cores(), help="cores for each")
    add_sampling(parser, SAMPLERS)
    args = parser.parse_args()
    sampling = given_sampling(args)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = random_checkpoint(args.config, folder) if args.config else args.checkpoint
        run_apart(load_once, checkpoint)
        exports = export_all(checkpoint, args.size, sampling, Path(folder))
        np.save(Path(folder, "lr.npy"), photograph(args.size))
        print(f"processor  {processor()}, {args.threads} used")
        print(f"date       {datetime.date.today()}")
        print(f"model      {Path(args.config or checkpoint).stem}, sampling {sampling or 'by default'}")
        print(f"picture    {args.size} x {args.size}, {args.repeats} calls in turns\n")
        measure(checkpoint, exports, sampling, args, Path(folder))


def random_checkpoint(config, folder):
    """Write a checkpoint of random weights; in a process of its own, so that this one stays small."""
    path = str(Path(folder, f"{Path(config).stem}.ckpt"))
    run_apart(save_random, config, path)
    return path


def run_apart(function, *arguments):
    """Call a function in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()


def load_once(checkpoint):
    """Make the export that later starts find in the cache."""
    from src.build import load_upscaler

    load_upscaler(checkpoint, "CPU")


def save_random(config, path):
    """What that process does."""
    from src.host.device import prepare

    prepare()
    import mindspore as ms

    from src.families.registry import read_config
    from src.weights.checkpoint import config_json, save_model

    ms.set_seed(1)
    made = read_config(config)
    save_model(path, {p.name: p for p in family_of(made).model().get_parameters()}, config_json(made), 0)


def export_all(checkpoint, size, sampling, folder):
    """Export every kind and cut with the comparison; return label → (file, MB of all files, largest deviation)."""
    found = {}
    for kind in ("mindir", "onnx"):
        for cut in ("step", "sampler"):
            output = folder / f"{cut}.{kind}"
            command = [
                sys.executable,
                ROOT / "export.py",
                "--checkpoint",
                checkpoint,
                "--output",
                output,
                "--device",
                "CPU",
            ]
            command += ["--format", kind, "--graph", cut, *options(sampling)]
            command += ["--size", size, size] if cut == "sampler" else []
            process = subprocess.run(list(map(str, command)), capture_output=True, text=True)
            if process.returncode and "this export takes any" in process.stderr:
                continue  # an RRDB has one cut
            if process.returncode:
                sys.exit(process.stderr.strip().splitlines()[-1])
            lines = process.stdout.splitlines()
            table = next(i for i, line in enumerate(lines) if line.startswith("stage "))
            megabytes = sum(Path(path).stat().st_size for path in lines[:table]) / 1e6
            worst = max(float(line[14:32]) for line in lines[table + 1 :])
            found[f"{kind} {cut}"] = (str(output), megabytes, worst)
    return found


def options(sampling):
    """The command line of a sampling."""
    words = []
    for name, value in sampling.items():
        words += [f"--{name}" if value else f"--no-{name}"] if isinstance(value, bool) else [f"--{name}", str(value)]
    return words


def photograph(size):
    """A photograph of scikit-image's as LR, uint8 (size, size, 3)."""
    from skimage import data

    return imresize(data.astronaut(), 1 / 4)[:size, :size] if size <= 128 else data.astronaut()[:size, :size]


def measure(checkpoint, exports, sampling, args, folder):
    """Call all in turns and print a row of each."""
    kinds = {"checkpoint": checkpoint, "mindspore": checkpoint}
    kinds |= {label: path for label, (path, *_) in exports.items()}
    if importlib.util.find_spec("torch"):
        kinds["torch"] = checkpoint
    with contextlib.ExitStack() as running:
        workers = {}
        for kind, path in kinds.items():
            words = SimpleNamespace(config=path, batch=1, patch=args.size, threads=args.threads, overrides=[])
            given = {} if kind.endswith("sampler") else sampling
            workers[kind] = running.enter_context(
                Worker(kind, str(folder), words, "engines_worker.py", [json.dumps(given)])
            )
        for _ in range(1 + args.repeats):
            for worker in workers.values():
                worker.results.append(worker.ask("step"))
    print(f"{'':<16}{'s, median':>10}{'fastest':>9}{'ratio':>7}{'first':>8}{'peak, MiB':>11}{'files, MB':>11}"
          f"{'--check':>10}{'levels apart':>14}")  # fmt: skip
    reference = np.load(folder / "mindspore.npy").astype(int)
    base = statistics.median(result["seconds"] for result in workers["checkpoint"].results[1:])
    for kind, worker in workers.items():
        first, *seconds = [result["seconds"] for result in worker.results]
        median, peak = statistics.median(seconds), worker.results[-1]["peak"] / 2**20
        _, megabytes, worst = exports.get(kind, (None, Path(checkpoint).stat().st_size / 1e6, None))
        apart = np.abs(np.load(folder / f"{kind.replace(' ', '_')}.npy").astype(int) - reference).max()
        check = "–" if worst is None else f"{worst:.0e}"
        print(f"{kind:<16}{median:>10.2f}{min(seconds):>9.2f}{median / base:>7.2f}{first:>8.2f}{peak:>11,.0f}"
              f"{megabytes:>11.1f}{check:>10}{apart:>14}")  # fmt: skip


if __name__ == "__main__":
    main()
