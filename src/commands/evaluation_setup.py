"""What eval.py scores, from its command line: models with the settings that hold here, and pictures."""

import dataclasses
import itertools
import logging
from pathlib import Path
from typing import Any, NamedTuple

from .. import build
from ..config.loader import config_from_dict, load_config, with_overrides
from ..config.schema import Config
from ..dataset.degradation import degradation_of
from ..dataset.pairs import find_picture_set, prepared_lr_up, shared_pictures
from ..dataset.patches import degraded
from ..errors import UserError
from ..families.registry import SCHEMAS, family_of
from ..host.tracking import open_tracker
from ..inference.sampling import no_eta, takes_eta
from ..inference.upscaler import to_network, to_pixels
from ..metrics.evaluate import BASELINE
from .infer import last_names

LOGGED_PICTURES = 8  # of each method
_FOLDERS = "lr_folders", "left_aside"  # of ``PictureSet.lr_source``


class Model(NamedTuple):
    """A checkpoint or an export to evaluate."""

    name: str  # in the report
    checkpoint: str  # its file
    upscaler: Any  # ``src.inference.upscaler.Upscaler``
    config: Config  # the settings that hold for this evaluation
    trained: Config  # those that it was trained with
    sampling: Any  # how it samples in this evaluation, from ``upscaler.resolve``

    def upscale(self, lr, seed, on_step, pair):
        """Upscale one uint8 (h, w, 3) picture, the LR of ``pair``, whose prepared LR↑ is used where the model takes it.

        ``on_step()`` is called after each step, of which there may be one.
        """
        if cut := self.upscaler.tiles((1, *lr.shape[:2])):
            logging.info("%s, %d x %d: %s", self.name, lr.shape[1], lr.shape[0], cut)
        prepared = prepared_lr_up(pair, lr, self.upscaler.scale) if family_of(self.config).takes_lr_up else {}
        prepared = {name: to_network(pictures) for name, pictures in prepared.items()}
        condition = self.upscaler.encode(to_network([lr]), **prepared)
        sr = to_pixels(self.upscaler.draw(condition, self.sampling, seed, callback=lambda *_: on_step()))[0]
        if self.upscaler.one_pass:
            on_step()
        return sr


def settings_for(config, config_file=None, overrides=()):
    """Return a checkpoint's configuration (None: without one) with this command line's ``eval`` and data settings.

    Of a YAML file ``eval``, ``degradation``, ``data.val`` and ``data.test`` hold instead. Of ``overrides``,
    ``key=value`` texts on top, only ``eval.*`` and ``data.test`` mean something, and ``data.val`` where that is empty.
    """
    for override in overrides:
        if not override.startswith(("eval.", "data.val=", "data.test=")):
            raise UserError(f"'{override}' has no effect on an evaluation: change data.test=DIR or eval.NAME=VALUE")
    own = config or config_from_dict({}, SCHEMAS)
    given = load_config(config_file, overrides, SCHEMAS) if config_file else with_overrides(own, overrides)
    if any(override.startswith("eval.eta=") for override in overrides) and not takes_eta(given.eval.sampler):
        raise no_eta(given.eval.sampler)
    for override in overrides:
        if given.data.test and override.startswith("data.val="):
            raise UserError(f"'{override}' has no effect where data.test is '{given.data.test}': change data.test=DIR")
    if config:
        data = dataclasses.replace(config.data, val=given.data.val, test=given.data.test)
        given = dataclasses.replace(config, eval=given.eval, data=data, degradation=given.degradation)
    family_of(given).check()
    return given


def load_models(checkpoints, config_file=None, overrides=(), **options):
    """Load checkpoints and exports as :class:`Model`; a name that comes twice is numbered.

    Settings are as of :func:`settings_for`, options (device, ema, …) as of :func:`src.build.load_upscaler`.
    """
    models = []
    for path in checkpoints:
        trained, upscaler = build.load(path, **options)
        config = settings_for(trained, config_file, overrides)
        sampling = upscaler.resolve(family_of(config).sampling())
        taken = {model.name for model in models}
        candidates = (f"{config.name}-{number}" if number > 1 else config.name for number in itertools.count(1))
        name = next(candidate for candidate in candidates if candidate not in taken)
        models.append(Model(name, str(path), upscaler, config, trained, sampling))
    return models


def common_scale(models, wanted=None, default=4):
    """Return the scale of the models, which must be one and the wanted one; without models that, or the default."""
    if not models:
        return wanted or default
    scale = wanted or models[0].upscaler.scale
    for model in models:
        if model.upscaler.scale != scale:
            raise UserError(f"{model.checkpoint} upscales x{model.upscaler.scale}, not x{scale}: evaluate it apart")
    return scale


def find_pictures(models, config, scale, data=None, hr=None, lr=None, lr_kernel=None, degrade=None):
    """Return the folder of the pictures to score, for the report, and their :class:`src.dataset.pairs.PictureSet`.

    Say how they are paired, and so where a model was validated on some of them while it was trained. Where no folder
    is named, ``data.test`` of the settings ``config``, or else ``data.val``, is taken; of a preprocessed root the test
    pictures. With the seed ``degrade`` LR is made by the degradation of ``config``, whatever LR is there. All else is
    as of :func:`src.dataset.pairs.find_picture_set`.
    """
    degradation = None if degrade is None else _degradation(config, degrade, lr=lr, lr_kernel=lr_kernel)
    split = "test"
    if not (data or hr or lr):
        data, split = (config.data.test, "test") if config.data.test else (config.data.val, "val")
        if not Path(data).exists():
            raise UserError(
                f"expected the pictures to score in data.{split}, but {data} does not exist: name others with --data"
                + ", or make these with div2k_preprocess.py --val-count" * (Path(data).name == "test")
            )
    paired = 1 if degradation else scale
    found = find_picture_set(data, hr, lr, paired, split, lr_kernel)
    for line in found.told(paired):
        logging.info("%s", line)
    counts = {model.name: len(_validated_on(model.trained.data, found.pairs)) for model in models}
    seen = ", ".join(f"{name} was validated on {count}" for name, count in counts.items() if count)
    if seen:
        logging.info("of the %d pictures, %s: to test on others, name them with --data", len(found.pairs), seen)
    if degradation:
        found = dataclasses.replace(found, pairs=degraded(found.pairs, degradation, degrade))
    return data or hr, found


def _degradation(config, seed, **others):
    for name, value in others.items():
        if value:
            option = f"--{name.replace('_', '-')} {value}"
            raise UserError(f"--degrade {seed} makes LR of HR: leave {option} out, or --degrade")
    degradation = degradation_of(config.degradation)
    if not degradation:
        raise UserError(
            f"--degrade {seed} asks for settings whose degradation.kind is not none: name a --config with them, "
            "such as configs/rrdb_photo_lite_x4.yaml"
        )
    return degradation


def _validated_on(data, pairs):
    """Those of ``pairs`` that training with the settings ``data`` looked at in its validations."""
    try:
        validation = find_picture_set(data.val, scale=data.scale).pairs
    except (UserError, OSError):  # they are not on this machine
        return []
    return shared_pictures(pairs, validation[: data.val_pictures or None])


def describe(models, *, data, seed):
    """What a report says beside the scores: the data, the seed, and each method's checkpoint and sampling."""
    methods = {BASELINE: {}}
    for model in models:
        methods[model.name] = {
            "checkpoint": model.checkpoint,
            "system": model.config.system,
            **model.sampling.options(),
            "tiles": model.upscaler.tiling.settings(),
        }
    return {"data": str(data), "seed": seed, "methods": methods}


def evaluation_tracker(args, about, **measure):
    """The ``Tracker`` of an evaluation; it is told :func:`describe`'s ``about``, with short paths, and ``measure``."""

    def told(entry, path):
        return entry | ({path: last_names(entry[path])} if path in entry else {})

    methods = {name: told(method, "checkpoint") for name, method in about["methods"].items()}
    config = told(about, "data") | {"methods": methods} | measure
    config |= {name: [last_names(path) for path in about[name]] for name in _FOLDERS if name in about}
    if "fid" in about:
        config["fid"] = told(about["fid"], "reference")
    return open_tracker(
        args.output, tensorboard=False, wandb=args.wandb, project=args.wandb_project, config=config, job="eval",
        name="eval " + (", ".join(method for method in methods if method != BASELINE) or BASELINE),
    )  # fmt: skip
