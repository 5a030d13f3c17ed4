"""What ``eval.py`` runs: models, pictures and LPIPS put together from a command line."""

import dataclasses
import itertools
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from src.commands.infer import LONGEST, last_names
from src.config.loader import config_from_dict, with_overrides
from src.config.schema import Config
from src.dataset.pairs import check_headers, find_pairs, load_pair, shared_pictures
from src.errors import UserError
from src.families.registry import SCHEMAS, family_of, read_config
from src.host.tracking import open_tracker
from src.imaging.io import write_image
from src.imaging.strip import at_most, side_by_side
from src.inference.sampling import no_eta, takes_eta
from src.inference.upscaler import to_network, to_uint8
from src.metrics.evaluate import BASELINE, METRICS, evaluate, picture_seed
from src.metrics.weight_files import WeightsMissing, find_weights
from src.training.validation import prepared_lr_up


@dataclasses.dataclass(frozen=True)
class Model:
    """A checkpoint to evaluate.

    Attributes:
        name: its name in the report.
        checkpoint: its file.
        upscaler: ``src.inference.upscaler.Upscaler``.
        config: the settings that hold for this evaluation.
        trained: the settings that it was trained with.
        sampling: how it samples in this evaluation, from ``upscaler.resolve``.
    """

    name: str
    checkpoint: str
    upscaler: Any
    config: Config
    trained: Config
    sampling: Any

    def upscale(self, lr, seed, on_step, pair):
        """Upscale one uint8 (h, w, 3) picture, the LR of ``pair``, whose prepared LR↑ is used where the model takes it.

        ``on_step()`` is called after each step, of which there may be one.
        """
        self._tell_tiles(lr.shape[:2])
        prepared = {name: to_network(pictures) for name, pictures in self._prepared(pair, lr).items()}
        condition = self.upscaler.encode(to_network([lr]), **prepared)
        sr = to_uint8(self.upscaler.draw(condition, self.sampling, seed, callback=lambda *_: on_step()))[0]
        if self.upscaler.one_pass:
            on_step()
        return sr

    def _prepared(self, pair, lr):
        return prepared_lr_up(pair, lr, self.upscaler.scale) if family_of(self.config).takes_lr_up else {}

    def _tell_tiles(self, size):
        grid = self.upscaler.tiling.grid(1, *size)
        if not grid.whole:
            logging.info("%s, %d x %d: %s", self.name, size[1], size[0], self.upscaler.tiling.describe(grid, 1))


def settings_for(config, config_file=None, overrides=()):
    """Return a configuration with this command line's ``eval`` settings, ``data.val`` and ``data.test``.

    Args:
        config: the Config that a checkpoint carries; None without a checkpoint.
        config_file: a YAML file whose ``eval`` settings, ``data.val`` and ``data.test`` hold instead.
        overrides: ``key=value`` texts on top; only ``eval.*`` and ``data.test`` mean something here, and ``data.val``
            where ``data.test`` is empty.

    Raises:
        UserError: a setting is unknown, wrong, or without effect here.
    """
    for override in overrides:
        if not override.startswith(("eval.", "data.val=", "data.test=")):
            raise UserError(f"'{override}' has no effect on an evaluation: change data.test=DIR or eval.NAME=VALUE")
    own = config or config_from_dict({}, SCHEMAS)
    given = read_config(config_file, overrides) if config_file else with_overrides(own, overrides)
    if any(override.startswith("eval.eta=") for override in overrides) and not takes_eta(given.eval.sampler):
        raise no_eta(given.eval.sampler)
    for override in overrides:
        if given.data.test and override.startswith("data.val="):
            raise UserError(f"'{override}' has no effect where data.test is '{given.data.test}': change data.test=DIR")
    if config:
        data = dataclasses.replace(config.data, val=given.data.val, test=given.data.test)
        given = dataclasses.replace(config, eval=given.eval, data=data)
    family_of(given).check()
    return given


def load_models(checkpoints, config_file=None, overrides=(), device=None, ema=True, tile_options=None):
    """Load checkpoints.

    Args:
        checkpoints: paths.
        config_file, overrides: see :func:`settings_for`.
        device: see :func:`src.host.device.select_device`.
        ema: see :func:`src.build.load_model`.
        tile_options: see :func:`src.build.load_upscaler`.

    Returns:
        list of :class:`Model`; a name that comes twice is numbered.

    Raises:
        UserError: a checkpoint or a setting is wrong.
    """
    from src import build

    models = []
    for path in checkpoints:
        trained, upscaler = build.load(path, device=device, ema=ema, tile_options=tile_options)
        config = settings_for(trained, config_file, overrides)
        sampling = upscaler.resolve(family_of(config).sampling())
        taken = {model.name for model in models}
        candidates = (f"{config.name}-{number}" if number > 1 else config.name for number in itertools.count(1))
        name = next(candidate for candidate in candidates if candidate not in taken)
        models.append(Model(name, str(path), upscaler, config, trained, sampling))
    return models


def common_scale(models, wanted=None, default=4):
    """Return the scale of the models; without models the wanted one, or the default.

    Raises:
        UserError: the models differ in scale, or have another than the wanted one.
    """
    if not models:
        return wanted or default
    scale = wanted or models[0].upscaler.scale
    for model in models:
        if model.upscaler.scale != scale:
            raise UserError(f"{model.checkpoint} upscales x{model.upscaler.scale}, not x{scale}: evaluate it apart")
    return scale


def find_pictures(models, config, scale, data=None, hr=None, lr=None):
    """Find the pictures to score; say so where a model was validated on some of them while it was trained.

    Args:
        models: from :func:`load_models`.
        config: the settings whose ``data.test``, or else ``data.val``, is taken where no folder is named.
        scale, data, hr, lr: see :func:`src.dataset.pairs.find_pairs`; of a preprocessed root the test pictures are
            taken.

    Returns:
        the folder, for the report; and the list of :class:`src.dataset.pairs.Pair`.

    Raises:
        UserError: a folder is missing or holds no picture, or a picture has no partner.
    """
    split = "test"
    if not (data or hr or lr):
        data, split = (config.data.test, "test") if config.data.test else (config.data.val, "val")
        if not Path(data).exists():
            raise UserError(
                f"expected the pictures to score in data.{split}, but {data} does not exist: name others with --data"
                + ", or make these with div2k_preprocess.py --val-count" * (Path(data).name == "test")
            )
    pairs = find_pairs(data, hr, lr, scale, split)
    found = {model.name: len(_validated_on(model.trained.data, pairs)) for model in models}
    seen = ", ".join(f"{name} was validated on {count}" for name, count in found.items() if count)
    if seen:
        logging.info("of the %d pictures, %s: to test on others, name them with --data", len(pairs), seen)
    return data or hr, pairs


def _validated_on(data, pairs):
    """Return those of ``pairs`` that training with the settings ``data`` looked at in its validations."""
    try:
        validation = find_pairs(data.val, scale=data.scale)
    except (UserError, OSError):  # they are not on this machine
        return []
    return shared_pictures(pairs, validation[: data.val_pictures or None])


def lpips_distance(net, location=None, download=False, device=None):
    """Return the LPIPS distance, or None for ``"none"`` and where the cache folder has no weights.

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
    from src.host.device import select_device
    from src.metrics.lpips import load_lpips

    select_device(device)  # the models, if any, have chosen the same
    return load_lpips(net, paths)


def score_pictures(models, pairs, *, protocol, scale, seed, lpips=None, sets=None, pictures_folder=None, keep=None):
    """Upscale and score pictures, with a progress bar.

    Args:
        models: from :func:`load_models`.
        pairs: from :func:`src.dataset.pairs.find_pairs`.
        protocol, scale, lpips, sets: see :func:`src.metrics.evaluate.evaluate`.
        seed: the run's seed, from 0.
        pictures_folder: where the results are written as METHOD/PICTURE.png; None keeps none.
        keep: called with (picture's name, method, sr) for each result as well.

    Returns:
        :class:`src.metrics.evaluate.Report`.

    Raises:
        UserError: a picture cannot be read or its sizes do not fit, told before the first is upscaled if the headers
            of the files show it; or a sampling option is out of range.
    """
    for pair in pairs:
        check_headers(pair, scale)

    def kept(name, method, sr):
        if pictures_folder:
            write_image(Path(pictures_folder) / method / f"{name}.png", sr)
        if keep:
            keep(name, method, sr)

    steps = 1 + sum(model.sampling.steps or 1 for model in models)  # bicubic counts as one
    with tqdm(total=len(pairs) * steps, desc="evaluating", unit="step") as bar:
        return evaluate(
            {
                model.name: lambda lr, index, model=model: model.upscale(
                    lr, picture_seed(seed, index), bar.update, pairs[index]
                )
                for model in models
            },
            ((pair.name, *load_pair(pair, scale)) for pair in pairs),
            protocol=protocol,
            scale=scale,
            lpips=lpips,
            sets=sets,
            progress=lambda name: bar.update(),
            keep=kept,
        )


def describe(models, *, data, seed):
    """Return what a report says beside the scores: the data, the seed, and each method's checkpoint and sampling."""
    methods = {BASELINE: {}}
    for model in models:
        methods[model.name] = {
            "checkpoint": model.checkpoint,
            "system": model.config.system,
            **model.sampling.options(),
            "tiles": model.upscaler.tiling.settings(),
        }
    return {"data": str(data), "seed": seed, "methods": methods}


EVALUATION_PICTURES = 8


def evaluation_tracker(folder, mode, project, *, about, **measure):
    """Return the :class:`src.host.tracking.Tracker` of an evaluation; see there.

    Args:
        folder: of the metrics.
        mode, project: of W&B.
        about: from :func:`src.commands.evaluate.describe`; of its paths only the last names are told.
        measure: what else is told of how it was measured, such as the protocol and the scale.
    """
    methods = {
        name: method | ({"checkpoint": last_names(method["checkpoint"])} if "checkpoint" in method else {})
        for name, method in about["methods"].items()
    }
    config = about | {"data": last_names(about["data"]), "methods": methods} | measure
    if "fid" in about:
        config["fid"] = about["fid"] | {"reference": last_names(about["fid"]["reference"])}
    name = "eval " + (", ".join(method for method in methods if method != BASELINE) or BASELINE)
    return open_tracker(folder, tensorboard=False, wandb=mode, project=project, name=name, config=config, job="eval")


class EvaluationPictures:
    """Logs the first pictures of an evaluation as strips: LR, bicubic, each model, HR.

    To be called with (picture's name, method, sr) for each result, as ``keep`` of
    :func:`src.commands.evaluate.score_pictures`.

    Args:
        tracker: a :class:`src.host.tracking.Tracker`.
        pairs: the pictures that are scored, in order.
        methods: how many there are, with bicubic.
        scale: the factor of upscaling.
    """

    def __init__(self, tracker, pairs, methods, scale):
        self.tracker = tracker
        self.pairs = {pair.name: pair for pair in pairs[:EVALUATION_PICTURES]} if tracker else {}
        self.methods = methods
        self.scale = scale
        self.results = []

    def __call__(self, name, method, sr):
        if name not in self.pairs:
            return
        self.results.append(sr)
        if len(self.results) == self.methods:
            hr, lr = load_pair(self.pairs[name], self.scale)
            picture = at_most(side_by_side(lr, *self.results, hr), LONGEST)
            self.tracker.pictures(0, {f"pictures/{name}": picture})
            self.results = []


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
