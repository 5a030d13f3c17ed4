#!/usr/bin/env python3
"""Export a checkpoint to MindIR, with free batch, height and width, or on an Ascend machine to AIR."""

from pathlib import Path

from src.command import add_device, add_ema, parser, run
from src.shipped import SRDIFF

TOLERANCE = 1e-4


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--checkpoint", metavar="W", help="a .ckpt written by train.py or convert.py; by default "
                   "checkpoints/srdiff_lite_x4.ckpt")  # fmt: skip
    p.add_argument("--format", choices=("mindir", "air"), default="mindir", help="air: on an Ascend machine only")
    p.add_argument("--output", metavar="FILE", help="X.mindir (X.encode.mindir and X.json go beside it); by default "
                   "results/NAME.mindir")  # fmt: skip
    p.add_argument("--check", action="store_true", help="compare the export with the checkpoint; fail above 1e-4")
    p.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="AIR's fixed LR size; without it 128 128")
    add_ema(p)
    add_device(p)
    args = p.parse_args()
    args.checkpoint = args.checkpoint or str(SRDIFF)
    args.output = args.output or f"results/{name_of(Path(args.checkpoint))}.{args.format}"
    return args


def name_of(checkpoint):
    """What an export is called: like the file, or like the folder of a run's ``model.ckpt``."""
    return checkpoint.resolve().parent.name if checkpoint.stem in ("model", "best") else checkpoint.stem


def main():
    args = arguments()
    from src.build import export_graphs, load_model, load_upscaler, size_multiple
    from src.config.loader import config_to_dict
    from src.errors import UserError
    from src.runtime import select_device

    device = select_device(args.device)
    from src.export.exporter import check_request, export_air, export_mindir, largest_deviation

    check_request(args.output, args.format, device)
    if args.format == "air" and args.check:
        raise UserError("--check compares MindIR exports, AIR runs only after ATC has converted it: leave --check out")
    if args.format == "mindir" and args.size:
        raise UserError("--size is AIR's: a MindIR takes any size, so leave it out")
    config, model = load_model(args.checkpoint, not args.no_ema)
    if args.format == "air":
        height, width = args.size or (128, 128)
        multiple, scale = size_multiple(config), config.data.scale
        if any(side * scale % multiple or side * scale < 2 * multiple for side in (height, width)):
            raise UserError(f"--size times {scale} must be multiples of {multiple}, at least {2 * multiple}")
        written = export_air(args.output, export_graphs(config, model, (1, height, width)))
    else:
        settings = config_to_dict(config)
        written = export_mindir(args.output, export_graphs(config, model), settings, args.checkpoint)
    print("\n".join(str(path) for path in written))
    if args.check:
        pair = load_upscaler(args.output, args.device), load_upscaler(args.checkpoint, args.device, ema=not args.no_ema)
        worst = max(deviation for _, deviation in largest_deviation(*pair))
        print(f"largest deviation from the checkpoint: {worst:.1e}")
        if worst > TOLERANCE:
            raise UserError(f"the export deviates by {worst:.1e}, more than {TOLERANCE}: do not use it")


if __name__ == "__main__":
    run(main)
