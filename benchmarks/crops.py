#!/usr/bin/env python3
"""A picture of crops, one row each: bicubic | the encoder alone | SRDiff | HR, three times enlarged."""

import sys
from pathlib import Path

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import RRDB, SRDIFF, add_device, parser, run  # noqa: E402
from src.errors import UserError  # noqa: E402

ENLARGED, GAP = 3, 4


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--checkpoint", nargs="+", default=[str(RRDB), str(SRDIFF)], metavar="W")
    p.add_argument("--data", required=True, metavar="DIR", help="pictures, as eval.py takes them")
    p.add_argument("--crops", nargs="+", required=True, metavar="NAME:X,Y,SIDE", help="in HR pixels")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--output", type=Path, default=Path("runs/crops.png"), metavar="PNG")
    add_device(p)
    return p.parse_args()


def main():
    args = arguments()
    from src.build import load_upscaler
    from src.dataset.pairs import find_pairs, load_pair
    from src.imaging.io import write_image
    from src.imaging.resize import imresize

    models = [load_upscaler(path, args.device) for path in args.checkpoint]
    scale, pairs = models[0].scale, {pair.name: pair for pair in find_pairs(args.data, scale=models[0].scale)}
    rows = []
    for text in args.crops:
        name, x, y, side = parse(text)
        if name not in pairs:
            raise UserError(f"there is no picture '{name}' in {args.data}: expected one of {', '.join(pairs)}")
        hr, lr = load_pair(pairs[name], scale)
        pictures = [imresize(lr, scale), *(model.upscale([lr], [args.seed])[0] for model in models), hr]
        rows.append([picture[y : y + side, x : x + side] for picture in pictures])
    write_image(args.output, tiled(rows))
    print(args.output)


def parse(text):
    """ "NAME:X,Y,SIDE" → (name, x, y, side).

    Raises:
        UserError: it is something else.
    """
    name, _, numbers = text.rpartition(":")
    parts = numbers.split(",")
    if not name or len(parts) != 3 or not all(part.isdigit() for part in parts):
        raise UserError(f"expected --crops NAME:X,Y,SIDE such as img_001:64,32,96, got '{text}'")
    return name, *map(int, parts)


def tiled(rows):
    """Rows of pictures → one, each pixel repeated, white between them; the crops have one size."""
    height, width = rows[0][0].shape[:2]
    for picture in (picture for row in rows for picture in row):
        if picture.shape != (height, width, 3):
            raise UserError(f"crops must lie inside the pictures and have one size, not {picture.shape}: move them")
    height, width = height * ENLARGED + GAP, width * ENLARGED + GAP
    canvas = np.full((len(rows) * height - GAP, len(rows[0]) * width - GAP, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            large = picture.repeat(ENLARGED, 0).repeat(ENLARGED, 1)
            canvas[i * height : i * height + large.shape[0], j * width : j * width + large.shape[1]] = large
    return canvas


if __name__ == "__main__":
    run(main)
