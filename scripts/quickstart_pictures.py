#!/usr/bin/env python3
"""Write the photographs that come with scikit-image as PNG files: train_*.png, and val_*.png to hold out."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.command import parser, run

# All of these are inside scikit-image's wheel; its other pictures are drawings, scans or would be downloaded.
TRAIN = ("brick", "camera", "coffee", "coins", "grass", "gravel", "rocket")
VAL = ("astronaut", "chelsea")


def main():
    """Write the photographs; print where they are."""
    p = parser(__doc__)
    p.add_argument("--output", required=True, metavar="DIR", help="the folder to write to")
    folder = Path(p.parse_args().output)
    from src.imaging.io import write_image

    for name, picture in photographs():
        write_image(folder / f"{name}.png", picture)
    print(folder)


def photographs():
    """Yield (name, uint8 (H, W) or (H, W, 3)); in alphabetical order those to hold out come last."""
    from skimage import data

    for name in TRAIN:
        yield f"train_{name}", getattr(data, name)()
    left, right, _ = data.stereo_motorcycle()
    yield "train_motorcycle_left", left
    yield "train_motorcycle_right", right
    for name in VAL:
        yield f"val_{name}", getattr(data, name)()


if __name__ == "__main__":
    run(main)
