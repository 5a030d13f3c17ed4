"""Cut DIV2K, Flickr2K or any folder of pictures into training patches; see --help."""

import logging
import os
import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a script: Python has put this folder on the path, not the repository
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from src import command
from src.dataset.output_folder import check_apart, check_ours
from src.dataset.plan import make_plan
from src.dataset.preprocess_run import preprocess
from src.dataset.sources import DATASETS, find_sources
from src.errors import UserError

_DESCRIPTION = """Cut DIV2K, Flickr2K or any folder of pictures into training patches. Writes OUTPUT/{train,val}/X1 and
X{scale} (image_0000.png, ...: patches in train, whole pictures in val) and OUTPUT/manifest.json. With --val-count,
DIV2K's own validation pictures, on which results are published, go whole to OUTPUT/test, so that nothing is chosen on
them during training. Official bicubic LR pictures are used where they are below ROOT, else LR is made by MATLAB's
bicubic. An interrupted run continues when it is started again."""
_EPILOG = """exit status: 0: all pictures done; 1: done, but broken pictures were skipped, each named on stderr
and in manifest.json; 2: bad input or a disk that cannot be written, told in one line."""


def main(argv=None):
    """Run the command; return the exit status."""
    arguments = _parse(argv)
    root, output = arguments.root.absolute(), arguments.output.absolute()
    options = {name: getattr(arguments, name) for name in ("scale", "patch_size", "stride", "val_count")}
    options = {"datasets": arguments.dataset, **options}
    sources, messages = find_sources(root, arguments.dataset, arguments.scale, arguments.val_count)
    files = {path for pairs in sources.values() for pair in pairs for path in (pair.hr, pair.lr) if path}
    check_apart(output, {path.parent for path in files})
    check_ours(output)
    for message in messages:
        logging.getLogger(__name__).info(message)
    manifest = preprocess(sources, make_plan(sources, root, options), output, arguments.workers, arguments.force)
    return _summary(manifest, output)


def _parse(argv):
    parser = command.parser(_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--root", type=Path, required=True, help="the folder that the data sets were unpacked in")
    parser.add_argument(
        "--dataset", nargs="+", choices=DATASETS, required=True, help="one or more, such as: div2k flickr2k"
    )
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--scale", type=int, default=4, help="HR pixels per LR pixel in each direction")
    parser.add_argument("--patch-size", type=int, default=480, help="side of the training patches in HR pixels")
    parser.add_argument(
        "--stride",
        type=int,
        default=320,
        help="distance of neighbouring patches in HR pixels; patch-size less stride is the largest square that lies "
        "in some patch wherever it is in the picture",
    )
    parser.add_argument(
        "--val-count",
        type=int,
        help="set so many training pictures, the last by name, of each data set aside for val; by default none, and "
        "val is the data sets' own validation pictures, or, if none of them has any, a tenth, from 1 to 10",
    )
    parser.add_argument("--workers", type=int, default=_cores(), help="processes")
    parser.add_argument("--force", action="store_true", help="replace an output made with other options")
    arguments = parser.parse_args(argv)
    _check(arguments)
    return arguments


def _check(arguments):
    scale, patch_size, stride = arguments.scale, arguments.patch_size, arguments.stride
    if scale < 2:
        raise UserError(f"--scale must be at least 2, not {scale}")
    if patch_size < scale or patch_size % scale:
        raise UserError(f"--patch-size must be a positive multiple of the scale {scale}, not {patch_size}")
    if not 0 < stride <= patch_size or stride % scale:
        raise UserError(
            f"--stride must be a multiple of the scale {scale}, at most the patch size {patch_size}, not {stride}"
        )
    if arguments.workers < 1:
        raise UserError(f"--workers must be at least 1, not {arguments.workers}")
    if len(set(arguments.dataset)) < len(arguments.dataset):
        raise UserError(f"--dataset names one twice: {' '.join(arguments.dataset)}")


def _summary(manifest, output):
    """Print what was written; return the exit status."""
    skipped = 0
    for name, split in manifest["splits"].items():
        broken = sum(entry["error"] is not None for entry in split["sources"])
        print(f"{name}: {split['files']} pictures from {len(split['sources']) - broken} source pictures")
        skipped += broken
    print(f"skipped: {skipped} broken source pictures")
    print(f"output: {output}")
    return 1 if skipped else 0


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    command.run(main)
