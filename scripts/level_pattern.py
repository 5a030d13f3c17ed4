#!/usr/bin/env python3
"""Take off a generator what it adds to flat pictures: the weave of a pixel shuffle that was trained with LPIPS.

A flat picture comes out with a pattern, the same in each square of scale × scale pixels and nearly the same for all
colours: what LPIPS and a discriminator do not mind. Its mean over the colours of some pictures goes into the bias of
the last convolution, whose channels are these pixels.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import parser, run  # noqa: E402

BIAS = "generator.upsampler.last_conv.bias"
SIDE = 24  # LR pixels of a flat picture: its middle is further from the edges than the network sees strongly


def main():
    p = parser(__doc__)
    p.add_argument("--checkpoint", required=True, metavar="W", help="a .ckpt with upsampler pixelshuffle")
    p.add_argument("--colours", required=True, metavar="DIR", help="pictures, whose mean colours are taken")
    p.add_argument("--output", required=True, metavar="FILE", help="the .ckpt to write")
    args = p.parse_args()
    import numpy as np

    from src.build import load_upscaler
    from src.errors import UserError
    from src.families.registry import config_of
    from src.imaging.io import list_images, read_rgb
    from src.weights.checkpoint import load_checkpoint, save_model

    checkpoint = load_checkpoint(args.checkpoint)
    arrays = checkpoint.model_arrays()
    if Path(args.output).resolve() == Path(args.checkpoint).resolve():
        raise UserError(f"{args.output} is read, too: name another --output")
    scale = config_of(checkpoint).data.scale
    if BIAS not in arrays or arrays[BIAS].size != 3 * scale**2:
        raise UserError(f"{args.checkpoint} is no generator with a pixel shuffle behind its last convolution")
    colours = [read_rgb(path).mean((0, 1)) / 127.5 - 1 for path in list_images(args.colours)]

    def patterns(path):
        upscaler = load_upscaler(path, "CPU")
        return np.array([_pattern(upscaler, np.float32(colour)) for colour in colours])

    before = patterns(args.checkpoint)
    # a pixel shuffle takes its channels as (3, scale, scale); generators compute in [0, 1]
    arrays[BIAS] = arrays[BIAS] - before.mean(0).reshape(-1) / 2
    save_model(args.output, arrays, checkpoint.config_json, checkpoint.step)
    levels = [np.sqrt(np.mean(np.square(found))) * 127.5 for found in (before, patterns(args.output))]
    print("{}: the pattern of {} colours is {:.2f} levels, was {:.2f}".format(args.output, len(colours), *levels[::-1]))


def _pattern(upscaler, colour):
    """(3, scale, scale): what a pixel of each place in a square differs by from their mean, on a flat picture."""
    import numpy as np

    lr = np.broadcast_to(colour[None, :, None, None], (1, 3, SIDE, SIDE)).copy()
    scale, middle = upscaler.scale, SIDE // 2
    square = upscaler.sample(lr)[0][:, middle * scale : (middle + 1) * scale, middle * scale : (middle + 1) * scale]
    return square - square.mean((1, 2), keepdims=True)


if __name__ == "__main__":
    run(main)
