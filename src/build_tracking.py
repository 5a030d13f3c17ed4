"""What ``eval.py`` tells Weights & Biases."""

from dataclasses import asdict

from src.build_inference import LONGEST, last_names
from src.dataset.pairs import load_pair
from src.imaging.strip import at_most, strip
from src.metrics.evaluate import BASELINE, METRICS
from src.tracking import open_tracker

EVALUATION_PICTURES = 8


def evaluation_tracker(folder, mode, project, *, about, **measure):
    """Return the :class:`src.tracking.Tracker` of an evaluation; see there.

    Args:
        folder: of the metrics.
        mode, project: of W&B.
        about: from :func:`src.build_evaluation.describe`; of its paths only the last names are told.
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
        if method in report.sets:
            means |= {"fid": report.sets[method].fid, "is": report.sets[method].is_mean}
        tracker.scalars(0, {f"{method}/{metric}": mean for metric, mean in means.items()})
    rows = [
        [name, method, *(getattr(scores[index], metric) for metric in METRICS)]
        for index, name in enumerate(report.names)
        for method, scores in report.scores.items()
    ]
    tracker.table(0, "scores", ["picture", "method", *METRICS], rows)
