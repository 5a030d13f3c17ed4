"""What ``eval.py`` and ``infer.py`` tell Weights & Biases."""

import time
from dataclasses import asdict
from pathlib import Path

from src.dataset.pairs import load_pair
from src.imaging.strip import at_most, strip
from src.metrics.evaluate import BASELINE, METRICS
from src.tracking import open_tracker

EVALUATION_PICTURES = 8
INFERENCE_PICTURES = 16
LONGEST = 4096  # pixels of a logged picture's longer side


def evaluation_tracker(folder, mode, project, *, about, protocol, scale):
    """Return the :class:`src.tracking.Tracker` of an evaluation; see there.

    Args:
        folder: of the metrics.
        mode, project: of W&B.
        about: from :func:`src.build_evaluation.describe`; of its paths only the last names are told.
        protocol, scale: as in the report.
    """
    methods = {
        name: method | ({"checkpoint": _short(method["checkpoint"])} if "checkpoint" in method else {})
        for name, method in about["methods"].items()
    }
    config = about | {"data": _short(about["data"]), "methods": methods, "protocol": protocol, "scale": scale}
    name = "eval " + (", ".join(method for method in methods if method != BASELINE) or BASELINE)
    return open_tracker(folder, tensorboard=False, wandb=mode, project=project, name=name, config=config, job="eval")


class EvaluationPictures:
    """Logs the first pictures of an evaluation as strips: LR, bicubic, each model, HR.

    To be called with (picture's name, method, sr) for each result, as ``keep`` of
    :func:`src.build_evaluation.score_pictures`.

    Args:
        tracker: a :class:`src.tracking.Tracker`.
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
            picture = at_most(strip(lr, *self.results, hr), LONGEST)
            self.tracker.pictures(0, {f"pictures/{name}": picture})
            self.results = []


def track_report(tracker, report):
    """Log a report: the means as METHOD/METRIC, and a table of every picture."""
    for method in report.scores:
        means = asdict(report.mean(method))
        tracker.scalars(0, {f"{method}/{metric}": mean for metric, mean in means.items()})
    rows = [
        [name, method, *(getattr(scores[index], metric) for metric in METRICS)]
        for index, name in enumerate(report.names)
        for method, scores in report.scores.items()
    ]
    tracker.table(0, "scores", ["picture", "method", *METRICS], rows)


def inference_tracker(mode, project, *, model, upscaler, sampling, seed, batch):
    """Return the :class:`src.tracking.Tracker` of an inference, whose files go to ``runs/infer``.

    Args:
        mode, project: of W&B.
        model: the checkpoint's or exported model's path, of which the last names are told.
        upscaler: an ``Upscaler``.
        sampling: dict of sampler, steps and temperature; None stands for the model's own.
        seed, batch: as on the command line.
    """
    config = upscaler.config
    samples = config.system != "rrdb"
    own = {name: getattr(config.eval, name) if value is None else value for name, value in sampling.items()}
    settings = {"model": _short(model), "system": config.system, "scale": upscaler.scale, "seed": seed, "batch": batch}
    return open_tracker(
        "runs/infer", tensorboard=False, wandb=mode, project=project, name=f"infer {config.name}",
        config=settings | (own if samples else {}), job="infer",
    )  # fmt: skip


class InferenceLog:
    """Logs the first results beside their LR, and the speed so far, of reading and writing too.

    To be called with (job, lr, sr) for each result, as ``done`` of :func:`src.inference.pictures.upscale_files`.

    Args:
        tracker: a :class:`src.tracking.Tracker`.
    """

    def __init__(self, tracker):
        self.tracker = tracker
        self.start = time.perf_counter()
        self.count = self.pixels = 0

    def __call__(self, job, lr, sr):
        self.count += 1
        self.pixels += sr.shape[0] * sr.shape[1]
        seconds = time.perf_counter() - self.start
        speed = {"seconds_per_picture": seconds / self.count, "megapixels_per_second": self.pixels / seconds / 1e6}
        self.tracker.scalars(self.count, {f"infer/{name}": value for name, value in speed.items()})
        if self.tracker and self.count <= INFERENCE_PICTURES:
            self.tracker.pictures(self.count, {f"pictures/{job.result.stem}": at_most(strip(lr, sr), LONGEST)})


def _short(path):
    """Return the last two names of a path, such as ``srdiff_lite_x4/model.ckpt``: a run's folder tells them apart."""
    return "/".join(Path(path).parts[-2:])
