"""FID and Inception Score put together from a command line. Importing it does not import mindspore."""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from src.dataset.folders import list_pictures
from src.errors import UserError
from src.imaging.io import read_rgb
from src.metrics.fid import read_statistics, write_statistics
from src.metrics.inception_input import PREPARATIONS
from src.metrics.inception_weights import find_inception, load_inception
from src.metrics.picture_sets import PictureSet, SetComparison
from src.metrics.report import prepare_folder

FEATURES = 2048  # of Inception: the dimensions of the covariance


@dataclass(frozen=True)
class FidOptions:
    """What a command line asks for.

    Attributes:
        form: who prepares pictures so, a name in ``PREPARATIONS``; or "none".
        weights: their file or its folder; None takes the cache folder.
        download: fetch them if they are missing.
        reference: a folder of pictures or an .npz file to compare with; None takes the HR pictures.
        save: an .npz file for the reference's statistics; None writes none.
    """

    form: str
    weights: str | None = None
    download: bool = False
    reference: str | None = None
    save: str | None = None

    def describe(self):
        """Return what a report says of them: a dict that is empty, or has an entry ``"fid"``."""
        if self.form == "none":
            return {}
        return {"fid": {"as": self.form, "reference": self.reference or "the HR pictures"}}


def add_fid(arguments):
    """Add the options of :class:`FidOptions`."""
    group = arguments.add_argument_group("FID and Inception Score", "of all pictures of a method together")
    group.add_argument(
        "--fid", choices=(*PREPARATIONS, "none"), help="measure them, of pictures prepared as this program does; by "
        "default pytorch-fid where an option of this group is given, else none",
    )  # fmt: skip
    group.add_argument(
        "--fid-weights", metavar="PATH", help="Inception's, or their folder; by default the cache folder"
    )
    group.add_argument("--fid-download", action="store_true", help="fetch them if they are missing")
    text = "pictures to compare with, or their statistics; by default the HR pictures"
    group.add_argument("--fid-reference", metavar="DIR|NPZ", help=text)
    text = "of a model that makes pictures from nothing, so many; by default as many as there are to compare with"
    group.add_argument("--samples", type=_samples, metavar="N", help=text)
    group.add_argument("--generated", metavar="DIR", help="of these pictures, instead of a model's")
    group.add_argument("--fid-save", metavar="NPZ", help="write the statistics of what was compared with")


def _samples(text):
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"expected a number from 2 up, got {text}")
    return int(text)


def given_fid(args, default="none"):
    """Return the :class:`FidOptions` of a command line.

    Args:
        args: with what :func:`add_fid` adds.
        default: the form where no option of them is given.

    Raises:
        UserError: options contradict each other.
    """
    others = (args.fid_weights, args.fid_download, args.fid_reference, args.fid_save)
    form = args.fid or ("pytorch-fid" if any(others) else default)
    if form == "none" and any(others):
        raise UserError("--fid none leaves FID out: leave the other options of FID out as well, or --fid none")
    if args.fid_save and Path(args.fid_save).suffix != ".npz":
        raise UserError(f"--fid-save writes an .npz file, not {args.fid_save}: change its name")
    return FidOptions(form, *others)


def open_sets(options, count, device=None, files=None):
    """Return what measures FID and IS, or None where they are not asked for.

    Args:
        options: :class:`FidOptions`.
        count: how many pictures each method makes.
        device: see :func:`src.runtime.select_device`.
        files: pictures to compare with where the options name no reference; None where they will be added one by one.

    Returns:
        :class:`src.metrics.picture_sets.SetComparison`.

    Raises:
        UserError: there are fewer than two pictures, or the weights or the reference are missing or wrong.
    """
    if options.form == "none":
        return None
    _check_count(count, "pictures")
    if options.save:
        prepare_folder(Path(options.save).parent, "--fid-save")
    reference = None
    if options.reference and Path(options.reference).is_dir():
        files = list_pictures(options.reference)
    elif options.reference:
        reference = _read_statistics(options.reference)
    if files is not None:
        _check_count(len(files), "pictures to compare with")
    from src.runtime import select_device
    from src.weights.torch_file import read_torch

    path = find_inception(options.weights, options.download)
    select_device(device)  # the models, if any, have chosen the same
    inception = load_inception(path, read_torch)
    if files is not None:
        reference = _statistics_of(files, inception, options.form)
    return SetComparison(inception, options.form, count, reference)


def save_reference(options, sets):
    """Write the statistics of the reference where :class:`FidOptions` ask for it."""
    if sets and options.save:
        write_statistics(options.save, sets.reference())
        logging.info("written %s", options.save)


def _statistics_of(files, inception, form):
    """Return the ``Gaussian`` of pictures."""
    pictures = PictureSet(inception, form)
    for file in tqdm(files, desc="reference", unit="picture"):
        pictures.add(read_rgb(file))
    return pictures.gaussian()


def _read_statistics(path):
    gaussian = read_statistics(path)
    if len(gaussian.mean) != FEATURES:
        raise UserError(
            f"{path} has statistics of {len(gaussian.mean)} features, expected {FEATURES}: make it with pytorch-fid's "
            "default of --dims, or with --fid-save"
        )
    return gaussian


def _check_count(count, what):
    if count < 2:
        raise UserError(f"FID needs at least 2 {what}, got {count}: add some, or leave FID out with --fid none")
    if count < FEATURES:
        logging.warning(
            "FID of %d %s depends more on their number than on their quality: compare it only with sets as large, and "
            "take at least %d for others", count, what, FEATURES,
        )  # fmt: skip
