#!/usr/bin/env python3
"""Write offline.pyz, the program that runs exported models with NumPy, Pillow and onnxruntime alone, into a folder."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import parser, run  # noqa: E402
from src.export.runner import pack  # noqa: E402


def main():
    p = parser(__doc__)
    p.add_argument(
        "--output", default="results", metavar="DIR", help="the folder; export.py writes it beside its model"
    )
    print(pack(p.parse_args().output))


if __name__ == "__main__":
    run(main)
