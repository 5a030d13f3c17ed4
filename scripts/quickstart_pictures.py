#!/usr/bin/env python3
"""Write the photographs that come with scikit-image as PNG files: train_*.png, and val_*.png to hold out.

With --reduce they are small, and in the folders train and val, ready for configs/sr3_lite_*_32.yaml.
"""

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
    text = "reduce them N times by MATLAB's bicubic, N from 1 to 8, and write them to DIR/train and DIR/val"
    p.add_argument("--reduce", type=int, metavar="N", help=text)
    args = p.parse_args()
    if args.reduce is not None and not 1 <= args.reduce <= 8:
        p.error(f"argument --reduce: expected a number from 1 to 8, got {args.reduce}")
    write(Path(args.output), args.reduce)
    print(args.output)


def write(folder, times=None):
    """Write the photographs to a folder; reduced so many times to its folders train and val."""
    from src.imaging.io import write_image

    for name, picture in photographs():
        if times is None:
            write_image(folder / f"{name}.png", picture)
        else:
            part, _, rest = name.partition("_")
            write_image(folder / part / f"{rest}.png", reduced(picture, times))


def reduced(picture, times):
    """A photograph, uint8 (H, W) or (H, W, 3), cut to a multiple of ``times`` and reduced so many times."""
    from src.imaging.resize import imresize

    height, width = (n // times * times for n in picture.shape[:2])
    cut = picture[:height, :width]
    return imresize(cut if cut.ndim == 3 else cut[..., None].repeat(3, 2), 1 / times)


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
