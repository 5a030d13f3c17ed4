#!/usr/bin/env python3
"""The perception–distortion curve of a diffusion model over its temperature, as CSV and PNG (needs matplotlib).

Each temperature is a point (PSNR, LPIPS) of the means over the pictures, by ddim and in agreement with the input;
--with adds models without a temperature.
"""

import csv
import sys
from pathlib import Path

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import RRDB, SRDIFF, add_device, parser, run  # noqa: E402
from src.errors import UserError  # noqa: E402

COLUMNS = ("method", "steps", "temperature", "psnr", "lpips")


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--checkpoint", default=str(SRDIFF), metavar="W", help="a diffusion model")
    p.add_argument("--with", dest="others", nargs="*", default=[str(RRDB)], metavar="W", help="other models")
    p.add_argument("--data", required=True, metavar="DIR", help="pictures, as eval.py takes them")
    p.add_argument("--steps", nargs="+", type=int, default=[3, 10])
    p.add_argument("--temperatures", nargs="+", type=float, default=[0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0])
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--lpips", choices=("squeeze", "alex", "vgg"), default="squeeze", help="network of LPIPS")
    p.add_argument("--lpips-weights", metavar="PATH", help="their folder or file; by default the cache folder")
    p.add_argument("--output", type=Path, default=Path("runs/perception_distortion.png"), metavar="PNG")
    add_device(p)
    return p.parse_args()


def main():
    args = arguments()
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("matplotlib is missing: pip install matplotlib") from error
    matplotlib.use("Agg")
    rows = measure(args)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with open(args.output.with_suffix(".csv"), "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerows([COLUMNS, *rows])
    draw(rows, args.output, args.lpips)
    print(args.output)


def measure(args):
    """Return rows of :data:`COLUMNS`."""
    from src.build import load_upscaler
    from src.dataset.pairs import find_pairs, load_pair
    from src.imaging.resize import imresize
    from src.metrics.evaluate import picture_seed
    from src.metrics.lpips import load_lpips
    from src.metrics.scores import protocol_named
    from src.metrics.weight_files import find_weights

    model = load_upscaler(args.checkpoint, args.device)
    lpips = load_lpips(args.lpips, find_weights(args.lpips, args.lpips_weights))
    pictures = [load_pair(pair, model.scale) for pair in find_pairs(args.data, scale=model.scale)]
    classic = protocol_named("classic")

    def point(upscale):
        found = [(classic(sr, hr, model.scale)[0], lpips(sr, hr))
                 for n, (hr, lr) in enumerate(pictures) for sr in [upscale(lr, n)]]  # fmt: skip
        return np.mean(found, 0).tolist()

    rows = [("bicubic", "", "", *point(lambda lr, n: imresize(lr, model.scale)))]
    for path in args.others:
        other = load_upscaler(path, args.device)
        rows.append((other.name, "", "", *point(lambda lr, n, other=other: other.upscale([lr], [0])[0])))
    for steps in args.steps:
        for temperature in args.temperatures:
            options = {"sampler": "ddim", "steps": steps, "temperature": temperature, "consistency": True}
            scores = point(lambda lr, n, o=options: model.upscale([lr], [picture_seed(args.seed, n)], **o)[0])
            rows.append((model.name, steps, temperature, *scores))
    return rows


def draw(rows, path, net):
    """Draw LPIPS against PSNR."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 5), layout="constrained")
    for method, steps in dict.fromkeys(row[:2] for row in rows):
        own = [row for row in rows if row[:2] == (method, steps)]
        label = f"{method}, {steps} steps" if steps else method
        axes.plot([row[3] for row in own], [row[4] for row in own], "o-" if steps else "s", label=label, markersize=5)
        for row in own if steps else []:
            axes.annotate(f"τ {row[2]:g}", row[3:], textcoords="offset points", xytext=(5, 4), fontsize=7)
    axes.set(xlabel="PSNR-Y / dB (distortion: more is better)", ylabel=f"LPIPS ({net}; perception: less is better)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    run(main)
