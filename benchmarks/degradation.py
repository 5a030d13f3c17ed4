"""Measure how fast training patches are degraded; prints a table.

Usage: python benchmarks/degradation.py [--batch-size 8] [--batches 20]
Cuts patches from scikit-image's photographs, which stay in memory, by as many threads as workers.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.data_pipeline import write_photographs  # noqa: E402

CASES = (("rrdb_lite_x4", 96), ("rrdb_photo_lite_x4", 96), ("realesrnet_x4", 96), ("realesrnet_x4", 256))


def main():
    """Run every case and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--batches", type=int, default=20, help="measured batches of each case")
    arguments = parser.parse_args()
    print(f"{'degradation of':<22}{'patch':>6}{'workers':>9}{'patches/s':>11}{'s a batch':>11}")
    with tempfile.TemporaryDirectory() as folder:
        data = write_photographs(Path(folder))
        for name, side in CASES:
            for workers in (1, 2):
                rate = measure(data, name, side, workers, arguments.batch_size * arguments.batches)
                print(f"{name:<22}{side:>6}{workers:>9}{rate:>11.0f}{arguments.batch_size / rate:>11.3f}", flush=True)


def measure(data, name, side, workers, count):
    """Return the patches per second of one case."""
    from src.dataset.degradation import degradation_of
    from src.dataset.patches import PatchPairs
    from src.families.registry import read_config

    degradation = degradation_of(read_config(ROOT / f"configs/{name}.yaml").degradation)
    patches = PatchPairs(data, scale=4, patch_size=side, degradation=degradation)
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(patches.sample, range(2 * len(patches))))  # decodes the pictures
        start = time.perf_counter()
        list(pool.map(patches.sample, range(count)))
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
