#!/usr/bin/env python3
"""Say where each data set is; find its pictures in what you have fetched, check them, and lay them out for eval.py.

Nothing is downloaded. Pictures are known by their pixels, whatever the files are called and however they are packed, by
scripts/benchmarks.sha256: those of the README's tables, of the shipped models' training and of its validation. Exit
status 1: some are missing.
"""

import hashlib
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import parser, run  # noqa: E402
from src.errors import UserError  # noqa: E402

HASHES = Path(__file__).with_name("benchmarks.sha256")
SETS = {  # what is known by its pixels comes first; links as of 2026
    "Set5": ("github.com/jbhuang0604/SelfExSR (HR and MATLAB's LR)", "python eval.py --data {}/Set5/x4"),
    "Set14": ("github.com/jbhuang0604/SelfExSR", "python eval.py --data {}/Set14"),
    "lite": (
        "BSD200: the training pictures of www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds (BSDS300); T91: the "
        "91 pictures of Yang et al. 2010, in the code of SRCNN, mmlab.ie.cuhk.edu.hk/projects/SRCNN.html (Train)",
        "docs/training_lite.md: data.train={0}/lite/train data.val={0}/lite/val",
    ),
    "DIV2K": ("data.vision.ee.ethz.ch/cvl/DIV2K/", "README.md, Data: div2k_preprocess.py --dataset div2k"),
    "Flickr2K": ("github.com/limbee/NTIRE2017", "README.md, Data: div2k_preprocess.py --dataset flickr2k"),
    "BSD100, Urban100": ("github.com/jbhuang0604/SelfExSR", "python eval.py --data DIR (docs/layouts.md)"),
}


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--fetched", type=Path, metavar="DIR", help="where you have unpacked what you fetched")
    p.add_argument("--output", type=Path, default=Path("data"), metavar="DIR", help="where links to it are made")
    return p.parse_args()


def pixel_hash(picture):
    """Return the SHA-256 of "HxW " and the bytes of a uint8 (H, W, 3) picture, in hex."""
    height, width, _ = picture.shape
    return hashlib.sha256(f"{height}x{width} ".encode() + picture.tobytes()).hexdigest()


def known():
    """Return path below the output → hash, of every picture that is known."""
    lines = HASHES.read_text(encoding="ascii").splitlines()
    return {path: digest for digest, path in (line.split("  ") for line in lines if not line.startswith("#"))}


def find(folder, wanted):
    """Return hash → file of the pictures below a folder that are wanted; what cannot be read is another."""
    from tqdm import tqdm

    from src.imaging.io import READ_SUFFIXES, read_rgb

    if not folder.is_dir():
        raise UserError(f"--fetched must be a folder of unpacked pictures, and {folder} is none: name another")
    found = {}
    for file in tqdm(sorted(folder.rglob("*")), unit="file"):
        if file.suffix.lower() in READ_SUFFIXES and file.is_file():
            try:
                digest = pixel_hash(read_rgb(file))
            except UserError:
                continue
            if digest in wanted:
                found.setdefault(digest, file.resolve())
    return found


def lay_out(paths, found, output):
    """Link the found pictures as output/path; return the paths of those that are not found."""
    missing = []
    for path, digest in paths.items():
        target = output / path
        if digest not in found:
            missing.append(path)
        elif not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # a link to what is no longer there
            target.symlink_to(found[digest])
    return missing


def main():
    args = arguments()
    if args.fetched is None:
        for name, (source, use) in SETS.items():
            print(f"{name}\n    from  {source}\n    then  {use.format(args.output)}")
        print("Respect their licences. --fetched DIR checks and lays out Set5, Set14 and lite.")
        return 0
    paths = known()
    found = find(args.fetched, set(paths.values()))
    missing = lay_out(paths, found, args.output)
    for name in SETS:
        own = [path for path in paths if path.startswith(f"{name}/")]
        lacking = [path for path in missing if path.startswith(f"{name}/")]
        if own:
            first = f", first missing: {lacking[0]}" if lacking else ""
            print(f"{name}: {len(own) - len(lacking)} of {len(own)} pictures in {args.output / name}{first}")
    return 1 if missing else 0


if __name__ == "__main__":
    run(main)
