"""The samplers by the names that users give."""

from functools import partial

from src.diffusion.samplers.ddim import ddim, implicit
from src.diffusion.samplers.ddpm import ddpm, posterior, sr3, widened
from src.diffusion.samplers.dpmpp import dpmpp_2m, dpmpp_2m_sde
from src.diffusion.samplers.walk import rows
from src.errors import UserError

SAMPLERS = {"ddpm": ddpm, "ddim": ddim, "dpmpp_2m": dpmpp_2m, "dpmpp_2m_sde": dpmpp_2m_sde, "sr3": sr3}


def sampler_named(name):
    """Return the sampler function.

    Raises:
        UserError: there is none of this name; the message lists all.
    """
    if name not in SAMPLERS:
        raise UserError(f"sampler must be one of {', '.join(SAMPLERS)}, not '{name}'")
    return SAMPLERS[name]


def rows_of(name, steps, eta=0.0):
    """What a sampler does in each step, as numbers: for graphs and programs that walk without this package.

    Args:
        name: one of ``SAMPLERS``.
        steps: list of ``schedule.Step``.
        eta: of ``ddim``.

    Returns:
        list of :class:`~src.diffusion.samplers.walk.Row`.
    """
    sampler_named(name)
    transitions = {"ddpm": posterior, "sr3": widened, "dpmpp_2m": implicit, "dpmpp_2m_sde": posterior}
    return rows(transitions.get(name, partial(implicit, eta=eta)), steps, second_order=name.startswith("dpmpp_2m"))
