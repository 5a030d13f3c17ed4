"""Cutting one picture and its LR into the files that training reads."""

import os
from pathlib import Path

from PIL import Image

from src.dataset.manifest import image_name
from src.dataset.pairs import load_pair
from src.dataset.plan import tile_corners
from src.errors import UserError

_COMPRESS_LEVEL = 1  # of zlib: three times faster than Pillow's 6 and 2 % larger on photographs
_PNG_END = b"IEND\xaeB`\x82"
PARTIAL = ".tmp"  # suffix of a file that is being written


def output_paths(split_folder, entry, scale, digits):
    """Return [(HR path, LR path)] of the output pictures of one entry of the manifest."""
    names = [image_name(number, digits) for number in range(entry["first"], entry["first"] + entry["count"])]
    return [(Path(split_folder) / "X1" / name, Path(split_folder) / f"X{scale}" / name) for name in names]


def write_tiles(pair, entry, split_folder, options, digits):
    """Write the HR and LR pictures of one source picture.

    Args:
        pair: the source.
        entry: its entry in the manifest.
        split_folder: the output's ``train``, ``val`` or ``test``; its X1 and X{scale} exist.
        options: the manifest's.
        digits: of the file numbers.

    Returns:
        None; or, if the source cannot be used, the reason, and nothing is written.

    Raises:
        UserError: the output cannot be written.
    """
    scale = options["scale"]
    try:
        hr, lr = load_pair(pair, scale)
    except UserError as error:
        return str(error)
    expected = [n // scale * scale for n in entry["size"]]
    if list(hr.shape[:2]) != expected:
        return f"{pair.hr} is not of the size its header says: replace or remove it"
    tile_height, tile_width = entry["tile"]
    whole = entry["tile"] == expected
    corners = [(0, 0)] if whole else tile_corners(*expected, options["patch_size"], options["stride"])
    for (top, left), (hr_path, lr_path) in zip(corners, output_paths(split_folder, entry, scale, digits), strict=True):
        _write_png(hr_path, hr[top : top + tile_height, left : left + tile_width])
        top, left, height, width = (n // scale for n in (top, left, tile_height, tile_width))
        _write_png(lr_path, lr[top : top + height, left : left + width])
    return None


def is_whole(path):
    """Return whether a PNG is there and ends as a PNG does (after a power cut it may be there without content)."""
    try:
        with open(path, "rb") as handle:
            handle.seek(-len(_PNG_END), os.SEEK_END)
            return handle.read() == _PNG_END
    except OSError:
        return False


def _write_png(path, array):
    """Write a PNG under a temporary name and rename it.

    Unlike ``atomic_file.replacing`` this does not fsync each of a hundred thousand files: the end of a run syncs
    them together, and a run that continues another looks at each file's end.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    try:
        Image.fromarray(array).save(temporary, format="PNG", compress_level=_COMPRESS_LEVEL)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"cannot write {path} ({error.strerror or error}): free some space, run again") from error
