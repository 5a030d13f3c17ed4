"""What export.py does."""

from pathlib import Path

from ..build import load_model, load_upscaler
from ..errors import UserError
from ..families.registry import family_of
from ..host.device import select_device
from ..host.shipped import shipped
from ..inference.tile_size import TileOptions


def run(args):
    """Export a checkpoint, and compare what was written with it."""
    args.checkpoint = shipped(args.checkpoint)
    device = select_device(args.device)
    from ..export.check import TOLERANCE, check_pictures, deviations, table
    from ..export.exporter import check_request, export
    from ..export.model import export_model, fixed_size, provenance, with_sampling
    from ..export.runner import pack

    kind = args.format or format_named(args.output)
    check = args.check and kind != "air"
    output = args.output or default_output(Path(args.checkpoint), kind, args.graph, args.precision)
    check_request(output, kind, args.graph, args.precision, device, check)
    config, model = load_model(args.checkpoint, not args.no_ema)
    config = with_sampling(config, args.sampling)
    family = family_of(config)
    fixed = kind == "air" or (args.graph == "sampler" and not family.one_pass)
    if not fixed and (args.size is not None or args.batch is not None):
        raise UserError("--size and --batch are for AIR and --graph sampler: this export takes any, leave them out")
    size = fixed_size(family, args.size, args.batch) if fixed else None
    graphs, about = export_model(config, model, args.graph, size or (None,) * 3, args.precision)
    found = []

    def compare(path):
        free = TileOptions(fixed=False)
        original = load_upscaler(args.checkpoint, args.device, True, not args.no_ema, free, "mindspore")
        found.extend(deviations(load_upscaler(path, args.device), original, check_pictures(size)))
        worst, tolerance = max(entry.largest for entry in found), TOLERANCE[args.precision]
        if worst > tolerance:
            print(table(found))
            raise UserError(
                f"the export deviates by {worst:.1e}, more than {tolerance}: nothing was written; --no-check would"
            )

    about |= provenance(args.checkpoint, kind)
    written = export(output, kind, graphs, about, writer(kind), args.precision, compare if check else None)
    if kind != "air":  # which other programs run
        written.append(pack(written[0].parent))
    print("\n".join(str(path) for path in written))
    if found:
        print(table(found))


def format_named(output):
    """The format that the name of an output ends in; of none, or of one that names no format, mindir."""
    kind = Path(output or "").suffix[1:]
    return kind if kind in ("mindir", "onnx", "air") else "mindir"


def writer(kind):
    """What writes a graph in a format; MindSpore's own ONNX exporter lacks too much."""
    if kind != "onnx":
        from ..export.mindir import write_mindir

        return write_mindir
    from ..export.onnx_model import write_onnx

    return write_onnx


def default_output(checkpoint, kind, graph, precision):
    """``results/NAME/NAME.onnx``, named like the file, or like the folder of a run's ``model.ckpt``."""
    name = checkpoint.resolve().parent.name if checkpoint.stem in ("model", "best") else checkpoint.stem
    variant = ".sampler" * (graph == "sampler") + ".float16" * (precision == "float16")
    return f"results/{name}/{name}{variant}.{kind}"
