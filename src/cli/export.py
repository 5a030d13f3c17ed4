"""Export a checkpoint to MindIR or ONNX, with free batch, height and width, or on an Ascend machine to AIR."""

from ..command import SRDIFF, add_device, add_ema, add_sampling, given_sampling, parser
from ..diffusion.samplers import SAMPLERS


def arguments():
    """Return the parsed command line."""
    from argparse import BooleanOptionalAction

    p = parser(__doc__)
    p.add_argument("--checkpoint", metavar="W", help="a .ckpt written by train.py or convert.py; by default "
                   "checkpoints/srdiff_lite_x4.ckpt")  # fmt: skip
    p.add_argument("--format", choices=("mindir", "onnx", "air"), help="by default as --output ends, or mindir; air: "
                   "on an Ascend machine only")  # fmt: skip
    p.add_argument("--graph", choices=("step", "sampler"), default="step", help="step: the host loops, choosing "
                   "sampler, steps, seed and tiles; sampler: LR and noise in, picture out, in one graph")  # fmt: skip
    p.add_argument("--precision", choices=("float32", "float16"), default="float32", help="of weights and arithmetic")
    p.add_argument("--output", metavar="FILE", help="X.mindir, X.onnx or X.air, beside which X.encode.*, X.*.json "
                   "and offline.pyz go; by default results/NAME/NAME.mindir")  # fmt: skip
    p.add_argument("--check", action=BooleanOptionalAction, default=True, help="compare export and checkpoint; "
                   "fail above 1e-4, with float16 above 2e-2")  # fmt: skip
    p.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="the fixed LR size of AIR and of --graph "
                   "sampler, or what a model makes from nothing; without it 128 128, of SR3 and DDPM what "
                   "they were trained with")  # fmt: skip
    p.add_argument("--batch", type=int, metavar="B", help="the fixed batch of AIR and of --graph sampler; without it 1")
    add_sampling(p, SAMPLERS)
    add_ema(p)
    add_device(p)
    args = p.parse_args()
    args.checkpoint, args.sampling = args.checkpoint or str(SRDIFF), given_sampling(args)
    return args


def main():
    args = arguments()
    from ..commands import export

    export.run(args)
