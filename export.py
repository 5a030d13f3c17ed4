#!/usr/bin/env python3
"""Export a checkpoint to MindIR, with free batch, height and width, or on an Ascend machine to AIR."""

from src.command import add_device, parser, run

TOLERANCE = 1e-4


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--checkpoint", required=True, metavar="W", help="a .ckpt written by train.py or convert.py")
    p.add_argument("--format", choices=("mindir", "air"), default="mindir", help="air: on an Ascend machine only")
    p.add_argument("--output", required=True, metavar="FILE", help="X.mindir (X.encode.mindir and X.json go beside it)")
    p.add_argument("--check", action="store_true", help="compare the export with the checkpoint; fail above 1e-4")
    p.add_argument("--size", type=int, nargs=2, default=(128, 128), metavar=("H", "W"), help="AIR's fixed LR size")
    add_device(p)
    return p.parse_args()


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
    config, model = load_model(args.checkpoint)
    multiple = size_multiple(config)
    if min(args.size) < 2 or any(side * config.data.scale % multiple for side in args.size):
        raise UserError(
            f"--size {args.size[0]} {args.size[1]} times {config.data.scale} must be multiples of {multiple}"
        )
    if args.format == "air":
        written = export_air(args.output, export_graphs(config, model, (1, *args.size)))
    else:
        settings = config_to_dict(config)
        written = export_mindir(args.output, export_graphs(config, model), settings, args.checkpoint)
    print("\n".join(str(path) for path in written))
    if args.check and args.format == "mindir":
        pair = load_upscaler(args.output, args.device), load_upscaler(args.checkpoint, args.device)
        worst = max(deviation for _, deviation in largest_deviation(*pair))
        print(f"largest deviation from the checkpoint: {worst:.1e}")
        if worst > TOLERANCE:
            raise UserError(f"the export deviates by {worst:.1e}, more than {TOLERANCE}: do not use it")


if __name__ == "__main__":
    run(main)
