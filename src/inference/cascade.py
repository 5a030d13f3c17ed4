"""Models in a row, each of which enlarges what the one before made, as SR3 does (arXiv 2104.07636)."""

import math

import numpy as np

from ..diffusion.samplers import seeds_of
from ..errors import UserError
from .upscaler import Upscaler

_SEEDS = 1 << 64  # apart, so that no stage draws another's noise; the first stage's is what it would be alone


class Cascade(Upscaler):
    """An upscaler made of at least two; the scales multiply, and the first alone may be unconditional.

    Between the stages pictures are float32 in [−1, 1], not rounded to 8 bits. How to sample is a tuple of each stage's
    ``Sampling``: an option that is named holds for all stages, or as a list for one stage each.
    """

    def __init__(self, stages):
        for number, stage in enumerate(stages[1:], 2):
            if not stage.conditional:
                raise UserError(
                    f"model {number} of the cascade, {stage.name}, makes pictures from nothing and enlarges none: only "
                    "the first may"
                )
        self.stages = list(stages)
        self.scale = math.prod(stage.scale for stage in stages)
        self.name = " + ".join(stage.name for stage in stages)
        self.system = " + ".join(stage.system for stage in stages)
        self.one_pass = all(stage.one_pass for stage in stages)
        self.conditional, self.usual_size = stages[0].conditional, stages[0].usual_size

    def resolve(self, **options):
        for name, value in options.items():
            if isinstance(value, list) and len(value) != len(self.stages):
                raise UserError(f"{name} has {len(value)} values for {len(self.stages)} models: give one for each")
        resolved = []
        for number, stage in enumerate(self.stages):
            own = {name: value[number] if isinstance(value, list) else value for name, value in options.items()}
            if not stage.conditional:
                own.pop("consistency", None)  # with what? it is for the stages that enlarge
            if stage.one_pass:  # it samples nothing, and the others do: no reason to warn
                own = {name: value for name, value in own.items() if name == "consistency"}
            resolved.append(stage.resolve(**own))
        return tuple(resolved)

    def about(self, sampling):
        stages = [stage.about(own) for stage, own in zip(self.stages, sampling, strict=True)]
        return {"system": self.system, "scale": self.scale, "stages": stages}

    def check_samples(self, count):
        """See :class:`Upscaler`; some stage must sample for several samples to differ."""
        for stage in self.stages:
            stage.check_samples(count if self.one_pass or not stage.one_pass else 1)

    def check_process(self):
        """The last stage's steps are shown; see :class:`Upscaler`."""
        self.stages[-1].check_process()

    def batch(self, wanted, height, width):
        return min(stage.batch(wanted, *size) for stage, size in self._inputs((height, width)))

    def tiles(self, shape):
        words = [
            f"model {number}: {words}"
            for number, (stage, size) in enumerate(self._inputs(shape[1:]), 1)
            if (words := stage.tiles((shape[0], *size)))
        ]
        return "; ".join(words) or None

    def passes(self, shape, sampling):
        return sum(stage.passes(*own) for stage, *own in self.parts(shape, sampling))

    def parts(self, shape, sampling):
        pairs = zip(self._inputs(shape[1:]), sampling, strict=True)
        return [(stage, (shape[0], *size), own) for (stage, size), own in pairs]

    def encode(self, lr=None, lr_up=None, shape=None):
        return self.stages[0].encode(lr, lr_up, shape)

    def size(self, condition):
        return tuple(side * math.prod(stage.scale for stage in self.stages[1:]) for side in condition.shape[2:])

    def strips(self, condition, sampling, seed=0, progress=None, process=None, **others):
        """See :class:`Upscaler`; stage n, from 0, takes the seed, below 2^64, plus n·2^64.

        ``process`` keeps steps of the last stage; the others go to every stage's ``draw``.
        """
        for stage, after, own in zip(self.stages, self.stages[1:], sampling[:-1], strict=False):
            picture = stage.draw(condition, own, seed, progress, **others)
            condition = after.encode(np.clip(picture, -1, 1))
            seed = [one + _SEEDS for one in seeds_of(seed, len(picture))]
        if process is not None:
            others = others | {"process": process}
        yield from self.stages[-1].strips(condition, sampling[-1], seed, progress, **others)

    def _inputs(self, size):
        """Pair each stage with the (height, width) of what it takes."""
        pairs = []
        for stage in self.stages:
            pairs.append((stage, tuple(size)))
            size = [side * stage.scale for side in size]
        return pairs
