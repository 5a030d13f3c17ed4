"""What ``eval.py`` runs for pictures that have no HR picture of their own: samples of unconditional models, folders."""

import itertools
import logging
from pathlib import Path

from tqdm import tqdm

from src.build_evaluation import describe, find_pictures
from src.build_fid import given_fid, open_sets, save_reference
from src.build_tracking import EVALUATION_PICTURES, evaluation_tracker
from src.command import given_sampling
from src.dataset.folders import list_pictures
from src.errors import UserError
from src.imaging.headers import picture_size
from src.imaging.io import read_rgb, write_image
from src.inference.generated import drawn
from src.metrics.set_report import as_table, write_report

_OF_PAIRS = "lr", "scale", "protocol", "lpips_weights", "lpips_download"  # options of scores beside an HR picture


def is_generation(models, args):
    """Return whether FID and IS are all that can be measured: of a folder, or of models that look at no picture.

    Args:
        models: from :func:`src.build_evaluation.load_models`.
        args: the command line of ``eval.py``.

    Raises:
        UserError: some of the models enlarge pictures and some do not, or an option that was given has no effect.
    """
    if args.generated:
        unread = ["--checkpoint"] * bool(models) + ["--save-pictures"] * args.save_pictures
        if unread := unread + [f"--{name}" for name in given_sampling(args)]:
            raise UserError(
                f"--generated scores pictures that are there already: leave {', '.join(unread)} out, or --generated"
            )
    kinds = {model.config.is_from_nothing for model in models}
    if len(kinds) == 2:
        raise UserError("some of the checkpoints enlarge pictures and some make them from nothing: evaluate them apart")
    if args.samples and kinds != {True}:
        raise UserError("--samples is for models that make pictures from nothing: leave it out")
    return bool(args.generated) or kinds == {True}


def evaluate_generation(models, config, args, output):
    """Score as the command line says: print the table, write metrics.json and metrics.csv, track the run.

    Args:
        models: unconditional ones, from :func:`src.build_evaluation.load_models`; none with ``--generated``.
        config: the settings whose pictures are compared with where the command line names none.
        args: the command line of ``eval.py``.
        output: folder for the metrics.

    Raises:
        UserError: something is missing, wrong or without effect.
    """
    fid = given_fid(args, default="pytorch-fid")
    unread = [f"--{name.replace('_', '-')}" for name in _OF_PAIRS if getattr(args, name)]
    if unread := unread + ["--fid none"] * (fid.form == "none"):
        raise UserError(f"FID and IS are all that is measured here: leave {', '.join(unread)} out")
    files, data = _reference_files(models, config, fid, args.data, args.hr)
    sources, count = _sources(models, args, len(files) if files else None)
    sets = open_sets(fid, count, args.device, files)
    _tell_sizes(files, models)
    about = describe(models, data=data, seed=args.seed) | {"pictures": count} | fid.describe()
    about["fid"]["reference"] = str(data)
    about["methods"] = {name: about["methods"].get(name, {}) for name in sources}
    tracker = evaluation_tracker(output, args.wandb, args.wandb_project, about=about)
    steps = sum(model.sampling()["steps"] for model in models) if models else 1
    with tracker, tqdm(total=count * steps, desc="evaluating", unit="step") as bar:
        for name, pictures in sources.items():
            for number, picture in enumerate(pictures(bar.update)):
                sets.add(name, picture)
                if args.save_pictures:
                    write_image(Path(output) / "pictures" / name / f"{number:06d}.png", picture)
                if number < EVALUATION_PICTURES:
                    tracker.pictures(0, {f"pictures/{name}_{number}": picture})
        bar.close()
        scores = sets.scores()
        print(as_table(scores, about))
        write_report(scores, about, output)
        for name, found in scores.items():
            tracker.scalars(0, {f"{name}/fid": found.fid, f"{name}/is": found.is_mean})
    save_reference(fid, sets)
    logging.info("written %s and metrics.csv", Path(output) / "metrics.json")


def _reference_files(models, config, fid, data, hr):
    """Return the files to compare with, None where ``--fid-reference`` names something; and where they are."""
    if fid.reference:
        if data or hr:
            raise UserError("name what to compare with by one of --fid-reference, --hr and --data")
        return None, fid.reference
    data, pairs = find_pictures(models, config, 1, data, hr)
    return [pair.hr for pair in pairs], data


def _sources(models, args, references):
    """Return {method: function of the progress that yields uint8 (H, W, 3)}, and how many pictures each yields."""
    if args.generated:
        files = list_pictures(args.generated)
        return {Path(args.generated).resolve().name or "generated": lambda done: _read(files, done)}, len(files)
    count = args.samples or references
    if count is None:
        raise UserError("how many pictures are to be sampled? name it with --samples N: 10000 and 50000 are usual")
    return {model.name: lambda done, model=model: sampled(model, count, args.seed, done) for model in models}, count


def _read(files, done):
    for file in files:
        yield read_rgb(file)
        done()


def sampled(model, count, seed, done):
    """Sample pictures from nothing, of the size that infer.py gives them where none is named.

    Args:
        model: an unconditional :class:`src.build_evaluation.Model`.
        count: how many.
        seed: picture n takes the seed + n, whatever the batches.
        done: called with the size of the batch after each of its steps.

    Yields:
        uint8 (H, W, 3) RGB.
    """
    yield from drawn(model.upscaler, count, model.upscaler.usual_size, seed, done, **model.sampling())


def _tell_sizes(files, models):
    """Say so where the first picture to compare with has another size than the models' pictures."""
    for model, file in itertools.product(models, (files or [])[:1]):
        made, size = model.upscaler.usual_size, picture_size(file)
        if tuple(size) != tuple(made):
            logging.warning(
                "%s makes %d×%d pictures, %s has %d×%d: FID tells sizes apart, reduce the latter beforehand",
                model.name, made[1], made[0], file, size[1], size[0],
            )  # fmt: skip
