"""The record that preprocessing leaves beside its patches, and that training checks."""

import json
import re
from pathlib import Path

from src.atomic_file import write_text
from src.errors import UserError

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
