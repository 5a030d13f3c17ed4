"""What preprocessing is going to write: fixed before the first picture is decoded, the same in every run."""

from src.dataset.pairs import fitting_size, header_sizes
from src.errors import UserError

_OUTCOME = ("error", "small")  # of an entry: what became of the picture


def tile_corners(height, width, patch_size, stride):
    """Return the (top, left) corners of the patches that cover a picture, row by row.

    They are ``stride`` apart; the last row and the last column are shifted inwards to end with the picture. A
    picture that is smaller than a patch in a dimension is taken whole: one corner, (0, 0).
    """
    if min(height, width) < patch_size:
        return [(0, 0)]
    rows, columns = ([*range(0, n - patch_size, stride), n - patch_size] for n in (height, width))
    return [(top, left) for top in rows for left in columns]


def make_plan(sources, root, options):
    """Give each picture its range of output numbers; where patches are cut, the headers of all of them tell.

    Args:
        sources: {split: pairs}; see :func:`src.dataset.sources.find_sources`.
        root: folder that the pictures are named relative to.
        options: {"scale": …, "patch_size": …, "stride": …, …}, or {"sizes": …, …} where whole pictures are made
            squares; kept in the manifest.

    Returns:
        A manifest (plain values) with ``complete`` False. For each split it lists for each source picture:
        ``name``; ``size``, [height, width] of the file; ``tile``, [height, width] of each of its output HR pictures;
        ``first`` and ``count``, its range of output numbers; ``lr``, "official" or "made"; and ``error``, None or
        why it was left out. A picture whose header is broken gets no numbers. One that turns out broken while it is
        decoded keeps its range, which then has no files: no other picture's number depends on it. Of squares there is
        one for each picture, so that no header is read beforehand: ``size`` is left out, and ``small`` tells whether
        the picture was left out as smaller than the square.

    Raises:
        UserError: no picture of a split can be used.
    """
    make_entry = _square_entry if "sizes" in options else _entry
    splits = {}
    for split, pairs in sources.items():
        entries, first = [], 0
        for pair in pairs:
            entries.append(make_entry(pair, root, split, first, options))
            first += entries[-1]["count"]
        broken = [entry["error"] for entry in entries if entry["error"]]
        if entries and len(broken) == len(entries):
            raise UserError(f"none of the {len(entries)} pictures for {split} can be used; the first: {broken[0]}")
        splits[split] = {"files": 0, "sources": entries}
    largest = max(sum(entry["count"] for entry in split["sources"]) for split in splits.values())
    digits = max(4, len(str(largest - 1)))
    return {"complete": False, "options": options, "digits": digits, "splits": splits}


def same_plan(one, other):
    """Return whether two manifests stand for the same output: all but what happened while it was written."""
    return _planned(one) == _planned(other)


def _planned(manifest):
    splits = {
        name: [{key: value for key, value in entry.items() if key not in _OUTCOME} for entry in split["sources"]]
        for name, split in manifest["splits"].items()
    }
    return manifest.get("options"), manifest.get("digits"), splits


def _named(pair, root):
    name = pair.hr.absolute().relative_to(root).as_posix()
    return {"name": name, "lr": "official" if pair.lr else "made"}


def _square_entry(pair, root, split, first, options):
    """Return the manifest's entry of one source picture that becomes a square."""
    tile = [options["sizes"][-1]] * 2
    return _named(pair, root) | {"tile": tile, "first": first, "count": 1, "error": None, "small": False}


def _entry(pair, root, split, first, options):
    """Return the manifest's entry of one source picture that is cut into patches."""
    entry = _named(pair, root)
    try:
        size, lr_size = header_sizes(pair)
        height, width = (n * options["scale"] for n in fitting_size(pair, size, lr_size, options["scale"]))
    except UserError as error:
        return entry | {"size": None, "tile": None, "first": first, "count": 0, "error": str(error)}
    patch_size = options["patch_size"]
    if split != "train" or min(height, width) < patch_size:
        tile, count = [height, width], 1
    else:
        tile, count = [patch_size] * 2, len(tile_corners(height, width, patch_size, options["stride"]))
    return entry | {"size": list(size), "tile": tile, "first": first, "count": count, "error": None}
