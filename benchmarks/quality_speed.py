#!/usr/bin/env python3
"""Score samplers, numbers of steps and temperatures of one model against the time that they take.

Every combination becomes a row of OUTPUT (CSV); rows of the same checkpoint, pictures, LPIPS network and seed that are
there already are not scored again. All of them are timed anew, in this one run, on the first picture. Prints the rows,
best LPIPS first, and the best of those that take at most a tenth of the time of 100 steps of ddpm: the default to
record in the checkpoint (--record).
"""

import csv
import hashlib
import itertools
import sys
import time
from pathlib import Path

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import add_device, parser, run  # noqa: E402
from src.errors import UserError  # noqa: E402

SETTINGS = ("sampler", "steps", "spacing", "eta", "temperature", "consistency")
SCORES = ("psnr", "lpips", "lr_psnr")
COLUMNS = ("about", *SETTINGS, *SCORES, "seconds")
REFERENCE = dict(zip(SETTINGS, ("ddpm", 100, "uniform", 0.0, 1.0, False), strict=True))


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--checkpoint", required=True, metavar="W", help="a diffusion model")
    p.add_argument("--data", required=True, metavar="DIR", help="validation pictures, not those of a final report")
    p.add_argument("--output", required=True, type=Path, metavar="CSV", help="where the rows are collected")
    p.add_argument("--samplers", nargs="+", default=["ddim", "dpmpp_2m", "dpmpp_2m_sde", "ddpm", "sr3"])
    p.add_argument("--steps", nargs="+", type=int, default=[3, 5, 10])
    p.add_argument("--spacings", nargs="+", default=["uniform"])
    p.add_argument("--etas", nargs="+", type=float, default=[0.0], help="of samplers that have it, such as ddim")
    p.add_argument("--temperatures", nargs="+", type=float, default=[0.2, 0.4, 0.6, 0.8, 1.0])
    p.add_argument("--consistency", nargs="+", choices=("off", "on"), default=["off"])
    p.add_argument("--lpips", choices=("squeeze", "alex", "vgg"), default="alex", help="network of LPIPS")
    p.add_argument("--lpips-weights", metavar="PATH", help="their folder or file; by default the cache folder")
    p.add_argument("--seed", type=int, default=0, help="picture n, counted from 0, is sampled with the seed + n")
    p.add_argument("--record", metavar="W", help="write the model to this checkpoint, with the best as its default")
    add_device(p)
    return p.parse_args()


def main():
    args = arguments()
    from tqdm import tqdm

    from src.build import load_upscaler
    from src.dataset.pairs import find_pairs, load_pair
    from src.metrics.lpips import load_lpips
    from src.metrics.weight_files import find_weights

    upscaler = load_upscaler(args.checkpoint, args.device)
    wanted = combinations(args)
    for settings in wanted:
        upscaler.resolve(**settings)
    about, rows = describe(args.checkpoint, args.data, args.lpips, args.seed), read(args.output)
    lpips = load_lpips(args.lpips, find_weights(args.lpips, args.lpips_weights))
    pictures = [load_pair(pair, upscaler.scale) for pair in find_pairs(args.data, scale=upscaler.scale)]
    conditions = [upscaler.encode(lr.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1) for _, lr in pictures]
    for settings in tqdm([REFERENCE, *wanted], desc="measuring", unit="row"):
        if key(settings) not in {key(row) for row in rows if row["about"] == about}:
            scores = measure(upscaler, pictures, conditions, settings, lpips, args.seed)
            rows.append({"about": about} | settings | scores | {"seconds": float("nan")})
            write(args.output, rows)
    own = [row for row in rows if row["about"] == about]
    for row in tqdm(own, desc="timing", unit="row"):
        row["seconds"] = seconds(upscaler, pictures[0][1], row)
    write(args.output, rows)
    best = choose(own)
    show(own, best, args.lpips, len(pictures))
    if args.record:
        record(args.checkpoint, args.record, best)


def combinations(args):
    """The settings that the command line asks for; eta is 0 for samplers that have none."""
    from src.inference.sampling import takes_eta

    return [
        dict(zip(SETTINGS, (sampler, steps, spacing, eta, temperature, consistency == "on"), strict=True))
        for sampler in args.samplers
        for steps, spacing, eta, temperature, consistency in itertools.product(
            args.steps, args.spacings, args.etas if takes_eta(sampler) else [0.0], args.temperatures, args.consistency
        )
    ]


def describe(checkpoint, data, net, seed):
    """What scores depend on beside the settings, in a word: a hash of the checkpoint, the folder, LPIPS and seed."""
    digest = hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()[:8]
    return f"{digest} {Path(data).resolve()} {net} {seed}"


def seconds(upscaler, lr, row):
    """How long a picture takes from LR to uint8: the fastest of two."""
    settings, found = {name: row[name] for name in SETTINGS}, []
    for _ in range(2):
        start = time.perf_counter()
        upscaler.upscale([lr], [0], **settings)
        found.append(time.perf_counter() - start)
    return min(found)


def measure(upscaler, pictures, conditions, settings, lpips, seed):
    """Return the mean scores of a way to sample: classic PSNR, LPIPS, LR-PSNR."""
    from src.inference.upscaler import to_pixels
    from src.metrics.evaluate import picture_seed
    from src.metrics.scores import lr_psnr, protocol_named

    score, sampling, found = protocol_named("classic"), upscaler.resolve(**settings), []
    for number, ((hr, lr), condition) in enumerate(zip(pictures, conditions, strict=True)):
        sr = to_pixels(upscaler.draw(condition, sampling, picture_seed(seed, number)))[0]
        found.append((score(sr, hr, upscaler.scale)[0], lpips(sr, hr), min(lr_psnr(sr, lr), 99.0)))
    return dict(zip(SCORES, np.mean(found, axis=0).tolist(), strict=True))


def key(row):
    """What makes two rows about the same model and pictures the same measurement."""
    return tuple(row[name] for name in SETTINGS)


def choose(rows):
    """The row with the best LPIPS among those that take at most a tenth of the reference's time.

    Raises:
        UserError: there is none, or the reference is missing.
    """
    reference = next((row["seconds"] for row in rows if key(row) == key(REFERENCE)), None)
    if reference is None:
        raise UserError("the row of 100 steps of ddpm is missing, which times are compared with: measure it again")
    fast = [row for row in rows if row["seconds"] <= reference / 10]
    if not fast:
        raise UserError(
            f"no row takes at most a tenth of the {reference:.2f} s of 100 steps of ddpm: measure with fewer --steps"
        )
    return min(fast, key=lambda row: row["lpips"])


def show(rows, best, net, count):
    """Print the rows, best LPIPS first."""
    print(f"means of {count} pictures; PSNR: protocol classic; LPIPS: {net}; seconds: the first of them, whole")
    print(f"{'sampler':14}{'steps':>5} {'spacing':12}{'η':>4}{'τ':>5} {'consistent':10} {'PSNR':>6} {'LPIPS':>7} "
          f"{'LR-PSNR':>7} {'s':>7}")  # fmt: skip
    for row in sorted(rows, key=lambda row: row["lpips"]):
        print(
            f"{row['sampler']:14}{row['steps']:5} {row['spacing']:12}{row['eta']:4.1f}{row['temperature']:5.1f} "
            f"{'yes' if row['consistency'] else 'no':10} {row['psnr']:6.2f} {row['lpips']:7.4f} {row['lr_psnr']:7.2f} "
            f"{row['seconds']:7.3f}" + ("  <- default" if row is best else "")
        )


def read(path):
    """The rows measured so far.

    Raises:
        UserError: the file is something else.
    """
    if not path.exists():
        return []
    kinds = dict.fromkeys(COLUMNS, float) | {"about": str, "sampler": str, "spacing": str, "steps": int}
    kinds["consistency"] = {"True": True, "False": False}.__getitem__
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            lines = csv.DictReader(handle)
            if tuple(lines.fieldnames or ()) != COLUMNS:
                raise ValueError(f"its columns are {lines.fieldnames}")
            return [{name: kinds[name](row[name]) for name in COLUMNS} for row in lines]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path} is not a table of quality_speed.py ({error}): name another file") from error


def write(path, rows):
    """Write all rows; whole or not at all."""
    from src.host.files import replacing

    with replacing(path, "table") as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def record(source, target, best):
    """Write a checkpoint whose settings say that pictures are sampled as ``best`` was."""
    from scripts.search_schedule import record_sampling

    record_sampling(source, target, {name: best[name] for name in SETTINGS})
    print(f"written {target}: {', '.join(f'{name} {best[name]}' for name in SETTINGS)}")


if __name__ == "__main__":
    run(main)
