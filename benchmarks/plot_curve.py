#!/usr/bin/env python3
"""Draw the curves of a training run (curve.csv and validation.csv of its folder) as a PNG. Needs matplotlib."""

import csv
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import parser, run  # noqa: E402
from src.errors import UserError  # noqa: E402


def main():
    p = parser(__doc__)
    p.add_argument("run", type=Path, help="the run's folder")
    p.add_argument("output", type=Path, help="the picture, .png or .svg")
    args = p.parse_args()
    try:
        import matplotlib
    except ImportError as error:
        raise UserError("matplotlib is missing: pip install matplotlib") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    curve, validation = (read(args.run / name) for name in ("curve.csv", "validation.csv"))
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    left.plot(column(curve, "step"), column(curve, "loss"), linewidth=1)
    left.set(xlabel="step", ylabel="training loss", title=args.run.resolve().name)
    for method in sorted({row["method"] for row in validation}):
        rows = [row for row in validation if row["method"] == method]
        right.plot(column(rows, "step"), column(rows, "psnr"), marker=".", label=method)
    right.set(xlabel="step", ylabel="PSNR / dB", title="validation")
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(args.output, dpi=110)
    print(args.output)


def read(path):
    """Return the rows of a CSV file as dicts."""
    if not path.is_file():
        raise UserError(f"{path} is missing: name the folder of a training run")
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def column(rows, name):
    """Return one column as floats."""
    return [float(row[name]) for row in rows]


if __name__ == "__main__":
    run(main)
