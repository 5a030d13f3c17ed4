"""Refuses a number and a spacing of sampling steps that do not fit the model or each other."""

from src.errors import UserError

_NAMES = ("uniform", "trailing", "quadratic", "logsnr", "linear_beta")
_FAMILIES = ("linear_beta", "quadratic_beta", "geometric_beta")
_LIST = "betas"


def check_spacing(config):
    """Refuse ``eval.spacing``, and of a diffusion model ``eval.steps`` that cannot be sampled.

    Args:
        config: a :class:`~src.config.schema.Config` of any system.

    Raises:
        UserError: the spacing is unknown, a β is not between 0 and 1, or the steps are too many or not the list's.
    """
    spacing, steps, trained = config.eval.spacing, config.eval.steps, config.diffusion.steps
    name, colon, numbers = spacing.partition(":")
    if colon:
        _check_betas(spacing, name, numbers.split(","), steps)
    elif spacing not in _NAMES:
        raise UserError(f"'eval.spacing' must be one of {', '.join(_NAMES)}, or have β of its own, got '{spacing}'")
    if steps > trained and not config.is_regression and not (colon and config.is_continuous):
        raise UserError(f"'eval.steps' must be at most 'diffusion.steps' ({trained}), got {steps}")


def _check_betas(spacing, name, numbers, steps):
    if name not in (*_FAMILIES, _LIST) or (name in _FAMILIES and len(numbers) != 2):
        families = ", ".join(f"{family}:FIRST,LAST" for family in _FAMILIES)
        raise UserError(f"'eval.spacing' with β of its own must be {families} or {_LIST}:B1,B2,…, got '{spacing}'")
    if not all(_is_beta(number) for number in numbers):
        raise UserError(f"'eval.spacing' must have β above 0 and below 1 after its colon, got '{spacing}'")
    if name == _LIST and len(numbers) != steps:
        raise UserError(f"'eval.spacing' lists {len(numbers)} β, but 'eval.steps' is {steps}; set eval.steps to that")


def _is_beta(text):
    try:
        return 0 < float(text) < 1
    except ValueError:
        return False
