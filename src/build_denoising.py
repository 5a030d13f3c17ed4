"""The validation during the training of a model that makes pictures from nothing, shared between the ranks."""

from dataclasses import dataclass

import numpy as np

from src.build import build_loss, build_upscaler, networks_of
from src.build_validation import find_validation_pairs
from src.dataset.pairs import load_pair
from src.dataset.randomness import VALIDATION, generator
from src.errors import UserError
from src.imaging.strip import mosaic
from src.inference.generated import drawn
from src.inference.sampling import effective_options
from src.inference.upscaler import arrays

LEVELS = 8  # of noise, spread evenly over the steps; each picture is looked at with all of them
_SEED = 0  # of their noise: the losses of runs with different seeds can be compared


@dataclass(frozen=True)
class Denoising:
    """A score: ``loss``, that of training, over all levels."""

    loss: float


class DenoisingReport:
    """The loss of each validation picture; as ``src.metrics.evaluate.Report``, of one method.

    Args:
        method: its name.
        names: of the pictures.
        losses: one number for each.
    """

    def __init__(self, method, names, losses):
        self.names = list(names)
        self.scores = {method: [Denoising(float(loss)) for loss in losses]}

    def mean(self, method):
        """Return the mean as :class:`Denoising`."""
        return Denoising(float(np.mean([score.loss for score in self.scores[method]])))

    def rows(self):
        """Return the losses as float64 (pictures, 1)."""
        (scores,) = self.scores.values()
        return np.array([score.loss for score in scores]).reshape(-1, 1)


class DenoisingValidation:
    """Measures how well held-out pictures are denoised, and draws a few pictures from nothing.

    The loss is that of training, without dropout, at fixed levels of noise and with fixed noise: it changes with the
    weights alone. It is that of the middle of each picture, a square of ``data.patch_size``.

    Args:
        config: a checked ``Config``.
        model: the network, with the weights to look at.
        world: the ranks that share the work, a ``src.training.distributed.World``.

    Raises:
        UserError: there are no pictures, one cannot be read or is smaller than a patch, or the configuration asks for
            scores that such pictures do not have.
    """

    def __init__(self, config, model, world):
        _check(config)
        self.config, self.world = config, world
        self.pairs = find_validation_pairs(config, at_least=config.data.patch_size)
        self._loss = build_loss(config, model)
        self._networks = networks_of(config, model)

    def compile(self):
        """Compile the graphs that :meth:`run` runs, so that what is wrong with them shows before the training.

        Raises:
            UserError: the model cannot be sampled as its configuration says.
        """
        self._upscaler().check(**effective_options(self.config))
        side = self.config.data.patch_size
        self._denoise(np.zeros((side, side, 3), np.uint8), 0)
        if self._draws():
            self._pictures(1, steps=1, spacing="uniform")

    def run(self, keep=None):
        """Return the :class:`DenoisingReport` of all pictures; every rank gets the same.

        Args:
            keep: called with ("samples", method, a mosaic of pictures drawn from nothing, uint8); None draws none.
        """
        from src.training.distributed import gather_rows

        config, world = self.config, self.world
        own = range(world.rank, len(self.pairs), world.size)
        rows = [[self._denoise(load_pair(self.pairs[number], config.data.scale)[0], number)] for number in own]
        losses = [loss for (loss,) in gather_rows(rows, world)]
        if keep and self._draws():
            keep("samples", config.name, mosaic(self._pictures(config.train.log_pictures)))
        return DenoisingReport(config.name, [pair.name for pair in self.pairs], losses)

    def shown(self, name, pictures):
        """Return what :meth:`run` drew as it is logged, uint8 RGB."""
        return pictures

    def _draws(self):
        return self.config.train.log_pictures > 0

    def _denoise(self, picture, number):
        """The loss of one picture, uint8 (H, W, 3); its noise is a function of its number."""
        import mindspore as ms

        side, steps = self.config.data.patch_size, self.config.diffusion.steps
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        hr = arrays([picture[top : top + side, left : left + side]])
        times = (np.arange(LEVELS) + 0.5) * (steps / LEVELS)
        times = times.astype(np.float32 if self.config.is_continuous else np.int32)
        noise = generator(_SEED, VALIDATION, number).standard_normal((LEVELS, 3, side, side), np.float32)
        return float(self._loss(*(ms.Tensor(array) for array in (hr, hr, times, noise))).asnumpy())

    def _upscaler(self):
        """Made anew for each use: how many pictures are drawn together depends on the memory that is free now."""
        return build_upscaler(self.config, self._networks)

    def _pictures(self, count, **options):
        config, side = self.config, self.config.data.patch_size
        sampling = effective_options(config) | options
        return list(drawn(self._upscaler(), count, (side, side), config.seed, **sampling))


def _check(config):
    reason = "where 'sr3.conditional' is false, and validation measures how well pictures are denoised"
    if config.train.best_metric != "loss":
        raise UserError(
            f"'train.best_metric' must be loss {reason}, got {config.train.best_metric}; set train.best_metric=loss"
        )
    if config.train.val_lpips != "none":
        raise UserError(
            f"'train.val_lpips' must be none {reason}, got {config.train.val_lpips}; set train.val_lpips=none"
        )
