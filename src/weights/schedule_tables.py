"""The noise schedule that a PyTorch SRDiff checkpoint carries, told from its tables."""

import logging

import numpy as np

from src.errors import UserError

_LOG = logging.getLogger(__name__)
_DEFAULT = {"steps": 100, "schedule": "cosine", "cosine_offset": 0.008}  # that program's own

# Every table of the checkpoint, from β, ᾱ_t and ᾱ_{t−1} (arXiv 2006.11239, eqs. 2, 4, 7), float64.
_TABLES = {
    "betas": lambda b, a, p: b,
    "alphas_cumprod": lambda b, a, p: a,
    "alphas_cumprod_prev": lambda b, a, p: p,
    "sqrt_alphas_cumprod": lambda b, a, p: np.sqrt(a),
    "sqrt_one_minus_alphas_cumprod": lambda b, a, p: np.sqrt(1 - a),
    "log_one_minus_alphas_cumprod": lambda b, a, p: np.log(1 - a),
    "sqrt_recip_alphas_cumprod": lambda b, a, p: np.sqrt(1 / a),
    "sqrt_recipm1_alphas_cumprod": lambda b, a, p: np.sqrt(1 / a - 1),
    "posterior_variance": lambda b, a, p: b * (1 - p) / (1 - a),
    "posterior_log_variance_clipped": lambda b, a, p: np.log(np.maximum(b * (1 - p) / (1 - a), 1e-20)),
    "posterior_mean_coef1": lambda b, a, p: b * np.sqrt(p) / (1 - a),
    "posterior_mean_coef2": lambda b, a, p: (1 - p) * np.sqrt(1 - b) / (1 - a),
}
TABLES = frozenset(_TABLES)


def schedule_settings(tensors):
    """Tell the schedule from a checkpoint's tables and check each of them against it.

    Args:
        tensors: {name: array}; of the names in :data:`TABLES`, all, some or none are there, each float32 (T,).

    Returns:
        dict(steps, schedule, cosine_offset) or dict(steps, schedule, beta_start, beta_end).

    Raises:
        UserError: the tables are neither of the two schedules, or contradict each other.
    """
    if "betas" in tensors:
        settings, betas = _recognise(tensors["betas"])
    else:
        _LOG.info("the checkpoint has no table 'betas': taking its program's default, 100 steps of the cosine schedule")
        settings, betas = _DEFAULT, _cosine(_DEFAULT["steps"], _DEFAULT["cosine_offset"])
    alpha_bar = np.cumprod(1 - betas)
    previous = np.append(1.0, alpha_bar[:-1])
    for name, table in _TABLES.items():
        if name in tensors and not _agree(tensors[name], table(betas, alpha_bar, previous)):
            raise UserError(
                f"the table '{name}' is not that of the {settings['schedule']} schedule with {settings['steps']} "
                "steps, which the other tables name: the file is inconsistent"
            )
    return settings


def _recognise(table):
    """Return the settings and float64 β of the schedule whose β agree with ``table``."""
    if table.ndim != 1 or len(table) < 3:
        raise UserError(
            f"the table 'betas' has the shape {table.shape}: expected one value for each of 3 steps or more"
        )
    steps = len(table)
    offset = _cosine_offset(steps, float(table[0]))
    betas = _cosine(steps, offset)
    if _agree(table, betas):
        return {"steps": steps, "schedule": "cosine", "cosine_offset": offset}, betas
    # The last β is 0.999 whatever the slope: extrapolate from the one before it.
    start, last_but_one = float(table[0]), float(table[-2])
    start, end = _tidy(start), _tidy(start + (last_but_one - start) * (steps - 1) / (steps - 2))
    betas = np.linspace(start, end, steps)
    betas[-1] = 0.999
    if _agree(table, betas):
        return {"steps": steps, "schedule": "linear", "beta_start": start, "beta_end": end}, betas
    raise UserError("the table 'betas' is neither a cosine schedule nor a linear one that ends in 0.999: not supported")


def _cosine(steps, offset):
    """β of the cosine schedule (arXiv 2102.09672, eq. 17) on that program's grid: 0 to steps + 1, both included."""
    alpha_bar = _cosine_alpha_bar(np.linspace(0, 1, steps + 1), offset)
    return np.clip(1 - alpha_bar[1:] / alpha_bar[:-1], 0, 0.999)


def _cosine_alpha_bar(position, offset):
    return np.cos((position + offset) / (1 + offset) * np.pi / 2) ** 2


def _cosine_offset(steps, first_beta):
    """Bisect for the offset whose first β is ``first_beta``; it grows with the offset."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        beta = 1 - _cosine_alpha_bar(1 / steps, middle) / _cosine_alpha_bar(0, middle)
        low, high = (middle, high) if beta < first_beta else (low, middle)
    return _tidy(high)


def _tidy(number):
    """The number that a person wrote, from one that passed through float32."""
    return round(float(f"{number:.5g}"), 8)


def _agree(table, expected):
    # The tables are float64 results rounded to float32, and β itself may have been told from rounded ones.
    return table.shape == expected.shape and np.allclose(table, expected, rtol=1e-5, atol=1e-9)
