"""Noise schedules for sampling alone: fewer steps than in training, with β of their own.

SR3 (arXiv 2104.07636, section 2.4) and WaveGrad (arXiv 2009.00713, section 4) sample a network that is told √ᾱ with a
schedule that it was not trained with, and choose that schedule by a search. Here such a schedule is a text,
``NAME:NUMBER,NUMBER,…``, that stands wherever the name of a spacing does.
"""

import numpy as np

from src.errors import UserError

MAX_STEPS = 10_000


def _quadratic(first, last, count):
    return np.linspace(np.sqrt(last), np.sqrt(first), count)[::-1] ** 2


def _geometric(first, last, count):
    return np.geomspace(last, first, count)[::-1]


def _linear(first, last, count):
    return np.linspace(last, first, count)[::-1]


FAMILIES = {"linear_beta": _linear, "quadratic_beta": _quadratic, "geometric_beta": _geometric}
LIST = "betas"


def has_own_betas(spacing):
    """Whether a spacing is a schedule of its own, ``NAME:NUMBER,…``, and not the name of a way to choose trained t."""
    return ":" in spacing


def own_betas(spacing, count):
    """Return the β of a schedule for sampling, the least noisy step first.

    Args:
        spacing: ``linear_beta:FIRST,LAST`` (even β), ``quadratic_beta:FIRST,LAST`` (even √β) or
            ``geometric_beta:FIRST,LAST`` (even log β), a single step taking LAST; or ``betas:B1,B2,…``, all of them.
        count: the number of steps.

    Returns:
        float64 (count,), in (0, 1).

    Raises:
        UserError: the name is unknown, a number is out of range, or a list has another number of β.
    """
    name, _, text = spacing.partition(":")
    numbers = _numbers(spacing, text)
    if not 1 <= count <= MAX_STEPS:
        raise UserError(f"the number of sampling steps must be from 1 to {MAX_STEPS}, not {count}")
    if name == LIST:
        if len(numbers) != count:
            raise UserError(
                f"the spacing '{spacing}' has {len(numbers)} steps, not {count}: take {len(numbers)} steps, or another "
                "spacing"
            )
        return np.array(numbers)
    if name not in FAMILIES or len(numbers) != 2:
        raise UserError(
            f"a noise schedule for sampling is {', '.join(f'{family}:FIRST,LAST' for family in FAMILIES)} or "
            f"{LIST}:B1,B2,…, not '{spacing}'"
        )
    return FAMILIES[name](*numbers, count)


def _numbers(spacing, text):
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = [np.nan]
    if not all(0 < number < 1 for number in numbers):
        raise UserError(f"after its colon the spacing '{spacing}' must have β above 0 and below 1, with commas between")
    return numbers
