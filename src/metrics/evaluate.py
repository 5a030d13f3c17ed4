"""The one evaluation loop: ``eval.py`` and the validation during training both run it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from ..errors import UserError
from ..imaging.resize import imresize
from ..imaging.strip import side_by_side
from .picture_sets import SetScores
from .scores import lr_agreement, protocol_named

BASELINE = "bicubic"
comparison = side_by_side  # of LR, results and HR


@dataclass(frozen=True)
class Scores:
    """The scores of one picture, or their means; None where there is no such score."""

    psnr: float | None = None  # dB, by the protocol; infinity for identical pictures
    ssim: float | None = None  # up to 1, by the protocol; None for pictures smaller than its window
    lpips: float | None = None  # perceptual distance, less is better; None where it was not computed
    lr_psnr: float | None = None  # dB, between the reduced result and the input
    consistency: float | None = None  # their mean squared error, in units of 1e−5 of values in [0, 1]
    niqe: float | None = None  # distance to natural pictures, less is better; None where it was not computed


METRICS = tuple(metric.name for metric in fields(Scores))


@dataclass(frozen=True)
class Denoising:
    """The score of an unconditional model on one picture, or its mean: the loss of training."""

    loss: float | None = None


@dataclass
class Report:
    """What an evaluation found; FID and IS are of all pictures of a method."""

    protocol: str | None = None  # None where pictures have no scores of their own
    scale: int = 1
    lpips_net: str | None = None
    names: list[str] = field(default_factory=list)  # of the pictures, in order
    scores: dict[str, list] = field(default_factory=dict)  # method, "bicubic" first → one ``kind`` per picture
    sets: dict[str, SetScores] = field(default_factory=dict)  # method → FID and IS; empty where not measured
    hr_set: SetScores | None = None  # the IS of the HR pictures; None where it was not measured
    kind: type = Scores  # what a picture's scores are, or Denoising
    niqe: bool = False  # whether it was asked for

    @property
    def metrics(self):
        return [metric.name for metric in fields(self.kind)]

    def mean(self, method):
        """The mean of each score over the pictures that have it."""
        columns = {metric: [getattr(scores, metric) for scores in self.scores[method]] for metric in self.metrics}
        columns = {metric: [value for value in values if value is not None] for metric, values in columns.items()}
        return self.kind(**{metric: float(np.mean(values)) if values else None for metric, values in columns.items()})

    def without(self, metric):
        rows = zip(self.names, *self.scores.values(), strict=True)
        return [name for name, *row in rows if any(getattr(scores, metric) is None for scores in row)]

    def rows(self):
        """All scores as float64 (pictures, methods · metrics), NaN where there is no score."""
        rows = zip(*self.scores.values(), strict=True)
        cells = [[getattr(scores, metric) for scores in row for metric in self.metrics] for row in rows]
        return np.array(cells, np.float64).reshape(-1, len(self.scores) * len(self.metrics))  # None becomes NaN

    def with_rows(self, names, rows):
        """A report of the same methods with other pictures: the opposite of :meth:`rows`."""
        cells = np.asarray(rows, np.float64).reshape(len(names), len(self.scores), len(self.metrics))
        scores = {
            method: [self.kind(*(None if np.isnan(cell) else float(cell) for cell in row)) for row in cells[:, column]]
            for column, method in enumerate(self.scores)
        }
        return Report(self.protocol, self.scale, self.lpips_net, list(names), scores, kind=self.kind, niqe=self.niqe)


def evaluate(upscalers, pictures, *, protocol, scale, lpips=None, niqe=None, sets=None, progress=None, keep=None):
    """Upscale pictures and score them, beside MATLAB's bicubic of the same LR; return a :class:`Report`.

    Args:
        upscalers: a dict of method name to ``upscale(lr, index) -> sr``, or one such function, which is then
            called "model"; ``lr`` is uint8 (h, w, 3), ``index`` the picture's number from 0 (for its seed,
            see :func:`picture_seed`) and ``sr`` uint8 (scale·h, scale·w, 3). An empty dict scores bicubic alone.
        pictures: an iterable of (name, hr, lr), uint8 RGB, of which one is in memory at a time.
        lpips: an ``LPIPSDistance``, or None.
        niqe: :func:`src.metrics.niqe.niqe`, or None.
        sets: a :class:`src.metrics.picture_sets.SetComparison` for FID and IS, or None.
        progress: called with the picture's name after each picture.
        keep: called with (picture's name, method, sr) for each result; bicubic's included.
    """
    upscalers = upscalers if isinstance(upscalers, Mapping) else {"model": upscalers}
    if BASELINE in upscalers:
        raise UserError(f"the name '{BASELINE}' is taken by the baseline: give the model another name")
    methods = {BASELINE: lambda lr, index: imresize(lr, scale), **upscalers}
    score = protocol_named(protocol)
    report = Report(protocol, scale, getattr(lpips, "net", None), scores={method: [] for method in methods})
    report.niqe = niqe is not None
    for index, (name, hr, lr) in enumerate(pictures):
        _check_pair(name, hr, lr, scale)
        if sets:
            sets.add_reference(hr)
        for method, upscale in methods.items():
            sr = upscale(lr, index)
            if sr.shape != hr.shape:
                raise UserError(f"{method} made {_size(sr)} pixels of {name}, expected {_size(hr)}: check its scale")
            distance = lpips(sr, hr) if lpips else None
            natural = niqe(sr) if niqe else None
            report.scores[method].append(Scores(*score(sr, hr, scale), distance, *lr_agreement(sr, lr), natural))
            if sets:
                sets.add(method, sr)
            if keep:
                keep(name, method, sr)
        report.names.append(name)
        if progress:
            progress(name)
    if sets:
        report.sets, report.hr_set = sets.scores(), sets.reference_score()
    return report


def picture_seed(seed, index):
    """The seed of a picture's noise, which depends on its number and the run's seed alone, not on batches."""
    return seed + index


def _check_pair(name, hr, lr, scale):
    expected = (lr.shape[0] * scale, lr.shape[1] * scale, 3)
    if hr.shape != expected:
        raise UserError(
            f"the original of {name} must be {scale} times its LR of {_size(lr)}, that is "
            f"{expected[1]}x{expected[0]}, not {_size(hr)}: check the scale and that the files belong together"
        )


def _size(image):
    return f"{image.shape[1]}x{image.shape[0]}"
