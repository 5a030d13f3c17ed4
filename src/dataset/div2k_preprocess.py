"""Prepare DIV2K, Flickr2K, FFHQ, CelebA-HQ, ImageNet or any folder of pictures for training; see --help."""

import argparse
import logging
import os
import re
import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a script: Python has put this folder on the path, not the repository
    sys.path[0], __package__ = str(Path(__file__).resolve().parents[2]), "src.dataset"

from ..host.signals import end_at_once

if __name__ == "__main__":
    end_at_once()  # while the rest is imported

from .. import command
from ..errors import UserError
from ..imaging.io import write_image
from ..imaging.resize import imresize
from ..imaging.strip import make_grid, side_by_side
from .manifest import SPLITS, check_ours
from .patches import PatchPairs
from .preprocess import CROPS, RESAMPLERS, make_plan, preprocess
from .shards import Shard
from .sources import DATASETS, find_sources

_DESCRIPTION = """Prepare the pictures of DIV2K, Flickr2K, FFHQ, CelebA-HQ, ImageNet or any folder for training: cut
them into patches or, with --sizes, make a square of each whole picture. Patches: writes OUTPUT/{train,val}/X1 and
X{scale} (image_0000.png, ...: patches in train, whole pictures in val); official bicubic LR pictures are used where
they are below ROOT, else LR is made by MATLAB's bicubic. Squares: writes OUTPUT/{train,val}/hr_128, lr_16 and
sr_16_128. OUTPUT/manifest.json tells what became of each picture. With --val-count, a data set's own validation
pictures, on which results are published, go to OUTPUT/test, so that nothing is chosen on them during training. An
interrupted run continues when it is started again. With --shard several processes or machines share the work, with
the same options and OUTPUT, and leave what one run would."""
_EPILOG = """exit status: 0: all pictures done; 1: done, but broken pictures were skipped, each named on stderr
and in manifest.json; 2: bad input or a disk that cannot be written, told in one line."""

_OF_PATCHES = {"scale": 4, "patch_size": 480, "stride": 320}  # options and their defaults
_OF_SQUARES = {"crop": "centre", "resample": "bicubic"}
_EXAMPLES, _SIDE = 12, 128  # of degradation: how many, and the side of their HR at most


def main(argv=None):
    arguments = _parser().parse_args(argv)
    options = _options(arguments)
    degradation = _degradation(arguments)
    root, output, shard = arguments.root.absolute(), arguments.output.absolute(), arguments.shard
    scale = None if arguments.sizes else options["scale"]  # of official LR pictures
    sources, messages = find_sources(root, arguments.dataset, scale, arguments.val_count, arguments.split)
    _check_apart(output, sources)
    check_ours(output)
    for message in messages:
        logging.getLogger(__name__).info(message)
    plan = make_plan(sources, root, options)
    manifest = preprocess(sources, plan, output, arguments.workers, arguments.force, shard)
    if manifest["complete"]:
        if degradation:
            _preview(degradation, arguments.preview_degradation, output, manifest["options"])
        return _summary(manifest, output)
    skipped = sum(entry["error"] is not None for entry in shard.entries(manifest))
    print(f"shard {shard.number}/{shard.count}: done")
    print(f"skipped: {skipped} broken source pictures")
    print(f"output: {output}, complete when all shards are")
    return 1 if skipped else 0


def _parser():
    parser = command.parser(_DESCRIPTION, epilog=_EPILOG)
    text = "the folder that the data sets were unpacked in; for folder, HR with or without LR as docs/layouts.md shows"
    parser.add_argument("--root", type=Path, required=True, help=text)
    text = "one or more, such as: div2k flickr2k"
    parser.add_argument("--dataset", nargs="+", choices=DATASETS, required=True, help=text)
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    patches = parser.add_argument_group("patches", "what is made of pictures unless --sizes is given")
    patches.add_argument("--scale", type=int, help="HR pixels per LR pixel in each direction (default: 4)")
    patches.add_argument("--patch-size", type=int, help="side of the training patches in HR pixels (default: 480)")
    text = (
        "distance of neighbouring patches in HR pixels; patch-size less stride is the largest square that lies in some "
        "patch wherever it is in the picture (default: 320)"
    )
    patches.add_argument("--stride", type=int, help=text)
    squares = parser.add_argument_group("squares", "one of each whole picture, as for faces")
    text = (
        "16,128 makes pictures of 128 x 128 pixels (hr_128), their LR (lr_16), and that enlarged again by bicubic "
        "(sr_16_128); 128 makes hr_128 alone. Smaller pictures are left out, and counted"
    )
    squares.add_argument("--sizes", type=_sizes, metavar="[LR,]HR", help=text)
    text = (
        "centre: reduce until the shorter side fits, then cut out the middle; largest: cut the largest centred "
        "square, then reduce it (default: centre)"
    )
    squares.add_argument("--crop", choices=CROPS, help=text)
    text = "how HR is reduced; LR always is by bicubic (default: bicubic)"
    squares.add_argument("--resample", choices=tuple(RESAMPLERS), help=text)
    splits = parser.add_argument_group("splits")
    text = (
        "set so many training pictures, the last by name, of each data set aside for val; by default none, and "
        "val is the data sets' own validation pictures, or, if none of them has any, a tenth, from 1 to 10"
    )
    splits.add_argument("--val-count", type=int, help=text)
    splits.add_argument("--split", choices=SPLITS, help="put all pictures there, as those of a data set to test on")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--workers", type=int, default=cores, help="processes")
    text = "write the Ith of N shares of the pictures; whichever of the N runs ends last completes manifest.json"
    parser.add_argument("--shard", type=_shard, metavar="I/N", help=text)
    text = "when all is done, also write a picture of training patches as these were degraded: LR | bicubic | HR"
    parser.add_argument("--preview-degradation", type=Path, metavar="PNG", help=text)
    text = "whose settings 'degradation' it shows; by default Real-ESRGAN's"
    parser.add_argument("--config", type=Path, metavar="YAML", help=text)
    parser.add_argument("--force", action="store_true", help="replace an output made with other options")
    return parser


def _sizes(text):
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) not in (1, 2) or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"expected LR,HR or HR in pixels, such as 16,128, not '{text}'")
    low, side = sizes[0], sizes[-1]
    if len(sizes) == 2 and (low == side or side % low):
        raise argparse.ArgumentTypeError(f"HR must be a multiple of LR, not {side} of {low}")
    return sizes


def _shard(text):
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    shard = Shard(*map(int, found.groups())) if found else None
    if not shard or not 1 <= shard.number <= shard.count:
        raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, such as 2/4, not '{text}'")
    return shard


def _options(arguments):
    """Return the options as the manifest keeps them."""
    if arguments.workers < 1:
        raise UserError(f"--workers must be at least 1, not {arguments.workers}")
    if len(set(arguments.dataset)) < len(arguments.dataset):
        raise UserError(f"--dataset names one twice: {' '.join(arguments.dataset)}")
    if arguments.split and arguments.val_count is not None:
        raise UserError(f"--val-count {arguments.val_count} sets none aside with --split: leave one of them out")
    if arguments.shard and arguments.force:
        raise UserError("--force would remove what other shards write: leave it out, and name a new output folder")
    own, others, reason = _OF_PATCHES, _OF_SQUARES, "is for squares: add --sizes, or leave it out"
    if arguments.sizes:
        own, others = others, own
        reason = "is for patches, --sizes says all of squares: leave one of them out"
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    for name in others:
        if name in given:
            raise UserError(f"--{name.replace('_', '-')} {given[name]} {reason}")
    own = {name: given.get(name, default) for name, default in own.items()}
    if own.get("scale") == 3 and "stride" not in given:  # which the default of all others does not divide
        own["stride"] -= own["stride"] % 3
    if arguments.sizes:
        own = {"sizes": arguments.sizes, "scale": arguments.sizes[-1] // arguments.sizes[0], **own}  # 1 of HR alone
    else:
        _check_patches(**own)
    rest = {"split": arguments.split} if arguments.split else {}
    return {"datasets": arguments.dataset, **own, "val_count": arguments.val_count, **rest}


def _degradation(arguments):
    """Return the ``Degradation`` to show, or None."""
    if not arguments.preview_degradation:
        if arguments.config:
            raise UserError(f"--config {arguments.config} is for --preview-degradation: add it, or leave it out")
        return None
    from ..config.schema import DegradationConfig
    from ..families.registry import read_config
    from .degradation import degradation_of

    settings = read_config(arguments.config).degradation if arguments.config else DegradationConfig(kind="real")
    degradation = degradation_of(settings)
    if not degradation:
        raise UserError(f"degradation.kind is none in {arguments.config}: name a configuration that degrades")
    if arguments.split not in (None, "train"):
        raise UserError(f"--preview-degradation shows training patches, of which --split {arguments.split} makes none")
    return degradation


def _preview(degradation, path, output, options):
    scale = options["scale"]
    side = min(_SIDE, options["sizes"][-1] if "sizes" in options else options["patch_size"]) // scale * scale
    patches = PatchPairs(output, scale=scale, patch_size=side, degradation=degradation)
    samples = [patches.sample(index) for index in range(_EXAMPLES)]
    write_image(path, make_grid([side_by_side(lr, imresize(lr, scale), hr) for hr, lr in samples]))
    print(f"examples of degradation: {path}")


def _check_patches(scale, patch_size, stride):
    if scale < 2:
        raise UserError(f"--scale must be at least 2, not {scale}")
    if patch_size < scale or patch_size % scale:
        raise UserError(f"--patch-size must be a positive multiple of the scale {scale}, not {patch_size}")
    if not 0 < stride <= patch_size or stride % scale:
        expected = f"a multiple of the scale {scale}, at most the patch size {patch_size}"
        raise UserError(f"--stride must be {expected}, not {stride}")


def _check_apart(output, sources):
    files = {path for pairs in sources.values() for pair in pairs for path in (pair.hr, pair.lr) if path}
    output = output.resolve()
    for folder in {path.parent for path in files}:
        if output.is_relative_to(folder := folder.resolve()):
            raise UserError(f"the output {output} lies in {folder}, whose pictures are read: name a folder outside it")


def _summary(manifest, output):
    skipped = small = 0
    for name, split in manifest["splits"].items():
        broken = sum(entry["error"] is not None for entry in split["sources"])
        left_out = sum(entry.get("small", False) for entry in split["sources"])
        used = len(split["sources"]) - broken - left_out
        print(f"{name}: {split['files']} pictures from {used} source pictures")
        skipped, small = skipped + broken, small + left_out
    if "sizes" in manifest["options"]:
        print(f"left out: {small} source pictures smaller than {manifest['options']['sizes'][-1]}")
    print(f"skipped: {skipped} broken source pictures")
    print(f"output: {output}")
    return 1 if skipped else 0


if __name__ == "__main__":
    command.run(main)
