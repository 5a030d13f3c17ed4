#!/usr/bin/env python3
"""The table of results: models on test sets, under several protocols, samples over several seeds as mean ± deviation.

Every (set, method, seed, protocol) becomes a row of OUTPUT (CSV); the table is printed in Markdown. A method is a
checkpoint, by default the two that come with the project, with its own default sampling; an SRDiff comes once more as
--full says, one seed, to show what all steps at full temperature give.
"""

import csv
import sys
from pathlib import Path

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import RRDB, SRDIFF, add_device, parser, run  # noqa: E402

SCORES = ("psnr", "ssim", "lpips", "lr_psnr", "niqe", "colour")
COLUMNS = ("data", "protocol", "method", "seed", *SCORES)
FULL = {"sampler": "ddpm", "steps": 100, "spacing": "uniform", "eta": 0.0, "temperature": 1.0, "consistency": False}


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--checkpoint", nargs="+", default=[str(RRDB), str(SRDIFF)], metavar="W")
    p.add_argument("--data", nargs="+", required=True, metavar="NAME=DIR", help="test pictures, as eval.py takes them")
    p.add_argument("--protocols", nargs="+", default=["classic", "srdiff"], choices=("classic", "srdiff", "y", "sr3"))
    p.add_argument("--seeds", type=int, default=5, help="samples are drawn with the seeds 0 to N - 1")
    p.add_argument("--full", action="store_true", help="an SRDiff also by 100 steps of ddpm at temperature 1, seed 0")
    p.add_argument("--lpips", choices=("squeeze", "alex", "vgg"), default="squeeze", help="network of LPIPS")
    p.add_argument("--lpips-weights", metavar="PATH", help="their folder or file; by default the cache folder")
    p.add_argument("--output", type=Path, default=Path("runs/results.csv"), metavar="CSV")
    add_device(p)
    args = p.parse_args()
    if args.seeds < 1 or not all("=" in data for data in args.data):
        p.error(f"expected --seeds from 1 up and --data NAME=DIR, got {args.seeds} and {' '.join(args.data)}")
    return args


def main():
    args = arguments()
    from src.commands.evaluation_setup import common_scale, load_models
    from src.dataset.pairs import find_pairs, load_pair
    from src.metrics.lpips import load_lpips
    from src.metrics.weight_files import find_weights

    models = load_models(args.checkpoint, device=args.device)
    scale = common_scale(models)
    lpips = load_lpips(args.lpips, find_weights(args.lpips, args.lpips_weights))
    rows = []
    for name, folder in (data.split("=", 1) for data in args.data):
        pictures = [load_pair(pair, scale) for pair in find_pairs(folder, scale=scale)]
        for method, seeds, upscale in methods(models, scale, args.seeds, args.full):
            for seed in range(seeds):
                found = [scores(upscale(lr, n, seed), hr, lr, scale, args.protocols, lpips)
                         for n, (hr, lr) in enumerate(pictures)]  # fmt: skip
                means = np.mean(np.array(found, float), 0).tolist()  # NaN where a picture is too small for a score
                for protocol, values in zip(args.protocols, means, strict=True):
                    rows.append(dict(zip(COLUMNS, (name, protocol, method, seed, *values), strict=True)))
            write(args.output, rows)
    print_table(rows, args.lpips)


def methods(models, scale, seeds, full):
    """Yield (name, number of seeds, upscale(lr, picture's number, seed) → sr) of bicubic and each model."""
    from src.families.registry import family_of
    from src.imaging.resize import imresize
    from src.metrics.evaluate import picture_seed

    def sampled(model, **options):
        return lambda lr, n, seed: model.upscaler.upscale([lr], [picture_seed(seed, n)], **options)[0]

    yield "bicubic", 1, lambda lr, n, seed: imresize(lr, scale)
    for model in models:
        diffusion = not family_of(model.config).one_pass
        yield model.name, seeds if diffusion else 1, sampled(model)
        if diffusion and full:
            yield f"{model.name}, 100 steps, τ 1", 1, sampled(model, **FULL)


def scores(sr, hr, lr, scale, protocols, lpips):
    """One row of :data:`SCORES` for each protocol; colour: the largest channel's mean deviation from LR's, levels."""
    from src.metrics.niqe import niqe
    from src.metrics.scores import lr_psnr, protocol_named

    reduced, distance, natural = min(lr_psnr(sr, lr), 99.0), lpips(sr, hr), niqe(sr)
    colour = np.abs(sr.mean((0, 1)) - lr.mean((0, 1))).max()
    return [(*protocol_named(name)(sr, hr, scale), distance, reduced, natural, colour) for name in protocols]


def write(path, rows):
    """Write all rows; whole or not at all."""
    from src.host.files import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, "table") as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def print_table(rows, net):
    """Print the rows in Markdown, seeds as mean ± standard deviation."""
    print(f"| | protocol | method | PSNR | SSIM | LPIPS ({net}) | LR-PSNR | NIQE | colour |\n" + "|---" * 9 + "|")
    for key in dict.fromkeys(tuple(row[name] for name in COLUMNS[:3]) for row in rows):
        own = np.array([[row[name] for name in SCORES] for row in rows if key == tuple(row[n] for n in COLUMNS[:3])])
        digits = (2, 4, 4, 2, 2, 2)
        cells = [f"{value:.{n}f}" for value, n in zip(own.mean(0), digits, strict=True)]
        if len(own) > 1:
            deviation = own.std(0, ddof=1)
            cells = [f"{cell} ± {value:.{n}f}" for cell, value, n in zip(cells, deviation, digits, strict=True)]
        print(f"| {' | '.join(key)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    run(main)
