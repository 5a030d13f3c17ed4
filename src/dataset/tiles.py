"""Cutting one picture and its LR into the files that training reads."""

from src.dataset.pairs import load_pair
from src.dataset.plan import tile_corners
from src.dataset.pngs import output_paths, write_png
from src.errors import UserError


def write_tiles(pair, entry, split_folder, options, digits):
    """Write the HR and LR pictures of one source picture.

    Args:
        pair: the source.
        entry: its entry in the manifest.
        split_folder: the output's ``train``, ``val`` or ``test``; its X1 and X{scale} exist.
        options: the manifest's.
        digits: of the file numbers.

    Returns:
        What became of it: {"error": None or why the source cannot be used, in which case nothing is written}.

    Raises:
        UserError: the output cannot be written.
    """
    scale = options["scale"]
    try:
        hr, lr = load_pair(pair, scale)
    except UserError as error:
        return {"error": str(error)}
    expected = [n // scale * scale for n in entry["size"]]
    if list(hr.shape[:2]) != expected:
        return {"error": f"{pair.hr} is not of the size its header says: replace or remove it"}
    tile_height, tile_width = entry["tile"]
    whole = entry["tile"] == expected
    corners = [(0, 0)] if whole else tile_corners(*expected, options["patch_size"], options["stride"])
    paths = output_paths(split_folder, entry, options, digits)
    for (top, left), (hr_path, lr_path) in zip(corners, paths, strict=True):
        write_png(hr_path, hr[top : top + tile_height, left : left + tile_width])
        top, left, height, width = (n // scale for n in (top, left, tile_height, tile_width))
        write_png(lr_path, lr[top : top + height, left : left + width])
    return {"error": None}
