"""Prepare DIV2K, Flickr2K, FFHQ, CelebA-HQ, ImageNet or any folder of pictures for training; see --help."""

import logging
import os
import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a script: Python has put this folder on the path, not the repository
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from src import command
from src.dataset.official import DATASETS
from src.dataset.output_folder import check_apart, check_ours
from src.dataset.plan import make_plan
from src.dataset.preprocess_options import add_options, options_of
from src.dataset.preprocess_run import preprocess
from src.dataset.sources import find_sources
from src.errors import UserError

_DESCRIPTION = """Prepare the pictures of DIV2K, Flickr2K, FFHQ, CelebA-HQ, ImageNet or any folder for training: cut
them into patches or, with --sizes, make a square of each whole picture. Patches: writes OUTPUT/{train,val}/X1 and
X{scale} (image_0000.png, ...: patches in train, whole pictures in val); official bicubic LR pictures are used where
they are below ROOT, else LR is made by MATLAB's bicubic. Squares: writes OUTPUT/{train,val}/hr_128, lr_16 and
sr_16_128. OUTPUT/manifest.json tells what became of each picture. With --val-count, a data set's own validation
pictures, on which results are published, go to OUTPUT/test, so that nothing is chosen on them during training. An
interrupted run continues when it is started again."""
_EPILOG = """exit status: 0: all pictures done; 1: done, but broken pictures were skipped, each named on stderr
and in manifest.json; 2: bad input or a disk that cannot be written, told in one line."""


def main(argv=None):
    """Run the command; return the exit status."""
    arguments, options = _parse(argv)
    root, output = arguments.root.absolute(), arguments.output.absolute()
    scale = None if "sizes" in options else options["scale"]  # of official LR pictures
    sources, messages = find_sources(root, arguments.dataset, scale, arguments.val_count, arguments.split)
    files = {path for pairs in sources.values() for pair in pairs for path in (pair.hr, pair.lr) if path}
    check_apart(output, {path.parent for path in files})
    check_ours(output)
    for message in messages:
        logging.getLogger(__name__).info(message)
    manifest = preprocess(sources, make_plan(sources, root, options), output, arguments.workers, arguments.force)
    return _summary(manifest, output)


def _parse(argv):
    """Return the command line, and the options that the manifest keeps."""
    parser = command.parser(_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--root", type=Path, required=True, help="the folder that the data sets were unpacked in")
    parser.add_argument(
        "--dataset", nargs="+", choices=DATASETS, required=True, help="one or more, such as: div2k flickr2k"
    )
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    add_options(parser)
    parser.add_argument("--workers", type=int, default=_cores(), help="processes")
    parser.add_argument("--force", action="store_true", help="replace an output made with other options")
    arguments = parser.parse_args(argv)
    if arguments.workers < 1:
        raise UserError(f"--workers must be at least 1, not {arguments.workers}")
    return arguments, options_of(arguments)


def _summary(manifest, output):
    """Print what was written; return the exit status."""
    skipped = small = 0
    for name, split in manifest["splits"].items():
        broken = sum(entry["error"] is not None for entry in split["sources"])
        left_out = sum(entry.get("small", False) for entry in split["sources"])
        used = len(split["sources"]) - broken - left_out
        print(f"{name}: {split['files']} pictures from {used} source pictures")
        skipped += broken
        small += left_out
    if "sizes" in manifest["options"]:
        print(f"left out: {small} source pictures smaller than {manifest['options']['sizes'][-1]}")
    print(f"skipped: {skipped} broken source pictures")
    print(f"output: {output}")
    return 1 if skipped else 0


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    command.run(main)
