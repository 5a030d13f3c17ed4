"""The folder that preprocessing writes: its manifest, which training checks, and its pictures."""

import contextlib
import json
import os
import re
import shutil
from pathlib import Path

from PIL import Image

from ..errors import UserError
from ..host.files import LOCK_NAME, locked, write_text

NAME = "manifest.json"
FORMAT = "div2k_preprocess"
VERSION = 1
SPLITS = ("train", "val", "test")  # an output without pictures to test on has no third
SHARDS = ".shards"  # the folder in which shards tell each other what they have done

_HR_PART = re.compile(r"X1|hr_\d+", re.IGNORECASE)
_PART = re.compile(r"X[0-9]+|(hr|lr)_[0-9]+|sr_[0-9]+_[0-9]+")  # of a split, whatever the options were
_IMAGE = re.compile(r"image_[0-9]{4,}\.png(\.[0-9]+\.tmp)?")
_PARTIAL_IMAGE = re.compile(r"image_[0-9]{4,}\.png\.[0-9]+\.tmp")  # left by a killed run
_PARTIAL_MANIFEST = re.compile(r"\.manifest\.[0-9]+\.tmp\.json")
_COMPRESS_LEVEL = 1  # of zlib: three times faster than Pillow's 6 and 2 % larger on photographs
_PNG_END = b"IEND\xaeB`\x82"


def write_manifest(output, content):
    """Write a manifest of plain values, whole or not at all."""
    text = json.dumps({"format": FORMAT, "version": VERSION, **content}, indent=1, ensure_ascii=False)
    write_text(Path(output) / NAME, text + "\n", "manifest")


def read_manifest(output):
    """Return a folder's manifest, None where it is absent or another program's."""
    path = Path(output) / NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the manifest {path} ({error}): remove {output} and preprocess again") from error
    return manifest if isinstance(manifest, dict) and manifest.get("format") == FORMAT else None


def checked_sizes(hr_folder, scale):
    """Return {stem: (height, width)} of a split's HR pictures by the manifest, None where none lists the folder.

    Preprocessing that is unfinished or was made for another ``scale`` is a UserError; for 1, HR alone, all will do.
    """
    split, output = hr_folder.parent.name, hr_folder.parent.parent
    manifest = read_manifest(output) if _HR_PART.fullmatch(hr_folder.name) else None
    if manifest is None or split not in SPLITS:
        return None
    if manifest["version"] != VERSION:
        found = f"the manifest of {output} has version {manifest['version']}, not {VERSION}"
        raise UserError(f"{found}: run div2k_preprocess.py with --force")
    if not manifest["complete"]:
        raise UserError(f"the preprocessing of {output} is unfinished: run div2k_preprocess.py again, it continues")
    made_for = manifest["options"]["scale"]
    # the names of folders of squares tell by themselves
    if scale not in (1, made_for) and "sizes" not in manifest["options"]:
        raise UserError(f"{output} was made for scale {made_for}, not {scale}: run div2k_preprocess.py --scale {scale}")
    if split not in manifest["splits"]:
        return None
    return {
        stem: tuple(source["tile"])
        for source in manifest["splits"][split]["sources"]
        if source["error"] is None and not source.get("small")
        for stem in _stems(source, manifest["digits"])
    }


def _stems(entry, digits):
    return [f"image_{number:0{digits}d}" for number in range(entry["first"], entry["first"] + entry["count"])]


def begin(output, plan, force):
    """Make the locked output ready for the pictures of ``plan``; those of an earlier run stay, unless ``force``.

    The manifest, marked incomplete, is the first thing written, so whatever is in the folder can be told to be ours.
    """
    check_ours(output)
    known = read_manifest(output)
    stale = known is not None and (force or not same_plan(known, plan))
    if stale and not force and "splits" in known:
        raise UserError(f"{output} differs in pictures, options or version: add --force to replace it")
    for folder in (output / SHARDS).glob("*_of_*"):
        with locked(folder):  # no shard is running
            shutil.rmtree(folder)
    if stale:
        # a manifest without splits means "being cleared": if this is cut short, the next run starts here again
        write_manifest(output, {"complete": False})
        _clear(output)
    write_manifest(output, plan)
    make_folders(output, plan)
    _remove_partial(output, plan)


def check_ours(output):
    """Refuse a folder with content that was not written by preprocessing, and a file."""
    if output.exists() and not output.is_dir():
        raise UserError(f"the output {output} is a file: name a folder")
    if not output.is_dir() or read_manifest(output) is not None:
        return
    names = {entry.name for entry in output.iterdir()} - {LOCK_NAME, SHARDS}
    if any(not _PARTIAL_MANIFEST.fullmatch(name) for name in names):
        raise UserError(f"{output} is not empty and was not written by this command: name a new folder")


def same_plan(one, other):
    """Tell whether two manifests are of the same output, but for what happened while it was written."""

    def planned(manifest):
        splits = {
            name: [{key: entry[key] for key in entry.keys() - {"error", "small"}} for entry in split["sources"]]
            for name, split in manifest.get("splits", {}).items()
        }
        return manifest.get("options"), manifest.get("digits"), splits

    return one.get("version", VERSION) == other.get("version", VERSION) and planned(one) == planned(other)


def finish(output, plan):
    """Make the output safe against a power cut, then mark its manifest complete."""
    _remove_partial(output, plan)  # a killed run's worker may have died after ``begin``
    os.sync()
    plan["complete"] = True
    write_manifest(output, plan)
    shutil.rmtree(output / SHARDS, ignore_errors=True)


def make_folders(output, plan):
    for folder in _folders(output, plan):
        folder.mkdir(parents=True, exist_ok=True)


def _remove_partial(output, plan):  # what a killed run has left
    _remove(output, _PARTIAL_MANIFEST)
    for folder in _folders(output, plan):
        _remove(folder, _PARTIAL_IMAGE)


def _folders(output, plan):
    return [output / split / part for split in plan["splits"] for part in _part_names(plan["options"])]


def _clear(output):
    """Remove the pictures of an earlier output, and nothing else."""
    for split in SPLITS:
        for folder in (output / split).glob("*"):
            if _PART.fullmatch(folder.name) and folder.is_dir():
                _remove(folder, _IMAGE)
                with contextlib.suppress(OSError):  # something else is in it
                    folder.rmdir()
        with contextlib.suppress(OSError):  # the same, or there is none
            (output / split).rmdir()


def _remove(folder, pattern):
    for entry in list(folder.iterdir()):
        if pattern.fullmatch(entry.name):
            entry.unlink()


def output_paths(entry, split_folder, options, digits):
    """Return the paths of a manifest's entry: for each number one in each part of the split."""
    folders = [split_folder / part for part in _part_names(options)]
    return [tuple(folder / f"{stem}.png" for folder in folders) for stem in _stems(entry, digits)]


def _part_names(options):
    """Return a split's subfolders, HR's first: X1 and X4; of squares hr_128, lr_16 and sr_16_128, or hr_128 alone."""
    if "sizes" not in options:
        return "X1", f"X{options['scale']}"
    *low, side = options["sizes"]
    return f"hr_{side}", *(name for lr in low for name in (f"lr_{lr}", f"sr_{lr}_{side}"))


def is_whole(path):
    """Tell whether a PNG is there with its end: after a power cut it may be without content."""
    try:
        with open(path, "rb") as handle:
            handle.seek(-len(_PNG_END), os.SEEK_END)
            return handle.read() == _PNG_END
    except OSError:
        return False


def write_png(path, array):
    """Write a uint8 (H, W, 3) picture under a temporary name and rename it.

    Not by ``host.files.replacing``, which syncs each of a hundred thousand files: here the run's end syncs them all.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        Image.fromarray(array).save(temporary, format="PNG", compress_level=_COMPRESS_LEVEL)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {path} ({error.strerror or error}): free some space, run again") from error
