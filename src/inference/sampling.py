"""How to sample: the options that commands and callers give, checked, with the model's own in place of None."""

import functools
from typing import NamedTuple

from src.diffusion.samplers import sampler_named
from src.errors import UserError

MAX_TEMPERATURE = 100  # far beyond any use, and far from where float32 ends


class Sampling(NamedTuple):
    """Options of a sample; None takes the model's own (its ``config.eval``).

    Attributes:
        sampler: a name in ``src.diffusion.samplers.SAMPLERS``.
        steps: 1 to T; more with a schedule of its own, where the network is told √ᾱ.
        spacing: a name in ``src.diffusion.schedule.SPACINGS``, or β of its own (:mod:`src.diffusion.schedule`).
        eta: of ``ddim``: 0 is deterministic, 1 has DDPM's noise.
        temperature: scales all noise: 1 is the full sample, towards 0 comes the most faithful picture.
        consistency: make the result agree with the LR picture (:mod:`src.imaging.back_projection`).
    """

    sampler: str | None = None
    steps: int | None = None
    spacing: str | None = None
    eta: float | None = None
    temperature: float | None = None
    consistency: bool | None = None

    def filled(self, defaults):
        """Put those of another ``Sampling`` in place of None; its eta only if the sampler is still ddim."""
        filled = Sampling(*(own if value is None else value for value, own in zip(self, defaults, strict=True)))
        return filled._replace(eta=0.0) if self.eta is None and filled.sampler != "ddim" else filled

    def function(self):
        """The sampler, with its own options set.

        Raises:
            UserError: the name is unknown, or a number is out of range.
        """
        function = sampler_named(self.sampler)
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise UserError(f"the temperature must be a number from 0 to {MAX_TEMPERATURE}, not {self.temperature}")
        if not 0 <= self.eta <= 1:
            raise UserError(f"eta must be a number from 0 to 1, not {self.eta}")
        if "eta" in function.options:
            return functools.partial(function, eta=self.eta)
        if self.eta:
            raise UserError(f"eta is an option of the sampler ddim, {self.sampler} has none: leave it out")
        return function


def sampling_of(config):
    """The :class:`Sampling` that a configuration names in its section ``eval``."""
    settings = config.eval
    return Sampling(
        settings.sampler, settings.steps, settings.spacing, settings.eta, settings.temperature, settings.consistency
    )


def effective_options(config):
    """Those of a configuration's options that have an effect on its system, as keyword arguments of ``upscale``."""
    options = sampling_of(config)._asdict()
    if config.is_regression:
        return {"consistency": True} if options["consistency"] else {}
    return options if options["sampler"] == "ddim" else options | {"eta": 0.0}
