#!/usr/bin/env python3
"""Upscale pictures with an exported model, or make some from nothing, where there is neither the project nor MindSpore.

export.py packs this command, with what it needs of the project, into offline.pyz beside what it exports. That file runs
any export, given Python 3.10, NumPy, Pillow and the model's runtime: onnxruntime, mindspore or mindspore_lite.
"""

import shutil
import tempfile
import zipapp
from pathlib import Path

from ..command import (
    add_device,
    add_folder,
    add_format,
    add_outscale,
    add_results,
    add_sampling,
    add_tiling,
    given_sampling,
    parser,
    run,
    what_makes,
)
from ..diffusion.samplers import SAMPLERS
from ..errors import UserError
from ..host.files import replacing
from ..inference.files import Watch, sample_files, upscale_files
from ..inference.jobs import make_folders, plan_jobs, plan_unconditional, writing_memory
from ..inference.records import Records
from ..inference.tile_size import HALO, TileOptions
from .artefact import RUNTIMES, Artefact, model_hash
from .load import upscaler_of

NAME = "offline.pyz"
PACKED = ("__init__.py", "errors.py", "command.py", "host/__init__.py", "host/device.py", "host/files.py",
          "host/ranks.py", "host/shipped.py", "host/signals.py", "imaging/*.py", "diffusion/*.py", "inference/*.py",
          "export/__init__.py", "export/artefact.py", "export/load.py", "export/runner.py")  # fmt: skip
TILE = 1024  # output pixels; the memory of whatever device it is need not be known


_MAIN = """# What the archive runs: an interruption while the rest is imported is one line, too.
from src.host.signals import end_at_once

end_at_once()

from src.export.runner import command

command()
"""


def pack(folder):
    """Write this command and all of the project that it imports as one file into a folder; return its path."""
    source, target = Path(__file__).resolve().parents[1], Path(folder) / NAME
    with tempfile.TemporaryDirectory() as scratch, replacing(target, "runner") as temporary:
        for path in (path for pattern in PACKED for path in source.glob(pattern)):
            copy = Path(scratch, "src", path.relative_to(source))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        Path(scratch, "__main__.py").write_text(_MAIN, encoding="utf-8")
        zipapp.create_archive(scratch, temporary, "/usr/bin/env python3", compressed=True)
    return target


def arguments():
    p = parser(__doc__.partition("\n")[0])
    p.add_argument("--model", required=True, help="X.onnx or X.mindir, with its files beside it; or their folder")
    p.add_argument("--input", help="a picture, - for standard input, or a folder of pictures")
    p.add_argument("--output", default="results", help="a file, or a folder that keeps the names")
    p.add_argument("--seed", type=int, default=0, help="of the noise; each picture starts from it")
    add_results(p)
    add_folder(p)
    add_format(p)
    add_outscale(p)
    nothing = p.add_argument_group("models that make pictures from nothing", "no --input; --output is a folder")
    nothing.add_argument("--count", type=int, metavar="N", help="how many pictures (default: 1), SEED.png and on, and "
                         "grid.png of the first 100")  # fmt: skip
    nothing.add_argument("--size", type=int, metavar="S", help="their side; by default as the model was trained")
    add_sampling(p, SAMPLERS)
    add_tiling(p)
    p.add_argument("--runtime", choices=sum(RUNTIMES.values(), ()), help="by default the first that is installed")
    p.add_argument("--threads", type=int, help="on the CPU; by default all cores that the process may use")
    add_device(p)
    return p.parse_args()


def check(args):
    """Refuse numbers that are out of range, and options that do not fit each other, before any work."""
    count = 1 if args.count is None else args.count
    if not (1 <= args.batch <= 1024 and 1 <= args.samples <= 1000):
        raise UserError("--batch must be from 1 to 1024, --samples from 1 to 1000")
    if not 0 <= args.seed <= 2**64 - max(args.samples, count):
        raise UserError(f"--seed must be from 0 to 2^64 - 1 less the other pictures, not {args.seed}")
    if not 1 <= count <= 100_000 or not 1 <= (1 if args.size is None else args.size) <= 1 << 16:
        raise UserError("--count must be from 1 to 100000, --size from 1 to 65536")
    if args.threads is not None and not 1 <= args.threads <= 1024:
        raise UserError(f"--threads must be from 1 to 1024, not {args.threads}")
    if args.input is not None and (args.count is not None or args.size is not None):
        raise UserError("--count and --size are for models that make pictures from nothing: leave --input out")
    if args.input is None and (args.samples > 1 or args.compare or args.outscale or args.format or args.quality):
        raise UserError("--samples, --compare, --outscale, --format and --quality are for --input: name pictures")
    if args.input is None and (args.recursive or args.skip_existing):
        raise UserError("--recursive and --skip-existing are for --input: name pictures")


def resolved(upscaler, args):
    """Refuse a model that cannot do what is asked for; return how to sample."""
    if upscaler.conditional and args.input is None:
        raise UserError("this model enlarges pictures: name one with --input, and leave --count and --size out")
    if not upscaler.conditional and args.input is not None:
        raise UserError("this model makes pictures from nothing and enlarges none: leave --input out")
    options = given_sampling(args)
    if upscaler.one_pass and set(options) - {"consistency"}:
        raise UserError(f"this model samples nothing: leave {', '.join(options)} out")
    if not upscaler.conditional and options.get("consistency"):
        raise UserError("consistency is with the input, which this model has not: leave --consistency out")
    upscaler.check_samples(args.samples)
    return upscaler.resolve(**options)


def tile_options(args, fixed, jobs):
    """The ``TileOptions`` that the command line names, of graphs of a fixed size or of any."""
    free = args.tile is None and args.max_memory is None and not (fixed or args.fixed_tiles)
    tile = TILE if free else args.tile
    halo = min(HALO, tile // 4) if tile and args.halo is None else args.halo  # small tiles are welcome, too
    beside = 2 if args.samples > 1 else 0
    return TileOptions(args.max_memory, tile, halo, args.fixed_tiles, beside, writing_memory(jobs))


class Paths(Watch):
    """Prints the path of every file that is written."""

    def done(self, job, lr, sr, paths):
        print(*paths, sep="\n", flush=True)

    def summed_up(self, path):
        print(path, flush=True)


def main():
    args = arguments()
    check(args)
    if args.input is None:
        jobs, grid = plan_unconditional(args.output, args.count or 1, args.seed)
    else:
        options = {"file_format": args.format, "quality": args.quality, "recursive": args.recursive}
        jobs, grid = plan_jobs(args.input, args.output, args.compare, args.samples, **options), None
    records, planned = None, len(jobs)
    if args.skip_existing or (args.input is not None and Path(args.input).is_dir()):
        records = Records(what_makes(args, [model_hash(args.model)]))
    if args.skip_existing:
        jobs = records.unfinished(jobs, Path(args.input))
        if not jobs:
            return
    artefact = Artefact(args.model, args.runtime, args.device, args.threads)
    upscaler = upscaler_of(artefact, tile_options(args, artefact.fixed_size is not None, jobs))
    sampling = resolved(upscaler, args)
    make_folders(jobs)
    common = {"batch": args.batch, "seed": args.seed, "watch": Paths()}
    if grid is None:
        options = {"compare": args.compare, "samples": args.samples, "outscale": args.outscale}
        options |= {"max_pixels": round(args.max_pixels * 1e6), "records": records, "done": planned - len(jobs)}
        upscale_files(upscaler, jobs, sampling, **options, **common)
    else:
        size = (args.size, args.size) if args.size else upscaler.usual_size
        sample_files(upscaler, jobs, grid, sampling, size=size, **common)


def command():
    run(main)


if __name__ == "__main__":
    command()
