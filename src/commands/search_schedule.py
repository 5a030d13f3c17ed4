"""What ``scripts/search_schedule.py`` runs: short noise schedules, tried on validation pictures by successive halving.

WaveGrad finds its schedule of six steps by a grid search (arXiv 2009.00713, section 4). Here the grid is over the first
and the last β of a few families, beside the spacings through the trained steps.
"""

import dataclasses
import itertools
import json
import logging
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.errors import UserError
from src.host.files import write_text
from src.inference.upscaler import to_network, to_uint8
from src.metrics.evaluate import METRICS, Scores, picture_seed
from src.metrics.scores import lr_agreement, protocol_named

CEILING = 99.0  # dB, in place of the infinite PSNR of equal pictures
BETTER_LOWER = ("lpips",)


class Candidate(NamedTuple):
    """One way to sample: a sampler, and where its steps lie."""

    sampler: str
    steps: int
    spacing: str

    def key(self):
        """Its name in a search's file."""
        return f"{self.sampler} {self.steps} {self.spacing}"

    def is_trained(self):
        """Whether it takes trained steps by a named spacing, which needs no search."""
        return ":" not in self.spacing


def candidates(upscaler, samplers, steps, families, firsts, lasts):
    """Return the grid, without what the model cannot sample: with more noise than it was trained with, mostly.

    Args:
        upscaler: a ``DiffusionUpscaler``.
        samplers: names.
        steps: their number.
        families: names in ``src.diffusion.schedule.FAMILIES``.
        firsts, lasts: the first and the last β, as the user wrote them.

    Returns:
        list of :class:`Candidate`.

    Raises:
        UserError: a sampler or a family is unknown, the number of steps is out of range, or nothing is left.
    """
    from src.diffusion.schedule import FAMILIES, SPACINGS

    for family in families:
        if family not in FAMILIES:
            raise UserError(f"a family must be one of {', '.join(FAMILIES)}, not '{family}'")
    own = [f"{family}:{first},{last}" for family, first, last in itertools.product(families, firsts, lasts)]
    grid = dict.fromkeys(itertools.starmap(Candidate, itertools.product(samplers, [steps], [*SPACINGS, *own])))
    found = []
    for candidate in grid:
        try:
            upscaler.resolve(**candidate._asdict())
        except UserError:
            if candidate.spacing == SPACINGS[0]:  # the sampler or the number of steps itself is wrong
                raise
            continue
        found.append(candidate)
    left_out = len(grid) - len(found)
    if left_out:
        logging.info("%d schedules are left out, which have more noise than the model was trained with", left_out)
    return found


class Search:
    """Scores of candidates on pictures, kept in a file so that a search goes on where it was.

    Args:
        path: of the JSON file; what it holds already is taken over.
        about: dict that JSON can hold, of all that scores depend on beside the candidate.
        upscaler: a ``DiffusionUpscaler``.
        pictures: ``pictures(number) → (hr, lr, given)``: uint8 RGB, and {"lr_up": [uint8 RGB]} where the model is to
            take a prepared LR↑, else {}.
        protocol: of PSNR and SSIM, see ``src.metrics.scores``.
        lpips: a distance, or None.
        seed: picture n is sampled with the seed + n.
        options: of sampling that all candidates share.

    Raises:
        UserError: the file is damaged, or of another search.
    """

    def __init__(self, path, about, upscaler, pictures, protocol, lpips=None, seed=0, **options):
        self.path, self.about = Path(path), about
        self._upscaler, self._pictures, self._seed, self._options = upscaler, pictures, seed, options
        self._score, self._lpips = protocol_named(protocol), lpips
        self.scores = _read(self.path, about)

    def measure(self, wanted, number, progress=lambda: None):
        """Score candidates on a picture, but for those whose scores are there; the file is written once for all.

        Args:
            wanted: list of :class:`Candidate`.
            number: of the picture.
            progress: called after each candidate.
        """
        missing = [candidate for candidate in wanted if str(number) not in self.scores.get(candidate.key(), {})]
        if missing:
            hr, lr, given = self._pictures(number)
            given = {name: to_network(pictures) for name, pictures in given.items()}
            condition = self._upscaler.encode(to_network([lr]), **given)
        for candidate in wanted:
            if candidate in missing:
                found = self._scored(candidate, number, condition, hr, lr)
                self.scores.setdefault(candidate.key(), {})[str(number)] = found
            progress()
        if missing:
            write_text(self.path, json.dumps({"about": self.about, "scores": self.scores}, indent=1), "search")

    def mean(self, candidate, count):
        """Return a candidate's :class:`src.metrics.evaluate.Scores` over the first ``count`` pictures."""
        rows = [self.scores[candidate.key()][str(number)] for number in range(count)]
        columns = {metric: [row[metric] for row in rows] for metric in METRICS}
        return Scores(**{name: None if None in values else float(np.mean(values)) for name, values in columns.items()})

    def loss(self, candidate, count, metric):
        """Return a candidate's mean of a metric, negative where more is better.

        Raises:
            UserError: some picture is too small for the metric.
        """
        value = getattr(self.mean(candidate, count), metric)
        if value is None:
            raise UserError(f"some of the first {count} pictures are too small for {metric}: take --metric psnr")
        return value if metric in BETTER_LOWER else -value

    def _scored(self, candidate, number, condition, hr, lr):
        seed = picture_seed(self._seed, number)
        sampling = self._upscaler.resolve(**candidate._asdict(), **self._options)
        sr = to_uint8(self._upscaler.draw(condition, sampling, seed))[0]
        distance = self._lpips(sr, hr) if self._lpips else None
        scores = dataclasses.asdict(Scores(*self._score(sr, hr, self._upscaler.scale), distance, *lr_agreement(sr, lr)))
        return {name: CEILING if value == math.inf else value for name, value in scores.items()}


def _read(path, about):
    if not path.exists():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        found, scores = held["about"], held["scores"]
        complete = all(set(row) == set(METRICS) for rows in scores.values() for row in rows.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not the file of a search of schedules: name another --output") from error
    if not complete:
        raise UserError(f"{path} is not the file of a search of schedules: name another --output")
    if found != about:
        different = ", ".join(name for name in about if found.get(name) != about[name]) or "its kind"
        raise UserError(f"{path} is of another search, with another {different}: name another --output")
    return scores


def record_sampling(source, target, sampling):
    """Write a checkpoint again, with another way to sample as its default.

    Args:
        source: the checkpoint.
        target: the one to write.
        sampling: option → value, see ``src.inference.sampling.Sampling``.

    Raises:
        UserError: the source cannot be read, the target cannot be written, or the options do not fit the model.
    """
    from src.build import load_model
    from src.export.model import with_sampling
    from src.families.registry import family_of
    from src.weights.checkpoint import config_json, load_checkpoint, save_model

    config, model = load_model(source)
    config = with_sampling(config, sampling)
    family_of(config).check()
    parameters = {parameter.name: parameter for parameter in model.get_parameters()}
    save_model(target, parameters, config_json(config), load_checkpoint(source).step)


class Rung(NamedTuple):
    """One round: so many candidates are measured on the pictures first … last − 1, beside what they were before."""

    candidates: int
    first: int
    last: int


def rungs(candidates, pictures, first=2, keep=0.5):
    """Plan a halving.

    Args:
        candidates, pictures: how many there are, each at least 1.
        first: pictures of the first round; every further one doubles them, the last one takes all.
        keep: the share of candidates that goes on, above 0 and below 1; never fewer than two.

    Returns:
        list of :class:`Rung`.
    """
    found, seen, count = [], 0, min(first, pictures)
    while True:
        found.append(Rung(candidates, seen, count))
        if count == pictures:
            return found
        candidates = min(candidates, max(2, math.ceil(candidates * keep)))
        seen, count = count, min(2 * count, pictures)


def halve(candidates, plan, measure, loss, is_reference=lambda candidate: False):
    """Find the best candidates.

    Args:
        candidates: list.
        plan: from :func:`rungs` for as many candidates.
        measure: ``measure(candidates, number)`` measures some candidates on one picture.
        loss: ``loss(candidate, count)`` of a candidate over the first ``count`` pictures, less is better.
        is_reference: whether a candidate is one to compare with; of these the best always goes on.

    Returns:
        the candidates that were measured on all pictures, the best first.
    """
    alive = list(candidates)
    for rung in plan:
        alive = _best(alive, rung.candidates, is_reference)
        for number in range(rung.first, rung.last):
            measure(alive, number)
        alive.sort(key=lambda candidate: loss(candidate, rung.last))
    return alive


def _best(ordered, count, is_reference):
    """The first ``count``, the last of which makes way for the best reference, if there is one and none is in."""
    best = ordered[:count]
    others = [candidate for candidate in ordered[count:] if is_reference(candidate)]
    if others and not any(map(is_reference, best)):
        best[-1] = others[0]
    return best
