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
    p.add_argument("--about", metavar="TEXT", help="which rows, by their first column, where there are several kinds")
    args = p.parse_args()
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("matplotlib is missing: pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = of_one_kind(read(args.table), args.about, args.table)
    best = choose(rows)
    figure, panels = pyplot.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
    for axes, (score, label) in zip(panels, PANELS.items(), strict=True):
        drawn = draw(axes, rows, best, score)
        axes.set(xscale="log", xlabel="seconds per picture (dotted: 100 steps of ddpm / 10)", ylabel=label)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    figure.colorbar(drawn, ax=panels, label="temperature")
    figure.savefig(args.output, dpi=100)
    print(args.output)


def of_one_kind(rows, about, table):
    """The rows about one checkpoint, data, LPIPS network and seed."""
    kinds = sorted({row["about"] for row in rows})
    if not kinds:
        raise UserError(f"there are no rows in {table}: make it with benchmarks/quality_speed.py")
    if about is None and len(kinds) > 1 or about is not None and about not in kinds:
        raise UserError(f"{table} has rows about {'; '.join(kinds)}: name one of them with --about")
    return [row for row in rows if row["about"] == (about or kinds[0])]


def draw(axes, rows, best, score):
    """Draw a score of all rows against seconds; return what a bar of temperatures can be made for."""
    kinds = {name: (marker, 30, [row for row in rows if row["sampler"] == name and not row["consistency"]])
             for name, marker in MARKERS.items()}  # fmt: skip
    kinds["consistent"] = ("*", 50, [row for row in rows if row["consistency"]])
    for name, (marker, size, some) in kinds.items():
        drawn = axes.scatter(
            [row["seconds"] for row in some], [row[score] for row in some], marker=marker, label=name, s=size,
            c=[row["temperature"] for row in some], cmap="viridis", vmin=0, vmax=1,
        )  # fmt: skip
    axes.scatter(best["seconds"], best[score], s=160, facecolors="none", edgecolors="tab:red", label="default")
    reference = next(row for row in rows if key(row) == key(REFERENCE))
    axes.axvline(reference["seconds"] / 10, color="gray", linestyle=":", linewidth=1)
    return drawn


if __name__ == "__main__":
    run(main)
