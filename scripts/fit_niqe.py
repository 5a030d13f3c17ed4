#!/usr/bin/env python3
"""Fit what NIQE takes for natural, src/metrics/niqe_parameters.npz, to pictures without blur, noise or artefacts.

That file is of the 291 pictures of BSD200 and T91: --data bsd200 t91 --output src/metrics/niqe_parameters.npz
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import parser, run  # noqa: E402


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--data", nargs="+", required=True, metavar="DIR", help="folders of pictures")
    p.add_argument("--output", required=True, metavar="NPZ", help="mean mu and covariance sigma of 36 features")
    return p.parse_args()


def main():
    args = arguments()
    from tqdm import tqdm

    from src.dataset.pairs import list_pictures
    from src.imaging.io import read_rgb
    from src.metrics.fid import write_statistics
    from src.metrics.niqe import natural_statistics

    files = [file for folder in args.data for file in list_pictures(folder)]
    natural, patches = natural_statistics(read_rgb(file) for file in tqdm(files, unit="picture"))
    write_statistics(args.output, natural)
    print(f"{args.output}: {patches} sharp patches of {len(files)} pictures")


if __name__ == "__main__":
    run(main)
