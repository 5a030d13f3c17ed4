"""How to sample: the options that commands and callers name, resolved once into one object."""

import functools
from typing import NamedTuple

from ..diffusion.samplers import SAMPLERS
from ..errors import UserError

MAX_TEMPERATURE = 100  # far beyond any use, and far from where float32 ends


class Sampling(NamedTuple):
    """All options of a sample; None for those that a model has no use for."""

    sampler: str | None = None  # a name in ``src.diffusion.samplers.SAMPLERS``
    steps: int | None = None  # 1 to T; more with a schedule of its own, where the network is told √ᾱ
    spacing: str | None = None  # a name in ``SPACINGS`` of src.diffusion.schedule, or β of its own
    eta: float | None = None  # of samplers that have it: 0 is deterministic, 1 has DDPM's noise
    temperature: float | None = None  # scales all noise: 1 is the full sample, towards 0 the most faithful picture
    consistency: bool | None = None  # make the result agree with LR (:mod:`src.imaging.back_projection`)

    def replaced(self, **options):
        """Put options in place of its own where they are not None; its own eta goes with a sampler that has none."""
        options = {name: value for name, value in options.items() if value is not None}
        if "eta" not in options and not takes_eta(options.get("sampler", self.sampler)):
            options["eta"] = 0.0
        return self._replace(**options)

    def options(self):
        """Those that have an effect, as a dict."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    def check(self):
        if self.sampler not in SAMPLERS:
            raise UserError(f"sampler must be one of {', '.join(SAMPLERS)}, not '{self.sampler}'")
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise UserError(f"the temperature must be a number from 0 to {MAX_TEMPERATURE}, not {self.temperature}")
        if not 0 <= self.eta <= 1:
            raise UserError(f"eta must be a number from 0 to 1, not {self.eta}")
        if self.eta and not takes_eta(self.sampler):
            raise no_eta(self.sampler)

    def function(self):
        sampler = SAMPLERS[self.sampler]
        return functools.partial(sampler, eta=self.eta) if takes_eta(self.sampler) else sampler


def takes_eta(sampler):
    return sampler in SAMPLERS and "eta" in SAMPLERS[sampler].options


def no_eta(sampler):
    others = ", ".join(name for name in SAMPLERS if takes_eta(name))
    return UserError(f"eta is an option of the sampler {others}, {sampler} has none: leave it out")
