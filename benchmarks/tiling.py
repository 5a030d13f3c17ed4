#!/usr/bin/env python3
"""Time and memory of pictures of any size, and how far tiles deviate from the whole picture.

With --sizes: infer.py in a process of its own for each size, on --device or else the CPU, its seconds and its peak
memory. With --halos: one picture as a whole and by tiles of each --tile with each halo, in this process: seconds, and
the largest and mean difference in 8-bit levels. The picture is made of scikit-image's photographs.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # Python has put this script's folder there

from src.command import add_device, add_sampling, given_sampling, parser, run  # noqa: E402
from src.diffusion.samplers import SAMPLERS  # noqa: E402
from src.errors import UserError  # noqa: E402
from src.families.registry import family_of  # noqa: E402


def main():
    p = parser(__doc__)
    p.add_argument("--checkpoint", required=True, metavar="W", help="a .ckpt or .mindir")
    p.add_argument("--sizes", nargs="+", default=[], metavar="WxH", help="LR pictures to measure memory with; "
                   "on --device or else the CPU")  # fmt: skip
    p.add_argument("--max-memory", nargs="+", default=[], metavar="GB", help="with --sizes: budgets to try")
    p.add_argument("--halos", nargs="+", default=[], type=int, metavar="N", help="HR pixels")
    p.add_argument("--tiles", nargs="+", type=int, default=[512], metavar="N", help="with --halos: HR pixels")
    p.add_argument("--picture", default="512x256", metavar="WxH", help="with --halos: the LR picture")
    add_sampling(p, SAMPLERS)
    add_device(p)
    args = p.parse_args()
    if not args.sizes and not args.halos:
        p.error("name --sizes, --halos or both")
    for size in (*args.sizes, args.picture):
        sides(size)
    if args.sizes:
        measure_memory(args)
    if args.halos:
        measure_deviation(args)


def measure_memory(args):
    """Print seconds and peak memory of infer.py for each size and budget."""
    print(f"{'LR':>10} {'HR':>10} {'--max-memory':>12} {'seconds':>8} {'peak GB':>8}  tiles")
    sampling = given_sampling(args)
    consistency = {None: [], True: ["--consistency"], False: ["--no-consistency"]}[sampling.pop("consistency", None)]
    options = [f"--{name}={value}" for name, value in sampling.items()]
    options += [*consistency, "--device", args.device or "CPU"]
    for size in args.sizes:
        for budget in args.max_memory or [None]:
            with tempfile.TemporaryDirectory() as folder:
                from PIL import Image

                Image.fromarray(collage(size)).save(f"{folder}/lr.png")
                files = ["--input", f"{folder}/lr.png", "--output", f"{folder}/sr.png"]
                limit = ["--max-memory", budget] if budget else []
                command = [sys.executable, ROOT / "infer.py", "--checkpoint", args.checkpoint, *files, *options, *limit]
                seconds, peak, log = timed(command)
                width, height = Image.open(f"{folder}/sr.png").size
            tiles = next((line.split(":", 1)[1].strip() for line in log.splitlines() if " tiles " in line), "1")
            print(f"{size:>10} {f'{width}x{height}':>10} {budget or 'default':>12} {seconds:8.1f} {peak:8.2f}  {tiles}",
                  flush=True)  # fmt: skip


def timed(command):
    """Run a command; return its seconds, its peak resident memory in GB, and its stderr."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read()
    if process.returncode:
        raise UserError(f"infer.py failed: {(text.strip().splitlines() or [process.returncode])[-1]}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return time.perf_counter() - start, usage.ru_maxrss * unit / 2**30, text


def measure_deviation(args):
    """Print what each tile and halo differ by from the picture as a whole."""
    from src.build import load
    from src.inference.tile_size import TileOptions

    config, whole = load(args.checkpoint, args.device, tile_options=TileOptions(tile=0))
    lr = collage(args.picture).transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
    sampling = given_sampling(args)
    whole.sample(lr[..., :32, :32], seed=0, **sampling)  # compiles
    expected, seconds = clocked(whole, lr, sampling)
    print("deviations in 8-bit levels")
    print(f"{'tile':>6} {'halo':>6} {'windows':>8} {'seconds':>8} {'largest':>9} {'99.9 %':>9} {'mean':>9}")
    print(f"{'whole':>6} {'':6} {1:8} {seconds:8.1f}")
    for tile in args.tiles:
        for halo in args.halos:
            by_tiles = family_of(config).upscaler(
                whole.networks, family_of(config).tiling(TileOptions(tile=tile, halo=halo))
            )
            found, seconds = clocked(by_tiles, lr, sampling)
            levels = np.abs(found - expected) * 127.5
            count = len(by_tiles.tiling.grid(1, *lr.shape[2:]).windows)
            print(f"{tile:6} {halo:>6} {count:8} {seconds:8.1f} {levels.max():9.5f} {np.quantile(levels, 0.999):9.5f} "
                  f"{levels.mean():9.6f}", flush=True)  # fmt: skip


def clocked(upscaler, lr, sampling):
    """A sample and the seconds it took."""
    start = time.perf_counter()
    return upscaler.sample(lr, seed=0, **sampling), time.perf_counter() - start


def sides(size):
    """Width and height of a size "WxH"."""
    try:
        width, height = (int(n) for n in size.lower().split("x"))
        if width < 1 or height < 1:
            raise ValueError("no pixels")
    except ValueError as error:
        raise UserError(f"a size must be WIDTHxHEIGHT, such as 480x270, not '{size}'") from error
    return width, height


def collage(size):
    """A picture of a size "WxH": scikit-image's photographs side by side, repeated, uint8 (H, W, 3)."""
    from skimage import data

    width, height = sides(size)
    strip = np.concatenate([data.astronaut()[:400], data.coffee()[:400], data.chelsea()[:300].repeat(2, 0)[:400]], 1)
    repeats = (-(-height // strip.shape[0]), -(-width // strip.shape[1]), 1)
    return np.ascontiguousarray(np.tile(strip, repeats)[:height, :width])


if __name__ == "__main__":
    run(main)
