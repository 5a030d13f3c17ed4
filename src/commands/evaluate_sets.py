"""FID and Inception Score from eval.py's command line: of the pictures that are scored, or as all that is measured."""

import itertools
import logging
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from ..command import given_sampling
from ..dataset.pairs import list_pictures
from ..errors import UserError
from ..host.device import select_device
from ..imaging.io import picture_size, read_rgb, write_image
from ..inference.files import unconditional_samples
from ..metrics.evaluate import Report
from ..metrics.fid import read_statistics, write_statistics
from ..metrics.picture_sets import FEATURES, PictureSet, SetComparison
from ..metrics.report import as_table, prepare_folder, write_report
from ..metrics.weight_files import find_weights
from .evaluation_setup import LOGGED_PICTURES, describe, evaluation_tracker, find_pictures

# options of scores beside an HR picture
_OF_PAIRS = "lr", "lr_kernel", "degrade", "scale", "protocol", "lpips_weights", "lpips_download", "niqe"


class FidOptions(NamedTuple):
    """What a command line asks for."""

    form: str  # who prepares pictures so, a name in ``src.metrics.picture_sets.PREPARATIONS``; or "none"
    weights: str | None = None  # their file or its folder; None takes the cache folder
    download: bool = False  # fetch them if they are missing
    reference: str | None = None  # pictures or an .npz file to compare with; None takes the HR pictures
    save: str | None = None  # an .npz file for the reference's statistics; None writes none

    def describe(self):
        """What a report says of them: a dict that is empty, or has an entry ``"fid"``."""
        if self.form == "none":
            return {}
        return {"fid": {"as": self.form, "reference": self.reference or "the HR pictures"}}


def given_fid(args, default="none"):
    """Return the :class:`FidOptions` of eval.py's command line; ``default`` is the form where none of them is given."""
    others = (args.fid_weights, args.fid_download, args.fid_reference, args.fid_save)
    form = args.fid or ("pytorch-fid" if any(others) else default)
    if form == "none" and any(others):
        raise UserError("--fid none leaves FID out: leave the other options of FID out as well, or --fid none")
    if args.fid_save and Path(args.fid_save).suffix != ".npz":
        raise UserError(f"--fid-save writes an .npz file, not {args.fid_save}: change its name")
    return FidOptions(form, *others)


def open_sets(options, count, device=None, files=None):
    """Return the ``SetComparison`` that measures FID and IS; None where :class:`FidOptions` do not ask for them.

    Each method makes ``count`` pictures. ``files`` are those to compare with where the options name no reference, None
    where they will be added one by one.
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
        reference = _statistics(options.reference)
    if files is not None:
        _check_count(len(files), "pictures to compare with")
    from ..metrics.inception import load_inception

    (path,) = find_weights("inception", options.weights, options.download)
    select_device(device)  # the models, if any, have chosen the same
    inception = load_inception(path)
    if files is not None:
        pictures = PictureSet(inception, options.form)
        for file in tqdm(files, desc="reference", unit="picture"):
            pictures.add(read_rgb(file))
        reference = pictures.gaussian()
    return SetComparison(inception, options.form, count, reference)


def save_reference(options, sets):
    """Write the statistics of the reference where :class:`FidOptions` ask for it."""
    if sets and options.save:
        write_statistics(options.save, sets.reference())
        logging.info("written %s", options.save)


def _statistics(path):
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


def is_generation(models, args):
    """Whether FID and IS are all that can be measured: of --generated, or of models that look at no picture."""
    if args.generated:
        unread = ["--checkpoint"] * bool(models) + ["--save-pictures"] * args.save_pictures
        if unread := unread + [f"--{name}" for name in given_sampling(args)]:
            raise UserError(
                f"--generated scores pictures that are there already: leave {', '.join(unread)} out, or --generated"
            )
    kinds = {not model.upscaler.conditional for model in models}
    if len(kinds) == 2:
        raise UserError("some of the checkpoints enlarge pictures and some make them from nothing: evaluate them apart")
    if args.samples and kinds != {True}:
        raise UserError("--samples is for models that make pictures from nothing: leave it out")
    return bool(args.generated) or kinds == {True}


def evaluate_generation(models, config, args, output):
    """Score unconditional models, or ``--generated``: print the table, write metrics.json and .csv, track the run.

    ``config`` holds the settings whose pictures are compared with where the command line names none.
    """
    fid = given_fid(args, default="pytorch-fid")
    given = {name: getattr(args, name) for name in _OF_PAIRS}
    given = [name for name, value in given.items() if value is not None and value is not False]
    unread = [f"--{name.replace('_', '-')}" for name in given]
    if unread := unread + ["--fid none"] * (fid.form == "none"):
        raise UserError(f"FID and IS are all that is measured here: leave {', '.join(unread)} out")
    files, data = _reference_files(models, config, fid, args.data, args.hr)
    sources, count = _sources(models, args, len(files) if files else None)
    sets = open_sets(fid, count, args.device, files)
    _tell_sizes(files, models)
    about = describe(models, data=data, seed=args.seed)
    about |= {"pictures": count, "fid": {"as": fid.form, "reference": str(data)}}
    about["methods"] = {name: about["methods"].get(name, {}) for name in sources}
    steps = sum(model.sampling.steps for model in models) if models else 1
    with evaluation_tracker(args, about) as tracker:
        with tqdm(total=count * steps, desc="evaluating", unit="step") as bar:
            for name, pictures in sources.items():
                for number, picture in enumerate(pictures(bar.update)):
                    sets.add(name, picture)
                    if args.save_pictures:
                        write_image(output / "pictures" / name / f"{number:06d}.png", picture)
                    if number < LOGGED_PICTURES:
                        tracker.pictures(0, {f"pictures/{name}_{number}": picture})
        report = Report(sets=sets.scores())
        print(as_table(report, about))
        write_report(report, about, output)
        for name, found in report.sets.items():
            tracker.scalars(0, {f"{name}/fid": found.fid, f"{name}/is": found.is_mean})
    save_reference(fid, sets)
    logging.info("written %s and metrics.csv", output / "metrics.json")


def _reference_files(models, config, fid, data, hr):
    """The files to compare with, None where ``--fid-reference`` names something; and where they are."""
    if fid.reference:
        if data or hr:
            raise UserError("name what to compare with by one of --fid-reference, --hr and --data")
        return None, fid.reference
    data, found = find_pictures(models, config, 1, data, hr)
    return [pair.hr for pair in found.pairs], data


def _sources(models, args, references):
    """Return {method: function of the progress that yields uint8 (H, W, 3)}, and how many pictures each yields.

    Models draw pictures of the size that infer.py gives them where none is named; picture n takes the seed + n.
    """
    if args.generated:
        files = list_pictures(args.generated)
        return {Path(args.generated).resolve().name or "generated": lambda done: _read(files, done)}, len(files)
    count = args.samples or references
    if count is None:
        raise UserError("how many pictures are to be sampled? name it with --samples N: 10000 and 50000 are usual")
    return {
        model.name: lambda done, model=model: unconditional_samples(
            model.upscaler, count, model.upscaler.usual_size, model.sampling, args.seed, done
        )
        for model in models
    }, count


def _read(files, done):
    for file in files:
        yield read_rgb(file)
        done()


def _tell_sizes(files, models):
    """Say so where the first picture to compare with has another size than the models' pictures."""
    for model, file in itertools.product(models, (files or [])[:1]):
        made, size = model.upscaler.usual_size, picture_size(file)
        if tuple(size) != tuple(made):
            logging.warning(
                "%s makes %d×%d pictures, %s has %d×%d: FID tells sizes apart, reduce the latter beforehand",
                model.name, made[1], made[0], file, size[1], size[0],
            )  # fmt: skip
