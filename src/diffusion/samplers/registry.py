"""The samplers by the names that users give."""

from src.diffusion.samplers.ddim import ddim
from src.diffusion.samplers.ddpm import ddpm, sr3
from src.diffusion.samplers.dpmpp import dpmpp_2m, dpmpp_2m_sde
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
