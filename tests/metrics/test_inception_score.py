"""Inception Score against torch-fidelity's, and where its value is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from src.metrics.fid import InceptionScore
from tests.metrics.inception_formula import formula_logits

GOLDEN = json.loads((Path(__file__).parent / "inception_golden.json").read_text(encoding="utf-8"))


def score_of(logits, *bounds, **options):
    score = InceptionScore(len(logits), **options)
    for batch in np.split(logits, bounds):
        score.add(batch)
    return score.result()


@pytest.mark.parametrize("bounds", [(), (1, 12, 13)])
def test_it_is_that_of_torch_fidelity_in_any_batches(bounds):
    assert score_of(formula_logits(), *bounds) == pytest.approx(GOLDEN["is_of_logits"], rel=1e-6)


def test_certain_and_different_pictures_have_as_many_as_there_are_classes():
    logits = np.where(np.eye(4, dtype=bool)[np.arange(40) % 4], 1e4, 0)  # far beyond where exp overflows
    assert score_of(logits, splits=1) == pytest.approx((4, 0), rel=1e-12)


def test_equal_pictures_have_one():
    assert score_of(np.tile(formula_logits(1), (20, 1))) == pytest.approx((1, 0), abs=1e-12)


def test_fewer_pictures_than_parts_have_none():
    assert score_of(formula_logits(9)) == (None, None)
    assert score_of(formula_logits(10))[0] == pytest.approx(1)
