#!/usr/bin/env python3
"""Compare the mean colour of samples with that of LR enlarged by bicubic: a model that drifts in colour shows here."""

import sys
from pathlib import Path

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import add_device, parser, run  # noqa: E402
from src.imaging.io import list_images, read_rgb  # noqa: E402
from src.imaging.resize import imresize  # noqa: E402


def main():
    p = parser(__doc__)
    p.add_argument("--checkpoint", required=True, metavar="W", help="a .ckpt or .mindir")
    p.add_argument("--lr", required=True, metavar="DIR", help="LR pictures")
    p.add_argument("--steps", type=int, help="sampling steps; by default the model's own")
    p.add_argument("--temperature", type=float, help="scales all noise; by default the model's own")
    add_device(p)
    args = p.parse_args()
    from src.build import load_upscaler

    upscaler = load_upscaler(args.checkpoint, args.device)
    print("mean of R, G, B less that of LR↑, in units of 1/255: the sample itself | saturated to 8 bits")
    for number, path in enumerate(list_images(args.lr)):
        lr = read_rgb(path)
        tensor = lr.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
        sr = (upscaler.sample(tensor, seed=number, steps=args.steps, temperature=args.temperature)[0] + 1) * 127.5
        expected = imresize(lr.astype(np.float64), upscaler.scale).mean((0, 1))
        shifts = [picture.mean((1, 2)) - expected for picture in (sr, np.clip(np.rint(sr), 0, 255))]
        print(path.name, " | ".join(" ".join(f"{value:+.2f}" for value in shift) for shift in shifts), flush=True)


if __name__ == "__main__":
    run(main)
