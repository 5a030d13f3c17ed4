#!/usr/bin/env python3
"""Score the checkpoints that come with the project on two small photographs; --write records the scores beside them."""

import json
import sys
from pathlib import Path

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import parser, run  # noqa: E402
from src.host.shipped import CHECKPOINTS  # noqa: E402

SHIPPED = sorted(CHECKPOINTS.glob("*.ckpt"))
RECORD = CHECKPOINTS / "scores.json"
CROPS = {"chelsea": (80, 130), "coffee": (120, 220)}  # top, left of 128 × 128 pixels of scikit-image's photographs


def main():
    p = parser(__doc__)
    p.add_argument("--write", action="store_true", help="record the scores in checkpoints/scores.json")
    args = p.parse_args()
    from src.host.files import write_text

    found = {path.name: scores(path) for path in SHIPPED}
    text = json.dumps(found, indent=1)
    print(text)
    if args.write:
        write_text(RECORD, text + "\n", "record of scores")


def pictures():
    """Yield (name, hr, lr) of the photographs, uint8."""
    from skimage import data

    from src.imaging.resize import imresize

    for name, (top, left) in CROPS.items():
        hr = getattr(data, name)()[top : top + 128, left : left + 128]
        yield name, hr, imresize(hr, 1 / 4)


def scores(path):
    """{picture: {"psnr": …, "ssim": …, "lr_psnr": …}} of a checkpoint with its default sampling and seed 0."""
    from src.build import load_upscaler
    from src.metrics.scores import lr_psnr, protocol_named

    upscaler, found = load_upscaler(path, "CPU"), {}
    for name, hr, lr in pictures():
        sr = upscaler.upscale([lr], [0])[0]
        values = (*protocol_named("classic")(sr, hr, upscaler.scale), lr_psnr(sr, lr))
        found[name] = dict(zip(("psnr", "ssim", "lr_psnr"), np.round(values, 4).tolist(), strict=True))
    return found


if __name__ == "__main__":
    run(main)
