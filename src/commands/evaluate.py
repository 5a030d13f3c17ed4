"""What eval.py does: models and MATLAB's bicubic scored on pictures, reported and tracked."""

import logging
import math
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from ..command import RRDB, SRDIFF, given_sampling
from ..dataset.pairs import check_headers, load_pair
from ..errors import UserError
from ..host.device import select_device
from ..host.ranks import World
from ..imaging.io import write_image
from ..imaging.strip import at_most
from ..inference.tile_size import TileOptions
from ..metrics.evaluate import METRICS, comparison, evaluate, picture_seed
from ..metrics.niqe import niqe
from ..metrics.report import as_table, prepare_folder, write_report
from ..metrics.weight_files import WeightsMissing, find_weights
from .evaluate_sets import evaluate_generation, given_fid, is_generation, open_sets, save_reference
from .evaluation_setup import (
    LOGGED_PICTURES,
    common_scale,
    describe,
    evaluation_tracker,
    find_pictures,
    load_models,
    settings_for,
)
from .infer import LONGEST
from .ranks import meet


def run(args):
    """Score as the command line says: print the table, write metrics.json and metrics.csv, track the run.

    Several ranks share the pictures, and the first one speaks and writes for all.
    """
    checkpoints, overrides = named(args)
    fid, output = given_fid(args), prepare_folder(args.output)
    world = meet(args.device)
    if not world.is_first:
        args.wandb = "off"
    models = load_models(
        checkpoints, args.config, overrides, device=args.device, ema=not args.no_ema, runtime=args.runtime,
        cache=not args.no_cache, tile_options=TileOptions(args.max_memory, args.tile, args.halo, args.fixed_tiles),
    )  # fmt: skip
    config = models[0].config if models else settings_for(None, args.config, overrides)
    generation = is_generation(models, args)
    if world.size > 1 and (generation or fid.form != "none"):
        raise UserError("FID and Inception Score are the work of one process: leave --nproc out")
    if generation:
        evaluate_generation(models, config, args, output)
        return
    scale = common_scale(models, args.scale, config.data.scale)
    data, found = find_pictures(models, config, scale, args.data, args.hr, args.lr, args.lr_kernel, args.degrade)
    pairs = found.pairs
    about = describe(models, data=data, seed=args.seed) | fid.describe() | found.lr_source()
    if args.degrade is not None:
        about["degradation"] = {"seed": args.degrade} | asdict(config.degradation)
    measure = {"protocol": config.eval.protocol, "scale": scale}
    lpips = lpips_distance(args.lpips, args.lpips_weights, args.lpips_download, args.device)
    sets = open_sets(fid, len(pairs), args.device)
    with evaluation_tracker(args, about, **measure) as tracker:
        keep = keeping(output / "pictures" if args.save_pictures else None, tracker, pairs, 1 + len(models), scale)
        asked = {"lpips": lpips, "niqe": niqe if args.niqe else None, "sets": sets}
        scored = {"seed": args.seed, "keep": keep, "world": world, **asked, **measure}
        report = score_pictures(models, pairs, **scored)
        if not world.is_first:
            return
        print(as_table(report, about))
        write_report(report, about, output)
        track_report(tracker, report)
    save_reference(fid, sets)
    logging.info("written %s and metrics.csv", output / "metrics.json")


def named(args):
    """Return the checkpoints that the command line names, none where only bicubic is wanted; and all overrides."""
    # argparse takes key=value after "--checkpoint W" for another checkpoint.
    misread = [text for text in args.checkpoint or [] if "=" in text and not Path(text).exists()]
    checkpoints = [text for text in args.checkpoint or [] if text not in misread]
    if checkpoints == ["none"]:
        checkpoints = []
    elif not (checkpoints or args.scale or args.config or args.generated):
        checkpoints = [str(RRDB), str(SRDIFF)]
    settings = given_sampling(args) | ({"protocol": args.protocol} if args.protocol else {})
    given = [f"eval.{name}={str(value).lower()}" for name, value in settings.items()]
    return checkpoints, args.overrides + misread + given


def lpips_distance(net, location=None, download=False, device=None):
    """The LPIPS distance; None for ``"none"`` and, with a warning, where the cache folder has no weights."""
    if net == "none":
        return None
    try:
        paths = find_weights(net, location, download)
    except WeightsMissing as error:
        if location is not None:
            raise
        logging.warning("%s", error)
        return None
    select_device(device)  # the models, if any, have chosen the same
    from ..metrics.lpips import load_lpips

    return load_lpips(net, paths)


def score_pictures(models, pairs, *, protocol, scale, seed, lpips=None, niqe=None, sets=None, keep=None, world=None):
    """Return the ``Report`` of the ``models`` of ``load_models`` on the ``pairs`` of ``find_pairs``, with a bar.

    Of several ranks, the ``World`` of :func:`src.commands.ranks.meet`, each takes every n-th picture, the largest
    first; all get the scores of all. Sizes that do not fit are refused beforehand if the files' headers show them. All
    else is as of :func:`src.metrics.evaluate.evaluate`.
    """
    world = world or World()
    sizes = [math.prod(check_headers(pair, scale)[0]) for pair in pairs]
    numbers = range(len(pairs))
    if world.size > 1:
        numbers = sorted(numbers, key=lambda number: sizes[number], reverse=True)
    own = world.share(numbers)
    steps = 1 + sum(model.sampling.steps or 1 for model in models)  # bicubic counts as one
    with tqdm(total=len(own) * steps, desc="evaluating", unit="step", disable=not world.is_first) as bar:
        upscalers = {
            model.name: lambda lr, index, model=model: model.upscale(
                lr, picture_seed(seed, own[index]), bar.update, pairs[own[index]]
            )
            for model in models
        }
        pictures = ((pairs[number].name, *load_pair(pairs[number], scale)) for number in own)
        report = evaluate(
            upscalers, pictures, protocol=protocol, scale=scale, lpips=lpips, niqe=niqe, sets=sets, keep=keep,
            progress=lambda name: bar.update(),
        )  # fmt: skip
    return report if world.size == 1 else _gathered(report, numbers, pairs, world)


def _gathered(report, numbers, pairs, world):
    """The report of all pictures, in their order, from those of the ranks, who share ``numbers``."""
    from ..training.distributed import gather_rows

    rows = dict(zip(numbers, gather_rows(report.rows(), world), strict=True))
    return report.with_rows([pair.name for pair in pairs], [rows[number] for number in range(len(pairs))])


def keeping(folder, tracker, pairs, methods, scale):
    """Return ``keep(picture's name, method, sr)`` for each result.

    It writes FOLDER/METHOD/PICTURE.png where a folder is given, and logs the first pictures as strips: LR, bicubic,
    each model, HR.
    """
    logged = {pair.name: pair for pair in pairs[:LOGGED_PICTURES]} if tracker else {}
    results = []

    def keep(name, method, sr):
        if folder:
            write_image(folder / method / f"{name}.png", sr)
        if name in logged:
            results.append(sr)
        if len(results) == methods:
            hr, lr = load_pair(logged[name], scale)
            tracker.pictures(0, {f"pictures/{name}": at_most(comparison(lr, *results, hr), LONGEST)})
            results.clear()

    return keep


def track_report(tracker, report):
    """Log a report: the means as METHOD/METRIC, and a table of every picture."""
    for method in report.scores:
        means = asdict(report.mean(method))
        if method in report.sets:
            means |= {"fid": report.sets[method].fid, "is": report.sets[method].is_mean}
        tracker.scalars(0, {f"{method}/{metric}": mean for metric, mean in means.items()})
    rows = [
        [name, method, *(getattr(scores[index], metric) for metric in METRICS)]
        for index, name in enumerate(report.names)
        for method, scores in report.scores.items()
    ]
    tracker.table(0, "scores", ["picture", "method", *METRICS], rows)
