"""The noise schedule that a PyTorch SRDiff or SR3 checkpoint carries, told from its tables."""

import logging

import numpy as np

from ..errors import UserError

# What those programs' own configurations name.
SRDIFF = {"steps": 100, "schedule": "cosine", "cosine_offset": 0.008}
SR3 = {"steps": 2000, "schedule": "linear", "beta_start": 1e-6, "beta_end": 1e-2}

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


def schedule_settings(tensors, default=SRDIFF, last_beta=0.999):
    """Tell the schedule from a checkpoint's tables and check each of them against it; return its settings.

    Of the names in :data:`TABLES`, all, some or none are there, each float32 (T,); ``default`` is taken without β.
    ``last_beta`` is the last β of that program's linear schedule, whatever its slope; None: it has no such thing.
    """
    settings = _recognised(tensors["betas"], last_beta) if "betas" in tensors else default
    if "betas" not in tensors:
        logging.info(
            "the checkpoint has no table 'betas': taking its program's default, %d steps of the %s schedule",
            settings["steps"], settings["schedule"],
        )  # fmt: skip
    betas = _betas(last_beta, **settings)
    alpha_bar = np.cumprod(1 - betas)
    previous = np.append(1.0, alpha_bar[:-1])
    for name, table in _TABLES.items():
        if name in tensors and not _agree(tensors[name], table(betas, alpha_bar, previous)):
            raise UserError(
                f"the table '{name}' is not that of the {settings['schedule']} schedule with {settings['steps']} "
                "steps, which the other tables name: the file is inconsistent"
            )
    return settings


def _recognised(table, last_beta):
    """The settings of the schedule whose β agree with ``table``."""
    if table.ndim != 1 or len(table) < 3:
        raise UserError(
            f"the table 'betas' has the shape {table.shape}: expected one value for each of 3 steps or more"
        )
    steps, start, end = len(table), float(table[0]), float(table[-1])
    if last_beta is not None:  # extrapolate from the one before it
        end = start + (float(table[-2]) - start) * (steps - 1) / (steps - 2)
    cosine = {"steps": steps, "schedule": "cosine", "cosine_offset": _cosine_offset(steps, start)}
    linear = {"steps": steps, "schedule": "linear", "beta_start": _tidy(start), "beta_end": _tidy(end)}
    for settings in (cosine, linear):
        if _agree(table, _betas(last_beta, **settings)):
            return settings
    ending = "" if last_beta is None else f" that ends in {last_beta}"
    raise UserError(f"the table 'betas' is neither a cosine schedule nor a linear one{ending}: not supported")


def _betas(last_beta, steps, schedule, cosine_offset=None, beta_start=None, beta_end=None):
    """float64 β (T,); of the cosine schedule on those programs' grid: 0 to steps + 1, both included."""
    if schedule == "cosine":
        alpha_bar = _cosine_alpha_bar(np.linspace(0, 1, steps + 1), cosine_offset)
        return np.clip(1 - alpha_bar[1:] / alpha_bar[:-1], 0, 0.999)
    betas = np.linspace(beta_start, beta_end, steps)
    if last_beta is not None:
        betas[-1] = last_beta
    return betas


def _cosine_alpha_bar(position, offset):
    """ᾱ of the cosine schedule (arXiv 2102.09672, eq. 17) but for its factor."""
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
