#!/usr/bin/env python3
"""Search a good short noise schedule for a diffusion model on validation pictures.

A grid of schedules with β of their own and, to compare, the spacings through the trained steps: all of them on a few
pictures, the better half on twice as many, and so on. Scores are kept in a JSON file; the same call goes on where it
was stopped, and a finer grid costs its new schedules alone. Prints the best and how to use them.
"""

import itertools
import json
import logging
import math
import sys
from argparse import ArgumentTypeError
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import add_device, parser, run  # noqa: E402
from src.diffusion.schedule import FAMILIES, SPACINGS  # noqa: E402
from src.errors import UserError  # noqa: E402
from src.host.files import write_text  # noqa: E402
from src.inference.upscaler import to_network, to_pixels  # noqa: E402

METRICS = ("lpips", "psnr", "ssim", "lr_psnr")
ROWS = 10  # shown
CEILING = 99.0  # dB, in place of the infinite PSNR of equal pictures


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--checkpoint", required=True, metavar="W", help="a diffusion model that enlarges")
    p.add_argument("--data", required=True, metavar="DIR", help="validation pictures, not those of a final report")
    p.add_argument("--output", default="runs/schedule.json", metavar="JSON", help="where the scores are kept")
    p.add_argument("--steps", type=int, default=6, help="of the schedule")
    p.add_argument("--metric", choices=METRICS, default="lpips", help="what is best")
    p.add_argument("--samplers", nargs="+", default=["ddpm", "ddim"])
    p.add_argument("--families", nargs="+", default=["linear_beta", "quadratic_beta", "geometric_beta"])
    p.add_argument("--firsts", nargs="+", default=["1e-5", "1e-4", "1e-3", "1e-2"], metavar="B", type=beta,
                   help="first β")  # fmt: skip
    p.add_argument("--lasts", nargs="+", default=["0.3", "0.5", "0.7", "0.9"], metavar="B", type=beta, help="last β")
    p.add_argument("--temperature", type=float, help="of all of them; by default the model's own")
    p.add_argument("--pictures", type=int, default=16, metavar="N", help="look at the first N by name; 0 takes all")
    p.add_argument("--first-pictures", type=int, default=2, metavar="N", help="pictures of the first round")
    p.add_argument("--keep", type=float, default=0.5, help="the share that goes on from round to round")
    p.add_argument("--protocol", help="of PSNR and SSIM; by default the checkpoint's")
    p.add_argument("--lpips", choices=("squeeze", "alex", "vgg"), default="alex", help="network of LPIPS")
    p.add_argument("--lpips-weights", metavar="PATH", help="their folder or file; by default the cache folder")
    p.add_argument("--seed", type=int, default=0, help="picture n, counted from 0, is sampled with the seed + n")
    p.add_argument("--record", metavar="W", help="write the model to this checkpoint, with the best as its default")
    add_device(p)
    args = p.parse_args()
    if args.pictures < 0 or args.first_pictures < 1 or not 0 < args.keep < 1 or not 0 <= args.seed < 2**63:
        p.error("--pictures must be 0 or more, --first-pictures 1 or more, --keep between 0 and 1, --seed below 2^63")
    for option in ("checkpoint", "record"):
        if (path := getattr(args, option)) and not path.endswith(".ckpt"):
            p.error(f"argument --{option}: a checkpoint's name ends in .ckpt, got {path}")
    return args


def beta(text):
    """A β as it was written, which names a schedule, if it is a number above 0 and below 1."""
    try:
        right = 0 < float(text) < 1
    except ValueError:
        right = False
    if not right:
        raise ArgumentTypeError(f"a β is a number above 0 and below 1, not '{text}'")
    return text


class Candidate(NamedTuple):
    """One way to sample: a sampler, and where its steps lie."""

    sampler: str
    steps: int
    spacing: str

    def is_trained(self):
        """Whether it takes trained steps by a named spacing, which needs no search."""
        return ":" not in self.spacing


def candidates(upscaler, samplers, steps, families, firsts, lasts):
    """Return the grid of :class:`Candidate`, without what has more noise than the model was trained with.

    Args:
        upscaler: a ``DiffusionUpscaler``.
        samplers, steps: names, and the number of steps.
        families: names in ``src.diffusion.schedule.FAMILIES``.
        firsts, lasts: the first and the last β, as the user wrote them.

    Raises:
        UserError: a sampler or a family is unknown, or the number of steps is out of range.
    """
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
    if len(found) < len(grid):
        count = len(grid) - len(found)
        logging.info("%d schedules are left out, which have more noise than the model was trained with", count)
    return found


class Search:
    """Scores of candidates on pictures, kept in a file so that a search goes on where it was.

    Args:
        path: of the JSON file; what it holds already is taken over.
        about: dict that JSON can hold, of all that scores depend on beside the candidate.
        upscaler: a ``DiffusionUpscaler``.
        pictures: ``pictures(number) → (hr, lr, given)``: uint8 RGB, and {"lr_up": [uint8 RGB]} where the model is to
            take a prepared LR↑, else {}.
        score: from :func:`scorer`.
        seed: picture n is sampled with the seed + n.
        options: of sampling that all candidates share.

    Attributes:
        scores: {candidate as text: {number of the picture as text: {metric: value}}}.

    Raises:
        UserError: the file is damaged, or of another search.
    """

    def __init__(self, path, about, upscaler, pictures, score, seed=0, **options):
        self.path, self.about = Path(path), about
        self._upscaler, self._pictures, self._score, self._seed = upscaler, pictures, score, seed
        self._options = options
        self.scores = _read(self.path, about)

    def measure(self, wanted, number, progress=lambda: None):
        """Score candidates on a picture where it is not done yet, and write the file; ``progress()`` after each."""
        missing = [candidate for candidate in wanted if str(number) not in self.rows(candidate)]
        if missing:
            hr, lr, given = self._pictures(number)
            given = {name: to_network(pictures) for name, pictures in given.items()}
            condition = self._upscaler.encode(to_network([lr]), **given)
        for candidate in wanted:
            if candidate in missing:
                sampling = self._upscaler.resolve(**candidate._asdict(), **self._options)
                sr = to_pixels(self._upscaler.draw(condition, sampling, self._seed + number))[0]
                self.rows(candidate)[str(number)] = self._score(sr, hr, lr)
            progress()
        if missing:
            write_text(self.path, json.dumps({"about": self.about, "scores": self.scores}, indent=1), "search")

    def rows(self, candidate):
        """Return what :attr:`scores` has of a candidate."""
        return self.scores.setdefault(" ".join(map(str, candidate)), {})

    def mean(self, candidate, metric, count):
        """Return a candidate's mean of a metric over the first ``count`` pictures; None where one is too small."""
        values = [self.rows(candidate)[str(number)][metric] for number in range(count)]
        return None if None in values else float(np.mean(values))

    def loss(self, candidate, metric, count):
        """Return :meth:`mean`, negative where more is better."""
        value = self.mean(candidate, metric, count)
        if value is None:
            raise UserError(f"some of the first {count} pictures are too small for {metric}: take --metric psnr")
        return value if metric == "lpips" else -value


def scorer(protocol, lpips, scale):
    """Return ``score(sr, hr, lr) → {metric: value}``, see :class:`src.metrics.evaluate.Scores`."""
    from src.metrics.evaluate import Scores
    from src.metrics.scores import lr_agreement, protocol_named

    measure = protocol_named(protocol)

    def score(sr, hr, lr):
        scores = Scores(*measure(sr, hr, scale), lpips(sr, hr) if lpips else None, *lr_agreement(sr, lr))
        return {name: CEILING if value == math.inf else value for name, value in asdict(scores).items()}

    return score


def _read(path, about):
    if not path.exists():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        found, scores = held["about"], held["scores"]
        complete = all(set(METRICS) <= set(row) for rows in scores.values() for row in rows.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        complete = False
    if not complete:
        raise UserError(f"{path} is not the file of a search of schedules: name another --output")
    if found != about:
        different = ", ".join(name for name in about if found.get(name) != about[name]) or "its kind"
        raise UserError(f"{path} is of another search, with another {different}: name another --output")
    return scores


def rungs(candidates, pictures, first=2, keep=0.5):
    """Plan a halving: so many candidates are measured on pictures first … last − 1, beside what they were before.

    The first round takes ``first`` pictures, every further one twice as many, the last one all. Of the candidates the
    share ``keep`` goes on, never fewer than two.

    Returns:
        list of (candidates, first, last).
    """
    last = min(first, pictures)
    found = [(candidates, 0, last)]
    while last < pictures:
        candidates = min(candidates, max(2, math.ceil(candidates * keep)))
        first, last = last, min(2 * last, pictures)
        found.append((candidates, first, last))
    return found


def halve(candidates, plan, measure, loss, is_reference=lambda candidate: False):
    """Return the candidates that were measured on all pictures, the best first.

    Args:
        candidates: list.
        plan: from :func:`rungs` for as many candidates.
        measure: ``measure(candidates, number)`` measures some candidates on one picture.
        loss: ``loss(candidate, count)`` of a candidate over the first ``count`` pictures, less is better.
        is_reference: whether a candidate is one to compare with; of these the best always goes on.
    """
    alive = list(candidates)
    for count, first, last in plan:
        alive, others = alive[:count], filter(is_reference, alive[count:])
        if not any(map(is_reference, alive)):
            alive[-1] = next(others, alive[-1])
        for number in range(first, last):
            measure(alive, number)
        alive.sort(key=lambda candidate: loss(candidate, last))
    return alive


def main():
    args = arguments()
    from tqdm import tqdm

    upscaler, pairs, read, score, about = prepare(args)
    options = {} if args.temperature is None else {"temperature": args.temperature}
    upscaler.resolve(**options)
    grid = candidates(upscaler, args.samplers, args.steps, args.families, args.firsts, args.lasts)
    search = Search(args.output, about, upscaler, read, score, args.seed, **options)
    plan = rungs(len(grid), len(pairs), args.first_pictures, args.keep)
    total = sum(count * (last - first) for count, first, last in plan)
    with tqdm(total=total, desc="searching", unit="picture") as bar:
        best = halve(
            grid, plan, lambda alive, number: search.measure(alive, number, bar.update),
            lambda candidate, count: search.loss(candidate, args.metric, count), Candidate.is_trained,
        )  # fmt: skip
    show(search, best, len(pairs), args.metric, len(grid))
    print(f"use: --sampler {best[0].sampler} --steps {best[0].steps} --spacing {best[0].spacing}")
    if args.record:
        record_sampling(args.checkpoint, args.record, best[0]._asdict() | options)
        print(f"written {args.record}")


def prepare(args):
    """Return upscaler, pairs, what reads and what scores them, and what scores depend on beside the candidates."""
    from src.build import load
    from src.commands.evaluate import lpips_distance
    from src.dataset.pairs import find_pairs, load_pair, prepared_lr_up
    from src.export.artefact import file_hash
    from src.families.registry import family_of

    config, upscaler = load(args.checkpoint, args.device)
    if upscaler.one_pass or not upscaler.conditional:
        raise UserError(f"{args.checkpoint} is no diffusion model that enlarges pictures: there is nothing to search")
    pairs = find_pairs(args.data, scale=upscaler.scale)[: args.pictures or None]
    lpips = lpips_distance(args.lpips if args.metric == "lpips" else "none", args.lpips_weights, device=args.device)
    if args.metric == "lpips" and lpips is None:
        raise UserError("--metric lpips needs its weights: name them with --lpips-weights, or take --metric psnr")

    def read(number):
        hr, lr = load_pair(pairs[number], upscaler.scale)
        takes_lr_up = family_of(config).takes_lr_up
        return hr, lr, prepared_lr_up(pairs[number], lr, upscaler.scale) if takes_lr_up else {}

    about = {
        "checkpoint": file_hash(args.checkpoint),
        "pictures": {pair.name: [file_hash(path) for path in (pair.hr, pair.lr, pair.lr_up) if path] for pair in pairs},
        "protocol": args.protocol or config.eval.protocol,
        "lpips": args.lpips if lpips else None,
        "seed": args.seed,
        "temperature": args.temperature,
    }
    return upscaler, pairs, read, scorer(about["protocol"], lpips, upscaler.scale), about


def show(search, best, pictures, metric, count):
    """Print the best of those that were measured on all pictures, and the best of the trained steps."""
    rows = best[:ROWS] + [next(candidate for candidate in best if candidate.is_trained())]
    print(f"the best of {count} ways to sample by {metric}, {pictures} pictures, protocol {search.about['protocol']}")
    print(f"{'sampler':14}{'spacing':34}{'PSNR':>7}{'SSIM':>8}{'LPIPS':>8}{'LR-PSNR':>9}")
    for candidate in dict.fromkeys(rows):
        psnr, ssim, lpips, lr_psnr = (search.mean(candidate, m, pictures) for m in ("psnr", "ssim", "lpips", "lr_psnr"))
        ssim, lpips = ("–" if value is None else f"{value:.4f}" for value in (ssim, lpips))
        print(f"{candidate.sampler:14}{candidate.spacing:34}{psnr:7.2f}{ssim:>8}{lpips:>8}{lr_psnr:9.2f}")


def record_sampling(source, target, sampling):
    """Write a checkpoint again, with another way to sample (option → value) as its default."""
    from src.build import load_model
    from src.export.model import with_sampling
    from src.families.registry import family_of
    from src.weights.checkpoint import config_json, load_checkpoint, save_model

    config, model = load_model(source)
    config = with_sampling(config, sampling)
    family_of(config).check()
    parameters = {parameter.name: parameter for parameter in model.get_parameters()}
    save_model(target, parameters, config_json(config), load_checkpoint(source).step)


if __name__ == "__main__":
    run(main)
