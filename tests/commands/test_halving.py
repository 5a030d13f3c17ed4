"""Successive halving."""

import pytest

from src.commands.search_schedule import Rung, halve, rungs


def test_the_plan():
    assert rungs(40, 16) == [Rung(40, 0, 2), Rung(20, 2, 4), Rung(10, 4, 8), Rung(5, 8, 16)]
    assert rungs(9, 10, first=3, keep=0.3) == [Rung(9, 0, 3), Rung(3, 3, 6), Rung(2, 6, 10)]
    assert rungs(1, 5, first=9) == [Rung(1, 0, 5)]


@pytest.mark.parametrize("pictures", [1, 3, 8])
def test_the_best_is_found_and_only_it_sees_all_pictures(pictures):
    seen = {candidate: [] for candidate in range(20)}

    def measure(alive, number):
        for candidate in alive:
            seen[candidate].append(number)

    plan = rungs(20, pictures, first=1)
    best = halve(list(range(20)), plan, measure, lambda c, count: abs(c - 13) if len(seen[c]) == count else None)
    assert best[0] == 13 and best == sorted(best, key=lambda c: abs(c - 13))
    assert len(best) == plan[-1].candidates
    assert all(seen[candidate] == list(range(pictures)) for candidate in best)
    assert sum(map(len, seen.values())) == sum(rung.candidates * (rung.last - rung.first) for rung in plan)


def test_the_best_reference_goes_on():
    plan = rungs(10, 4, first=1)
    best = halve(list(range(10)), plan, lambda *_: None, lambda c, count: c, is_reference=lambda c: c > 6)
    assert best == [0, 1, 7]
    best = halve(list(range(10)), plan, lambda *_: None, lambda c, count: c, is_reference=lambda c: c == 1)
    assert best == [0, 1, 2]
