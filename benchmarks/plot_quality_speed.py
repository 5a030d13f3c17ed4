#!/usr/bin/env python3
"""Draw what quality_speed.py measured: LPIPS, PSNR and LR-PSNR against seconds, as a PNG. Needs matplotlib."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from benchmarks.quality_speed import REFERENCE, choose, key, read  # noqa: E402
from src.command import parser, run  # noqa: E402
from src.errors import UserError  # noqa: E402

PANELS = {"lpips": "LPIPS (less is better)", "psnr": "PSNR-Y / dB", "lr_psnr": "LR-PSNR / dB"}
MARKERS = {"ddim": "o", "dpmpp_2m": "s", "dpmpp_2m_sde": "^", "ddpm": "D", "sr3": "x"}


def main():
    p = parser(__doc__)
    p.add_argument("table", type=Path, metavar="CSV", help="the rows that quality_speed.py collected")
    p.add_argument("output", type=Path, help="the picture, .png or .svg")
    args = p.parse_args()
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("matplotlib is missing: pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = read(args.table)
    if not rows:
        raise UserError(f"there are no rows in {args.table}: make it with benchmarks/quality_speed.py")
    best = choose(rows)
    figure, panels = pyplot.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
    for axes, (score, label) in zip(panels, PANELS.items(), strict=True):
        for sampler, marker in MARKERS.items():
            some = [row for row in rows if row["sampler"] == sampler and not row["consistency"]]
            drawn = axes.scatter(
                [row["seconds"] for row in some], [row[score] for row in some], marker=marker, label=sampler, s=30,
                c=[row["temperature"] for row in some], cmap="viridis", vmin=0, vmax=1,
            )  # fmt: skip
        some = [row for row in rows if row["consistency"]]
        axes.scatter(
            [row["seconds"] for row in some], [row[score] for row in some], marker="*", label="consistent", s=50,
            c=[row["temperature"] for row in some], cmap="viridis", vmin=0, vmax=1,
        )  # fmt: skip
        axes.scatter(best["seconds"], best[score], s=160, facecolors="none", edgecolors="tab:red", label="default")
        reference = next(row for row in rows if key(row) == key(REFERENCE))
        axes.axvline(reference["seconds"] / 10, color="gray", linestyle=":", linewidth=1)
        axes.set(xscale="log", xlabel="seconds per picture (dotted: a tenth of 100 steps of ddpm)", ylabel=label)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    figure.colorbar(drawn, ax=panels, label="temperature")
    figure.savefig(args.output, dpi=100)
    print(args.output)


if __name__ == "__main__":
    run(main)
