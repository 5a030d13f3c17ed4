"""The record that preprocessing leaves beside its patches, and that training checks."""

import contextlib
import json
import os
import re
from pathlib import Path

from PIL import Image

from src.errors import UserError
from src.host.files import LOCK_NAME, write_text
from src.host.files import locked as lock_held


def same_plan(one, other):
    """Return whether two manifests stand for the same output: all but what happened while it was written."""
    return _planned(one) == _planned(other)


def _planned(manifest):
    splits = {
        name: [{key: value for key, value in entry.items() if key not in _OUTCOME} for entry in split["sources"]]
        for name, split in manifest["splits"].items()
    }
    return manifest.get("options"), manifest.get("digits"), splits


_OUTCOME = ("error", "small")  # of an entry: what became of the picture


NAME = "manifest.json"
FORMAT = "div2k_preprocess"
VERSION = 1
_HR_PART = re.compile(r"X1|hr_\d+", re.IGNORECASE)
SPLITS = ("train", "val", "test")  # an output without pictures to test on has no third


def write_manifest(output, content):
    """Write a manifest to the folder ``output``, whole or not at all.

    Args:
        output: the folder.
        content: plain values; the format and its version are added.

    Raises:
        UserError: it cannot be written.
    """
    text = json.dumps({"format": FORMAT, "version": VERSION, **content}, indent=1, ensure_ascii=False)
    write_text(Path(output) / NAME, text + "\n", "manifest")


def read_manifest(output):
    """Return the manifest of the folder ``output``; None where there is none, or another program's file.

    Raises:
        UserError: the file cannot be read.
    """
    path = Path(output) / NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the manifest {path} ({error}): remove {output} and preprocess again") from error
    return manifest if isinstance(manifest, dict) and manifest.get("format") == FORMAT else None


def part_names(options):
    """Return the names of a split's subfolders, HR's first.

    Args:
        options: the manifest's. Patches of a ``scale`` lie in X1 and X4; squares of the ``sizes`` [16, 128] in hr_128,
            lr_16 and sr_16_128 (which is lr_16 enlarged), of [128] in hr_128 alone.
    """
    if "sizes" not in options:
        return "X1", f"X{options['scale']}"
    *low, side = options["sizes"]
    return (f"hr_{side}", *(name for low_side in low for name in (f"lr_{low_side}", f"sr_{low_side}_{side}")))


def is_hr_part(name):
    """Return whether a folder's name may be that of a split's HR pictures; see :func:`part_names`."""
    return _HR_PART.fullmatch(name) is not None


def image_name(number, digits):
    """Return the file name of one output picture, such as ``image_0007.png``."""
    return f"image_{number:0{digits}d}.png"


def checked_sizes(split_folder, scale):
    """Return the HR size of every picture that the manifest says a split holds.

    Args:
        split_folder: ``train``, ``val`` or ``test`` of a preprocessed output.
        scale: the scale that is wanted; 1 looks at HR pictures alone, which are the same for every scale.

    Returns:
        {stem: (height, width)} of the HR pictures, or None where no manifest lists the split.

    Raises:
        UserError: the preprocessing is unfinished or was made for another scale.
    """
    split_folder = Path(split_folder)
    output = split_folder.parent
    manifest = read_manifest(output)
    if manifest is None or split_folder.name not in SPLITS:
        return None
    if manifest["version"] != VERSION:
        raise UserError(
            f"the manifest of {output} has version {manifest['version']}, not {VERSION}: "
            "run div2k_preprocess.py with --force"
        )
    if not manifest["complete"]:
        raise UserError(f"the preprocessing of {output} is unfinished: run div2k_preprocess.py again, it continues")
    made_for = manifest["options"]["scale"]
    # the names of folders of squares tell by themselves
    if scale not in (1, made_for) and "sizes" not in manifest["options"]:
        raise UserError(f"{output} was made for scale {made_for}, not {scale}: run div2k_preprocess.py --scale {scale}")
    if split_folder.name not in manifest["splits"]:
        return None
    return {
        image_name(number, manifest["digits"])[: -len(".png")]: tuple(source["tile"])
        for source in manifest["splits"][split_folder.name]["sources"]
        if source["error"] is None and not source.get("small")
        for number in range(source["first"], source["first"] + source["count"])
    }


PARTIAL = ".tmp"  # suffix of a file that is being written
_COMPRESS_LEVEL = 1  # of zlib: three times faster than Pillow's 6 and 2 % larger on photographs
_PNG_END = b"IEND\xaeB`\x82"
_IMAGE = re.compile(r"image_[0-9]{4,}\.png")
_PARTIAL_IMAGE = re.compile(rf"image_[0-9]{{4,}}\.png\.[0-9]+{re.escape(PARTIAL)}")  # left by a killed run
_PART = re.compile(r"X[0-9]+|(hr|lr)_[0-9]+|sr_[0-9]+_[0-9]+")  # of a split, whatever the options were
_PARTIAL_MANIFEST = re.compile(r"\.manifest\.[0-9]+\.tmp\.json")


@contextlib.contextmanager
def locked(output):
    """Hold the folder's lock (:mod:`src.host.files`).

    Raises:
        UserError: another process holds it, or the system refuses something while it is held, as on a full disk.
    """
    try:
        with lock_held(output):
            yield
    except OSError as error:
        raise UserError(
            f"cannot write to {output}: {error.strerror}; free some space or name another folder"
        ) from error


def check_apart(output, source_folders):
    """Refuse an output inside a folder that pictures are read from.

    Raises:
        UserError: it is.
    """
    output = Path(output).resolve()
    for folder in source_folders:
        if output.is_relative_to(folder := folder.resolve()):
            raise UserError(f"the output {output} lies in {folder}, whose pictures are read: name a folder outside it")


def check_ours(output):
    """Refuse a folder with content that was not written by preprocessing.

    Raises:
        UserError: it is one, or ``output`` is a file.
    """
    if output.exists() and not output.is_dir():
        raise UserError(f"the output {output} is a file: name a folder")
    if not output.is_dir() or read_manifest(output) is not None:
        return
    if any(entry.name != LOCK_NAME and not _PARTIAL_MANIFEST.fullmatch(entry.name) for entry in output.iterdir()):
        raise UserError(f"{output} is not empty and was not written by this command: name a new folder")


def begin(output, plan, force):
    """Bring the locked output into the state in which the pictures of ``plan`` can be added to it.

    What an earlier run of the same plan has written stays, unless ``force``. The manifest, marked incomplete, is the
    first thing a run writes, so whatever is in the folder can be told to be ours.

    Raises:
        UserError: the folder holds something else, or the output of another plan and ``force`` is False.
    """
    check_ours(output)
    known = read_manifest(output)
    cleared = known is not None and "splits" not in known
    same = known is not None and not cleared and known["version"] == VERSION and same_plan(known, plan)
    if known is not None and (force or not same):
        if not force and not cleared:
            raise UserError(f"{output} differs in pictures, options or version: add --force to replace it")
        # a manifest without splits means "being cleared": if this is cut short, the next run starts here again
        write_manifest(output, {"complete": False})
        _clear(output)
    write_manifest(output, plan)
    for folder in _folders(output, plan):
        folder.mkdir(parents=True, exist_ok=True)
    _remove_partial(output, plan)


def finish(output, plan):
    """Make the output safe against a power cut, then mark its manifest complete."""
    _remove_partial(output, plan)  # a killed run's worker may have died after ``begin``
    os.sync()
    plan["complete"] = True
    write_manifest(output, plan)


def _remove_partial(output, plan):
    """Remove the half-written files that a killed run has left."""
    _remove(output, _PARTIAL_MANIFEST)
    for folder in _folders(output, plan):
        _remove(folder, _PARTIAL_IMAGE)


def _folders(output, plan):
    return [output / split / part for split in plan["splits"] for part in part_names(plan["options"])]


def is_done(output, split, entry, plan):
    """Return whether all pictures of one entry of the plan are there, whole."""
    numbers = output_paths(output / split, entry, plan["options"], plan["digits"])
    return all(is_whole(path) for paths in numbers for path in paths)


def _clear(output):
    """Remove the pictures of an earlier output, and nothing else."""
    for split in SPLITS:
        for folder in filter(_is_part, (output / split).glob("*")):
            _remove(folder, _PARTIAL_IMAGE)
            _remove(folder, _IMAGE)
            with contextlib.suppress(OSError):  # something else is in it
                folder.rmdir()
        with contextlib.suppress(OSError):  # the same, or there is none
            (output / split).rmdir()


def _is_part(folder):
    return _PART.fullmatch(folder.name) and folder.is_dir()


def _remove(folder, pattern):
    """Remove the files of a folder whose names match."""
    for entry in list(folder.iterdir()):
        if pattern.fullmatch(entry.name):
            entry.unlink()


def output_paths(split_folder, entry, options, digits):
    """Return the paths of the output pictures of one entry of the manifest: for each number one in each part."""
    folders = [Path(split_folder) / part for part in part_names(options)]
    names = [image_name(number, digits) for number in range(entry["first"], entry["first"] + entry["count"])]
    return [tuple(folder / name for folder in folders) for name in names]


def is_whole(path):
    """Return whether a PNG is there and ends as a PNG does (after a power cut it may be there without content)."""
    try:
        with open(path, "rb") as handle:
            handle.seek(-len(_PNG_END), os.SEEK_END)
            return handle.read() == _PNG_END
    except OSError:
        return False


def write_png(path, array):
    """Write a PNG under a temporary name and rename it.

    Unlike ``atomic_file.replacing`` this does not fsync each of a hundred thousand files: the end of a run syncs
    them together, and a run that continues another looks at each file's end.

    Args:
        path: Path of the file.
        array: uint8 (H, W, 3).

    Raises:
        UserError: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    try:
        Image.fromarray(array).save(temporary, format="PNG", compress_level=_COMPRESS_LEVEL)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {path} ({error.strerror or error}): free some space, run again") from error
