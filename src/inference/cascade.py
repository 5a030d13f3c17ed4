"""Models in a row, each of which enlarges what the one before made, as SR3 does (arXiv 2104.07636)."""

import math

import numpy as np

from src.diffusion.samplers import seeds_of
from src.errors import UserError
from src.inference.sampling import Sampling
from src.inference.upscaler import RegressionUpscaler, Upscaler

_SEEDS = 1 << 64  # apart, so that no stage draws another's noise; the first stage's is what it would be alone


class Cascade(Upscaler):
    """An upscaler made of upscalers; the scales multiply, and the first may make pictures from nothing.

    Between the stages pictures are float32 in [−1, 1], not rounded to 8 bits. An option is every stage's own where it
    is not given; where it is, it holds for all stages, or as a list for one stage each.

    Args:
        stages: list of at least two :class:`src.inference.upscaler.Upscaler`.

    Attributes:
        stages: as above.

    Raises:
        UserError: a later stage makes pictures from nothing.
    """

    def __init__(self, stages):
        for number, stage in enumerate(stages[1:], 2):
            if not stage.needs_pictures:
                raise UserError(
                    f"model {number} of the cascade, {stage.name}, makes pictures from nothing and enlarges none: only "
                    "the first may"
                )
        self.stages = list(stages)
        self.scale = math.prod(stage.scale for stage in stages)
        self.needs_pictures = stages[0].needs_pictures

    @property
    def name(self):
        """The names of the stages."""
        return " + ".join(stage.name for stage in self.stages)

    def about(self, **options):
        """See :class:`Upscaler`; the stages' own stand in a list."""
        stages = [stage.about(**own) for stage, own in self._with(options)]
        system = " + ".join(stage["system"] for stage in stages)
        return {"system": system, "scale": self.scale, "stages": stages}

    def batch(self, wanted, height, width):
        """As many as fit every stage; see :class:`Upscaler`."""
        return min(stage.batch(wanted, *size) for stage, size in self._at((height, width)))

    def tiles(self, shape):
        """See :class:`Upscaler`."""
        words = [
            f"model {number}: {words}"
            for number, (stage, size) in enumerate(self._at(shape[1:]), 1)
            if (words := stage.tiles((shape[0], *size)))
        ]
        return "; ".join(words) or None

    def check(self, samples=1, **options):
        """See :class:`Upscaler`; some stage must sample for several samples to differ."""
        alike = all(isinstance(stage, RegressionUpscaler) for stage in self.stages)
        for stage, own in self._with(options):
            stage.check(samples if alike or not isinstance(stage, RegressionUpscaler) else 1, **own)

    def check_process(self):
        """The last stage's steps are shown; see :class:`Upscaler`."""
        self.stages[-1].check_process()

    def passes(self, shape, **options):
        """See :class:`Upscaler`."""
        sizes = (size for _, size in self._at(shape[1:]))
        given = zip(self._with(options), sizes, strict=True)
        return sum(stage.passes((shape[0], *size), **own) for (stage, own), size in given)

    @property
    def usual_size(self):
        """(height, width) that the first stage makes from nothing, where none is named."""
        return self.stages[0].usual_size

    def encode(self, lr, lr_up=None):
        """What the first stage computes beforehand; see :class:`Upscaler`."""
        return self.stages[0].encode(lr, lr_up)

    def from_nothing(self, shape):
        """The first stage's, see :class:`Upscaler`; (B, 3, h, w) is the shape of what that stage makes."""
        return self.stages[0].from_nothing(shape)

    def draw(self, condition, seed=0, progress=None, process=None, **options):
        """Draw HR pictures.

        Args:
            condition: from :meth:`encode` or :meth:`from_nothing`.
            seed: an int for the batch (its pictures take seed, seed + 1, …) or one int for each picture, below 2^64;
                stage n, from 0, takes it plus n·2^64.
            progress: called after each pass of a network over a window.
            process: keeps steps of the last stage, see ``DiffusionUpscaler.draw``.
            options: of the stages' ``draw``, see :class:`Cascade`.

        Returns:
            (B, 3, H, W) float32 NumPy in about [−1, 1].
        """
        picture, last = None, len(self.stages) - 1
        for number, (stage, own) in enumerate(self._with(options)):
            if number:
                condition = stage.encode(np.clip(picture, -1, 1))
                seed = [one + _SEEDS for one in seeds_of(seed, len(picture))]
            if process is not None and number == last:
                own = own | {"process": process}
            picture = stage.draw(condition, seed, progress, **own)
            del condition  # its features may be as large as what the next stage needs
        return picture

    def _with(self, options):
        """Pair each stage with the options that hold for it."""
        for name, value in options.items():
            if isinstance(value, list) and len(value) != len(self.stages):
                raise UserError(f"{name} has {len(value)} values for {len(self.stages)} models: give one for each")
        return [(stage, _options_of(number, stage, options)) for number, stage in enumerate(self.stages)]

    def _at(self, size):
        """Pair each stage with the (height, width) of what it is given."""
        found = []
        for stage in self.stages:
            found.append((stage, tuple(size)))
            size = [side * stage.scale for side in size]
        return found


def _options_of(number, stage, options):
    own = {name: value[number] if isinstance(value, list) else value for name, value in options.items()}
    if not stage.needs_pictures:
        own.pop("consistency", None)  # with what? it is for the stages that enlarge
    if isinstance(stage, RegressionUpscaler):  # it samples nothing, and the others do: no reason to warn
        own = {name: value for name, value in own.items() if name == "consistency" or name not in Sampling._fields}
    return own
