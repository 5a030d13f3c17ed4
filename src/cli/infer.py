"""Upscale a picture or a folder of pictures, or make some from nothing: with the model of the project, or another."""

import argparse
import contextlib

from ..command import (
    PRESETS,
    add_device,
    add_ema,
    add_folder,
    add_format,
    add_outscale,
    add_results,
    add_runtime,
    add_sampling,
    add_tiling,
    parser,
)
from ..diffusion.samplers import SAMPLERS
from ..host.tracking import add_wandb


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    model = p.add_mutually_exclusive_group()
    model.add_argument("--preset", choices=PRESETS, help="a model of checkpoints/, times 4: fast, one step; best, "
                       "two of the same; photo, for JPEG, noise and blur; by default fast, but with --steps "
                       "and the like srdiff_lite_x4")  # fmt: skip
    model.add_argument("--checkpoint", nargs="+", metavar="W", help="a .ckpt written by train.py or convert.py; "
                       "several enlarge one after the other")  # fmt: skip
    model.add_argument("--model", nargs="+", metavar="M", help="what export.py wrote: a .mindir or .onnx, or their "
                       "folder; or several")  # fmt: skip
    p.add_argument("--input", metavar="FILE|DIR", help="a picture, - for standard input, or a folder of pictures; any "
                   "size")  # fmt: skip
    p.add_argument("--output", default="results", metavar="FILE|DIR", help="a file, or a folder that keeps the names")
    p.add_argument("--seed", type=int, default=0, help="of the noise; each picture starts from it, and with --count "
                   "picture n, counted from 0, from the seed + n")  # fmt: skip
    add_results(p)
    add_folder(p)
    add_format(p)
    add_outscale(p)
    add_process(p)
    add_latent(p)
    add_from_nothing(p)
    add_sampling(p, SAMPLERS)
    add_tiling(p)
    add_wandb(p, "runs/infer")
    add_ema(p)
    add_runtime(p)
    add_device(p)
    return p.parse_args()


def add_process(p):
    """Add the options that show the steps."""
    group = p.add_argument_group("process", "the steps from noise to a picture, of a cascade the last model's")
    group.add_argument("--process", nargs="+", choices=("png", "gif", "webp"), metavar="KIND", help="also write "
                       "NAME_process.KIND: png: a strip, x_t above and the x_0 that the network saw below; gif, webp: "
                       "the same as an animation; larger pictures are reduced to 512 pixels")  # fmt: skip
    group.add_argument("--frames", type=int, metavar="N", help="how many of the steps to show, the last one among "
                       "them; or to make with --interpolate; by default 10")  # fmt: skip


def add_latent(p):
    """Add the options of latent space."""
    group = p.add_argument_group("latent space", "of diffusion models (docs/latent.md)")
    group.add_argument("--interpolate", nargs=2, type=int, metavar=("A", "B"), help="instead of --seed: write the way "
                       "from the sample of seed A to that of B, NAME_000 and so on, NAME_strip.png, and NAME.webp, "
                       "an animation")  # fmt: skip
    group.add_argument("--fuse", metavar="CONTENT", help="a picture that is put into the enlarged one at a middle "
                       "step; its middle fills --box, or that around the white of --mask")  # fmt: skip
    group.add_argument("--box", type=_box, metavar="X,Y,W,H", help="where, in output pixels, before --outscale")
    group.add_argument("--mask", metavar="FILE", help="where, a picture of the output's size, white for the content")
    group.add_argument("--from-step", type=int, metavar="t", help="when, from 1, nearly as it is, to the number of "
                       "steps T that the model was trained with, drawn anew from its LR; by default where half of the "
                       "variance is noise")  # fmt: skip


def _box(text):
    with contextlib.suppress(ValueError):
        left, top, width, height = map(int, text.split(","))
        return left, top, width, height
    raise argparse.ArgumentTypeError(f"expected x,y,width,height in output pixels, got '{text}'")


def add_from_nothing(p):
    """Add the options of unconditional models."""
    group = p.add_argument_group("pictures from nothing", "instead of --input, with a model that needs none")
    group.add_argument("--count", type=int, metavar="N", help="write so many pictures, SEED.png, and grid.png of the "
                       "first 100")  # fmt: skip
    group.add_argument("--size", type=int, metavar="S", help="their side in pixels, of a cascade before it enlarges "
                       "them; by default the size that the model was made for")  # fmt: skip


def main():
    args = arguments()
    from ..commands import infer

    infer.run(args)
