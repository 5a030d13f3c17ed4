"""LR pictures in, HR pictures out: what users, evaluation and commands all call."""

import logging
from abc import ABC, abstractmethod

import numpy as np

from src.errors import UserError
from src.imaging.back_projection import BackProjection
from src.inference.condition import Condition
from src.inference.sampling import Sampling

_REMEDY = "call sample(None, shape=(B, 3, H, W)), or take a model that enlarges"


class Upscaler(ABC):
    """A model with all that turns uint8 or uint16 pictures into its networks' arrays and back.

    ``networks`` are of :mod:`src.inference.networks`, ``tiling`` cuts pictures into windows, ``name`` and ``system``
    are for reports, and ``sampling`` is the model's own :class:`src.inference.sampling.Sampling`, all of it.
    """

    one_pass = False  # whether one pass of a network is the result, so that there is nothing to sample
    conditional = True  # whether it looks at pictures; an unconditional model is asked for a shape instead
    usual_size = None  # (height, width) that an unconditional model makes where no size is named

    def __init__(self, networks, tiling, *, name, system, sampling):
        self.networks, self.tiling = networks, tiling
        self.scale = tiling.scale  # HR size / LR size
        self.name, self.system, self.sampling = name, system, sampling

    @abstractmethod
    def resolve(self, defaults=None, **options):
        """Return how to sample, for :meth:`draw`: ``defaults``, or the model's own, with options that are not None.

        Whoever calls it once can refuse options, which raise a UserError, before any work.
        """

    def about(self, sampling):
        """What a log says of the model and of how it samples: a dict."""
        return {"system": self.system, "scale": self.scale, **sampling.options()}

    def check_samples(self, count):
        if count < 1:
            raise UserError(f"the number of samples must be at least 1, not {count}")

    def check_process(self):
        """Refuse a model whose steps cannot be shown: it has none, or they are inside a graph."""
        raise UserError("this model takes no steps that could be shown: leave --process out, or take a diffusion model")

    def batch(self, wanted, height, width):
        """How many LR pictures of a size to take together: as many as wanted where they fit the memory."""
        return self.tiling.batch(wanted, height, width)

    def tiles(self, shape):
        """Say in words how LR pictures of a shape (B, h, w) are cut; None where they are not."""
        grid = self.tiling.grid(*shape)
        return None if grid.whole else self.tiling.describe(grid, shape[0])

    @abstractmethod
    def passes(self, shape, sampling):
        """How often a network sees a window for one sample of LR pictures of a shape (B, h, w): what a bar counts."""

    def encode(self, lr=None, lr_up=None, shape=None):
        """Compute what all samples of a batch share: the condition for :meth:`draw`.

        ``lr`` is (B, 3, h, w) and ``lr_up`` (B, 3, H, W), float32 in [−1, 1]. Models that take ``lr_up`` use it as it
        is instead of their own LR↑; some need no ``lr`` then. An unconditional model is given the ``shape`` (B, 3, H,
        W) instead; told none, it returns None.
        """
        pictures = lr is not None or lr_up is not None
        if shape is not None and pictures:
            raise UserError("the shape of the result is that of lr: leave one of them out")
        if not self.conditional:
            if pictures:
                raise UserError(f"this model makes pictures from nothing and enlarges none: {_REMEDY}")
            return None if shape is None else self._unconditional(shape)
        if shape is not None:
            raise UserError(f"this model enlarges pictures: give them as lr, and no shape {tuple(shape)}")
        return self._encode(lr, lr_up)

    def _encode(self, lr, lr_up):
        raise NotImplementedError

    def _unconditional(self, shape):
        if len(shape) != 4 or shape[1] != 3 or min(shape) < 1:
            raise UserError(f"the shape of pictures is (B, 3, H, W), not {tuple(shape)}")
        return Condition(self.tiling.grid(shape[0], *shape[2:]), shape[0])

    @abstractmethod
    def draw(self, condition, sampling, seed=0, progress=None, noise=None, callback=None):
        """Draw one sample of each picture: (B, 3, H, W) float32 NumPy in about [−1, 1].

        Args:
            seed: an int for the batch (its pictures take seed, seed + 1, …) or one int for each picture.
            progress: called after each pass of a network over a window.
            noise: ``noise(k, shape)`` gives the k-th draw (0 is x_T, then one per step); None takes a seeded source.
            callback: called after each step as ``callback(k, step, x, x_0)``; the arrays are reused, copy what is kept.
        """

    def sample(self, lr, seed=0, progress=None, lr_up=None, shape=None, **options):
        """Resolve, encode and draw: (B, 3, H, W) float32 NumPy in about [−1, 1]; options are those of both."""
        sampling, others = self._resolved(options)
        return self.draw(self.encode(lr, lr_up, shape), sampling, seed, progress, **others)

    def upscale(self, pictures, seeds=None, **options):
        """Upscale a list of uint8 or uint16 (h, w, 3) to (H, W, 3) of that dtype; arguments as of :meth:`samples`."""
        return list(to_pixels(next(self.samples(pictures, seeds, 1, **options)), pictures[0].dtype))

    def samples(self, pictures, seeds=None, count=1, lr_up=None, **options):
        """Draw ``count`` samples of uint8 or uint16 (h, w, 3) of one size; what samples share is computed once.

        Yields (B, 3, H, W) float32, about [−1, 1]. Sample k takes the seeds, one for each picture and by default 0, 1,
        2, …, plus k. ``lr_up`` is a list of uint8 (H, W, 3), used as they are instead of the network's own LR↑; of
        diffusion models only. Options are as of :meth:`sample`.
        """
        self.check_samples(count)
        sampling, others = self._resolved(options)
        seeds = range(len(pictures)) if seeds is None else seeds
        condition = self.encode(to_network(pictures), None if lr_up is None else to_network(lr_up))
        for k in range(count):
            yield self.draw(condition, sampling, [seed + k for seed in seeds], **others)

    def _resolved(self, options):
        own = {name: value for name, value in options.items() if name in Sampling._fields}
        return self.resolve(**own), {name: value for name, value in options.items() if name not in own}

    def _grid(self, lr):
        if lr.ndim != 4 or lr.shape[1] != 3 or 0 in lr.shape:
            raise UserError(f"LR pictures must be an array (B, 3, h, w), not {tuple(lr.shape)}")
        return self.tiling.grid(lr.shape[0], *lr.shape[2:])

    def _check_sized(self, condition):
        if condition is None:
            raise UserError(f"this model makes pictures from nothing, but of which size? {_REMEDY}")


class OnePassUpscaler(Upscaler):
    """One forward pass of ``networks.regress(lr) → sr``, NumPy to NumPy; of sampling, only consistency is an option."""

    one_pass = True

    def resolve(self, defaults=None, consistency=None, **options):
        """See :class:`Upscaler`; says so where other options have no effect."""
        if any(value is not None for value in options.values()):
            logging.warning("this model samples nothing: the options of sampling have no effect")
        consistency = (defaults or self.sampling).consistency if consistency is None else consistency
        return Sampling(consistency=True if consistency else None)

    def check_samples(self, count):
        if count != 1:
            raise UserError(f"this model samples nothing, {count} samples would be equal: take 1, or an SRDiff model")

    def passes(self, shape, sampling):
        return len(self.tiling.grid(*shape).windows)

    def _encode(self, lr, lr_up):
        if lr_up is not None:
            raise UserError("this model has no use for LR↑: leave lr_up out")
        return np.asarray(lr, np.float32)

    def draw(self, condition, sampling, seed=0, progress=None, noise=None, callback=None):
        """See :class:`Upscaler`; seed, noise and callback have no effect, since nothing is sampled here."""
        grid = self._grid(condition)
        result = np.zeros((*condition.shape[:2], *grid.size), np.float32)
        for window in grid.windows:
            grid.add(result, self.networks.regress(grid.read(condition, window)[0]), window)
            if progress is not None:
                progress()
        if sampling.consistency:
            BackProjection(*condition.shape[2:], self.scale).fit(result, condition)
        return result


def to_network(pictures):
    """List of uint8 or uint16 (H, W, 3), all of one size and dtype → (B, 3, H, W) float32 in [−1, 1]."""
    pictures = np.stack(pictures)
    half = np.iinfo(pictures.dtype).max / 2
    return pictures.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(half) - 1


def to_pixels(pictures, dtype=np.uint8):
    """(B, 3, H, W) float32 in about [−1, 1] → (B, H, W, 3) uint8 or uint16."""
    result, largest = np.empty((pictures.shape[0], *pictures.shape[2:], 3), dtype), np.iinfo(dtype).max
    for rows in strips(pictures.shape[2]):
        part = pictures[:, :, rows].transpose(0, 2, 3, 1)
        result[:, rows] = np.clip(np.rint((part + 1) * (largest / 2)), 0, largest)
    return result


def strips(height):
    """Rows, 64 at a time, as slices: the temporaries of a whole 8K picture would take gigabytes."""
    return [slice(top, top + 64) for top in range(0, height, 64)]
