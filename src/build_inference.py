"""What ``infer.py`` tells Weights & Biases. It imports no part that is not needed to run an exported model."""

import time
from pathlib import Path

from src.imaging.strip import at_most, strip
from src.tracking import open_tracker

INFERENCE_PICTURES = 16
LONGEST = 4096  # pixels of a logged picture's longer side


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
    settings = {
        "model": last_names(model),
        "system": config.system,
        "scale": upscaler.scale,
        "seed": seed,
        "batch": batch,
    }
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


def last_names(path):
    """Return the last two names of a path, such as ``srdiff_lite_x4/model.ckpt``: a run's folder tells them apart."""
    return "/".join(Path(path).parts[-2:])
