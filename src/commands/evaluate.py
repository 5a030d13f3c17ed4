"""What eval.py does: models and MATLAB's bicubic scored on pictures, reported and tracked."""

import logging
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from src.command import RRDB, SRDIFF, given_sampling
from src.commands.evaluate_sets import evaluate_generation, given_fid, is_generation, open_sets, save_reference
from src.commands.evaluation_setup import (
    LOGGED_PICTURES,
    common_scale,
    describe,
    evaluation_tracker,
    find_pictures,
    load_models,
    settings_for,
)
from src.commands.infer import LONGEST
from src.dataset.pairs import check_headers, load_pair
from src.host.device import select_device
from src.imaging.io import write_image
from src.imaging.strip import at_most
from src.inference.tile_size import TileOptions
from src.metrics.evaluate import METRICS, comparison, evaluate, picture_seed
from src.metrics.report import as_table, prepare_folder, write_report
from src.metrics.weight_files import WeightsMissing, find_weights


def run(args):
    """Score as the command line says: print the table, write metrics.json and metrics.csv, track the run."""
    checkpoints, overrides = named(args)
    fid, output = given_fid(args), prepare_folder(args.output)
    tiles = TileOptions(args.max_memory, args.tile, args.halo, args.fixed_tiles)
    models = load_models(
        checkpoints, args.config, overrides, device=args.device, ema=not args.no_ema, tile_options=tiles,
        runtime=args.runtime, cache=not args.no_cache,
    )  # fmt: skip
    config = models[0].config if models else settings_for(None, args.config, overrides)
    if is_generation(models, args):
        evaluate_generation(models, config, args, output)
        return
    scale = common_scale(models, args.scale, config.data.scale)
    data, pairs = find_pictures(models, config, scale, args.data, args.hr, args.lr)
    about = describe(models, data=data, seed=args.seed) | fid.describe()
    measure = {"protocol": config.eval.protocol, "scale": scale}
    lpips = lpips_distance(args.lpips, args.lpips_weights, args.lpips_download, args.device)
    sets = open_sets(fid, len(pairs), args.device)
    with evaluation_tracker(args, about, **measure) as tracker:
        keep = keeping(output / "pictures" if args.save_pictures else None, tracker, pairs, 1 + len(models), scale)
        report = score_pictures(models, pairs, seed=args.seed, lpips=lpips, sets=sets, keep=keep, **measure)
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
    """Return the LPIPS distance, or None for ``"none"`` and, with a warning, where the cache folder has no weights.

    Raises:
        UserError: weights that were asked for (a location, a download) are missing or wrong.
    """
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
    from src.metrics.lpips import load_lpips

    return load_lpips(net, paths)


def score_pictures(models, pairs, *, protocol, scale, seed, lpips=None, sets=None, keep=None):
    """Upscale and score pictures, with a progress bar.

    Args:
        models: from :func:`src.commands.evaluation_setup.load_models`.
        pairs: from :func:`src.dataset.pairs.find_pairs`.
        seed: the run's seed, from 0.
        protocol, scale, lpips, sets, keep: see :func:`src.metrics.evaluate.evaluate`.

    Returns:
        :class:`src.metrics.evaluate.Report`.

    Raises:
        UserError: a picture cannot be read or its sizes do not fit, told before the first is upscaled if the headers
            of the files show it.
    """
    for pair in pairs:
        check_headers(pair, scale)
    steps = 1 + sum(model.sampling.steps or 1 for model in models)  # bicubic counts as one
    with tqdm(total=len(pairs) * steps, desc="evaluating", unit="step") as bar:
        upscalers = {
            model.name: lambda lr, index, model=model: model.upscale(
                lr, picture_seed(seed, index), bar.update, pairs[index]
            )
            for model in models
        }
        pictures = ((pair.name, *load_pair(pair, scale)) for pair in pairs)
        return evaluate(
            upscalers, pictures, protocol=protocol, scale=scale, lpips=lpips, sets=sets, keep=keep,
            progress=lambda name: bar.update(),
        )  # fmt: skip


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
