#!/usr/bin/env python3
"""Export a checkpoint to MindIR or ONNX, with free batch, height and width, or on an Ascend machine to AIR."""

from pathlib import Path

from src.command import SRDIFF, add_device, add_ema, add_sampling, given_sampling, parser, run


def arguments():
    """Return the parsed command line."""
    from argparse import BooleanOptionalAction

    p = parser(__doc__)
    p.add_argument("--checkpoint", metavar="W", help="a .ckpt written by train.py or convert.py; by default "
                   "checkpoints/srdiff_lite_x4.ckpt")  # fmt: skip
    p.add_argument(
        "--format", choices=("mindir", "onnx", "air"), default="mindir", help="air: on an Ascend machine only"
    )
    p.add_argument("--graph", choices=("step", "sampler"), default="step", help="step: the host loops, choosing "
                   "sampler, steps, seed and tiles; sampler: LR and noise in, picture out, in one graph")  # fmt: skip
    p.add_argument("--precision", choices=("float32", "float16"), default="float32", help="of weights and arithmetic")
    p.add_argument("--output", metavar="FILE", help="X.mindir, X.onnx or X.air, beside which X.encode.* and X.*.json "
                   "go; by default results/NAME/NAME.mindir")  # fmt: skip
    p.add_argument("--check", action=BooleanOptionalAction, default=True, help="compare export and checkpoint; "
                   "fail above 1e-4, with float16 above 2e-2")  # fmt: skip
    p.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="the fixed LR size of AIR and of --graph "
                   "sampler, or what a model makes from nothing; without it 128 128, of SR3 and DDPM what "
                   "they were trained with")  # fmt: skip
    p.add_argument("--batch", type=int, metavar="B", help="the fixed batch of AIR and of --graph sampler; without it 1")
    add_sampling(p)
    add_ema(p)
    add_device(p)
    args = p.parse_args()
    args.checkpoint = args.checkpoint or str(SRDIFF)
    args.output = args.output or default_output(Path(args.checkpoint), args.format, args.graph, args.precision)
    return args


def default_output(checkpoint, kind, cut, precision):
    """``results/NAME/NAME.onnx``, named like the file, or like the folder of a run's ``model.ckpt``."""
    name = checkpoint.resolve().parent.name if checkpoint.stem in ("model", "best") else checkpoint.stem
    variant = ".sampler" * (cut == "sampler") + ".float16" * (precision == "float16")
    return f"results/{name}/{name}{variant}.{kind}"


def main():
    args = arguments()
    from src.build import load_model, load_upscaler
    from src.errors import UserError
    from src.export.model import export_model, fixed_size, provenance, with_sampling
    from src.host.device import select_device

    device = select_device(args.device)
    from src.export.check import TOLERANCE, check_pictures, deviations, table
    from src.export.exporter import check_request, export

    check = args.check and args.format != "air"
    check_request(args.output, args.format, args.graph, args.precision, device, check)
    config, model = load_model(args.checkpoint, not args.no_ema)
    config = with_sampling(config, given_sampling(args))
    fixed = args.format == "air" or (args.graph == "sampler" and not config.is_regression)
    if not fixed and (args.size is not None or args.batch is not None):
        raise UserError("--size and --batch are for AIR and --graph sampler: this export takes any, leave them out")
    size = fixed_size(config, args.size, args.batch) if fixed else None
    graphs, about = export_model(config, model, args.graph, size or (None,) * 3, args.precision)
    found = []

    def compare(path):
        original = load_upscaler(args.checkpoint, args.device, ema=not args.no_ema)
        found.extend(deviations(load_upscaler(path, args.device), original, check_pictures(size)))
        worst, tolerance = max(entry.largest for entry in found), TOLERANCE[args.precision]
        if worst > tolerance:
            print(table(found))
            raise UserError(
                f"the export deviates by {worst:.1e}, more than {tolerance}: nothing was written; --no-check would"
            )

    about |= provenance(args.checkpoint, args.format)
    written = export(args.output, args.format, graphs, about, args.precision, compare if check else None)
    print("\n".join(str(path) for path in written))
    if found:
        print(table(found))


if __name__ == "__main__":
    run(main)
