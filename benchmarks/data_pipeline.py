"""Measure how many training samples per second the input pipeline delivers; prints a table.

Usage: python benchmarks/data_pipeline.py [--data FOLDER] [--patch-size 128] [--batch-size 16] [--batches 60]
Without --data it reads scikit-image's photographs, written as PNG files to a temporary folder.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from src.host.device import prepare  # noqa: E402

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry", "cat")


def main():
    """Run every case and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of pictures")
    parser.add_argument("--patch-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--batches", type=int, default=60, help="measured batches of each case")
    arguments = parser.parse_args()
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or write_photographs(Path(folder))
        print(f"{'pictures':<24}{'noise':<8}{'workers':>8}{'samples/s':>12}")
        for cached in (True, False):
            for noise_steps in (None, 100):
                for workers in (1, 2, 4):
                    rate = measure(data, arguments, cached, noise_steps, workers)
                    pictures = "cached in memory" if cached else "decoded on demand"
                    print(f"{pictures:<24}{'yes' if noise_steps else 'no':<8}{workers:>8}{rate:>12.0f}", flush=True)


def measure(data, arguments, cached, noise_steps, workers):
    """Return the samples per second of one case; what is prepared before the clock starts is not counted."""
    from src.dataset.batches import training_batches
    from src.dataset.patches import PatchPairs

    patches = PatchPairs(data, scale=4, patch_size=arguments.patch_size)
    patches.cached = cached
    for index in range(len(patches)):  # the first epoch decodes, and makes the LR pictures
        patches.sample(index)
    prefetch = 2
    steps = arguments.batches + 2 * prefetch
    batches = training_batches(
        patches,
        batch_size=arguments.batch_size,
        batches=steps,
        workers=workers,
        prefetch=prefetch,
        noise_steps=noise_steps,
    ).create_dict_iterator(output_numpy=True)
    for _ in range(2 * prefetch):
        next(batches)
    start = time.perf_counter()
    for _ in range(arguments.batches):
        next(batches)
    return arguments.batches * arguments.batch_size / (time.perf_counter() - start)


def write_photographs(folder):
    """Write scikit-image's photographs as PNG files; return the folder."""
    from skimage import data

    from src.imaging.io import write_image

    for name in PHOTOGRAPHS:
        write_image(folder / f"{name}.png", getattr(data, name)())
    return folder


if __name__ == "__main__":
    main()
