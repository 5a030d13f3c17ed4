"""The largest loss that is believed."""

import math

from src.training.loop import LossLimit


def test_there_is_no_limit_without_enough_lines():
    limit = LossLimit(10, [1.0, math.nan, 2.0, 3.0, math.inf, 4.0])
    assert limit.value == math.inf
    limit.add(2.0)
    assert limit.value == 20


def test_nan_is_never_taken_in():
    limit = LossLimit(10, [1.0] * 5)
    limit.add(math.nan)
    assert limit.value == 10 and len(limit.losses) == 5


def test_it_follows_the_last_twenty_lines_and_not_their_outliers():
    limit = LossLimit(10, [100.0] * 20)
    for _ in range(11):
        limit.add(1.0)
    assert limit.value == 10
    for _ in range(9):
        limit.add(1e9)
    assert limit.value == 10


def test_a_resumed_run_has_the_same_limit():
    losses = [0.5 + 0.1 * math.sin(k) for k in range(50)]
    limit = LossLimit(30)
    for loss in losses:
        limit.add(loss)
    assert LossLimit(30, losses).value == limit.value


def test_ratio_zero_has_no_limit():
    assert LossLimit(0, [1.0] * 9).value == math.inf
