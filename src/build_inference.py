"""What ``infer.py`` shows and logs. It imports no part that is not needed to run an exported model."""

import logging
import time
from pathlib import Path

from tqdm import tqdm

from src.imaging.strip import at_most, strip
from src.inference.pictures import Watch
from src.tracking import open_tracker

INFERENCE_PICTURES = 16
LONG = 60  # seconds from which a time is told beforehand
LONGEST = 4096  # pixels of a logged picture's longer side


def inference_tracker(mode, project, *, models, upscaler, sampling, seed, batch, samples):
    """Return the :class:`src.tracking.Tracker` of an inference, whose files go to ``runs/infer``.

    Args:
        mode, project: of W&B.
        models: paths of checkpoints or exported models, of each of which the last names are told.
        upscaler: an ``Upscaler``.
        sampling: the options of sampling that were given; the others are the model's own.
        seed, batch, samples: as on the command line.
    """
    settings = {
        "model": " + ".join(last_names(path) for path in models),
        "seed": seed,
        "batch": batch,
        "samples": samples,
    }
    return open_tracker(
        "runs/infer", tensorboard=False, wandb=mode, project=project, name=f"infer {upscaler.name}",
        config=settings | upscaler.about(**sampling), job="infer",
    )  # fmt: skip


class InferenceLog:
    """Logs the first results beside their LR, and the speed so far, of reading and writing too.

    To be called with (job, lr, sr) for each result, as :class:`InferenceWatch` does.

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
            picture = sr if lr is None else strip(lr, sr)  # LR is None of a picture from nothing
            self.tracker.pictures(self.count, {f"pictures/{job.result.stem}": at_most(picture, LONGEST)})


def last_names(path):
    """Return the last two names of a path, such as ``srdiff_lite_x4/model.ckpt``: a run's folder tells them apart."""
    return "/".join(Path(path).parts[-2:])


class InferenceWatch(Watch):
    """Bars on stderr, written files on stdout, and the log of W&B.

    One picture's bar counts passes of the network, that is tiles times steps; several pictures' bar counts pictures.

    Args:
        jobs: all that there is to do.
        log: an :class:`InferenceLog`.
    """

    def __init__(self, jobs, log):
        self._log = log
        self._bar = tqdm(total=len(jobs), unit="picture", desc="upscale") if len(jobs) > 1 else None
        self._total, self._passes, self._since = len(jobs), 0, None

    def begin(self, jobs, passes):
        if self._total == 1:
            self._bar = tqdm(total=passes, unit="pass", desc="upscale")
        self._passes, self._left = 0, passes

    def passed(self):
        self._passes += 1
        self._left -= 1
        if self._total == 1:
            self._bar.update()
        else:
            self._bar.set_postfix_str(f"pass {self._passes} of {self._passes + self._left}")
        self._estimate()

    def _estimate(self):
        """Tell once, from the second and third pass (the first one compiles), how long the rest will take."""
        if self._passes == 1:
            self._since = time.perf_counter()
        elif self._passes == 3:
            seconds = (time.perf_counter() - self._since) / 2 * self._left
            if seconds > LONG:
                logging.info("about %.0f minutes for the other %d passes", seconds / 60, self._left)

    def done(self, job, lr, sr, paths):
        self._log(job, lr, sr)
        for path in paths:
            tqdm.write(str(path))  # on stdout, past the bar
        if self._total > 1:
            self._bar.update()

    def summed_up(self, path):
        tqdm.write(str(path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()
