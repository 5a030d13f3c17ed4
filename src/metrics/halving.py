"""Successive halving: many candidates on few pictures, the better ones on more (arXiv 1502.07943)."""

import math
from typing import NamedTuple


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
