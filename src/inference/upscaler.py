"""LR pictures in, HR pictures out: what users, evaluation and the exported model's runner all call."""

import logging
from abc import ABC, abstractmethod

import numpy as np

from src.errors import UserError
from src.imaging.back_projection import BackProjection
from src.inference.sampling import Sampling, sampling_of

_ROWS = 64  # pictures become levels so many rows at a time: a whole 8K picture's temporaries would be 1.2 GB


class Upscaler(ABC):
    """Common to both systems: uint8 pictures to and from the network's arrays.

    Attributes:
        config: the model's resolved ``Config``.
        tiling: the :class:`src.inference.tile_size.Tiling` that cuts pictures into windows.
        scale: enlargement factor.
        name: of the model, for reports.
        needs_pictures: False for a model that makes pictures from nothing.
    """

    needs_pictures = True

    def __init__(self, networks, config, tiling):
        self.networks = networks
        self.config = config
        self.tiling = tiling
        self.scale = tiling.scale

    @property
    def name(self):
        """See above."""
        return self.config.name

    def about(self, **options):
        """What a log says of the model and of how it samples: a dict.

        Args:
            options: of sampling, those that were given; the others are the model's own.
        """
        resolved = Sampling(**options).filled(sampling_of(self.config))._asdict()
        if self.config.is_regression:
            resolved = {"consistency": resolved["consistency"]}
        return {"system": self.config.system, "scale": self.scale, **resolved}

    def batch(self, wanted, height, width):
        """How many LR pictures of a size to take together: as many as wanted where they fit the memory."""
        return self.tiling.batch(wanted, height, width)

    def tiles(self, shape):
        """Say in words how LR pictures of a shape (B, h, w) are cut; None where they are not."""
        grid = self.tiling.grid(*shape)
        return None if grid.whole else self.tiling.describe(grid, shape[0])

    def check_process(self):
        """Refuse a model whose steps cannot be shown.

        Raises:
            UserError: it has none, or they are inside a graph.
        """
        raise UserError("this model takes no steps that could be shown: leave --process out, or take a diffusion model")

    @abstractmethod
    def check(self, samples=1, **options):
        """Refuse options of :meth:`samples` that it would refuse, before any work.

        Raises:
            UserError: an option is unknown or out of range.
        """

    @abstractmethod
    def passes(self, shape, **options):
        """How often a network sees a window for one sample of LR pictures of a shape (B, h, w): what a bar counts."""

    @abstractmethod
    def encode(self, lr, lr_up=None):
        """What all samples of a batch share; lr (B, 3, h, w) float32 in [−1, 1].

        ``lr_up`` (B, 3, H, W) is used as given instead of the network's own LR↑, by models that take it.
        """

    def from_nothing(self, shape):
        """What :meth:`encode` returns, of a model that needs no picture; this one does, see ``PictureGenerator``."""
        raise UserError(f"this model enlarges pictures: give them as lr, and no shape {tuple(shape)}")

    @abstractmethod
    def draw(self, condition, seed=0, progress=None, **options):
        """One sample: what :meth:`encode` returned → (B, 3, H, W) float32 NumPy in about [−1, 1]."""

    def sample(self, lr, seed=0, progress=None, lr_up=None, shape=None, **options):
        """Encode and draw.

        Args:
            lr, lr_up: as in :meth:`encode`.
            shape: (B, 3, H, W), instead of both for a model that makes pictures from nothing.
            seed, progress, options: as in :meth:`draw`.

        Returns:
            (B, 3, H, W) float32 NumPy in about [−1, 1].

        Raises:
            UserError: an option is unknown or out of range.
        """
        self.check(**of_sampling(options))
        if shape is None:
            return self.draw(self.encode(lr, lr_up), seed, progress, **options)
        if lr is not None or lr_up is not None:
            raise UserError("the shape of the result is that of lr: leave one of them out")
        return self.draw(self.from_nothing(shape), seed, progress, **options)

    def upscale(self, pictures, seeds=None, **options):
        """Upscale pictures of one size as one batch.

        Args:
            pictures: list of uint8 (h, w, 3) RGB, all of one size.
            seeds: one int for each picture; by default 0, 1, 2, …
            options: of :meth:`draw`; or ``lr_up``, see :meth:`samples`.

        Returns:
            list of uint8 (H, W, 3).
        """
        return list(levels(next(self.samples(pictures, seeds, 1, **options))))

    def samples(self, pictures, seeds=None, count=1, lr_up=None, **options):
        """Draw several samples of the same pictures; what does not depend on the noise is computed once.

        Args:
            pictures, seeds, options: as in :meth:`upscale`.
            count: how many; sample k takes the seeds plus k.
            lr_up: list of uint8 (H, W, 3), used as given instead of the network's own enlarged pictures; of diffusion
                models only.

        Yields:
            (B, 3, H, W) float32, about [−1, 1], ``count`` times.

        Raises:
            UserError: an option is unknown or out of range.
        """
        self.check(count, **of_sampling(options))
        seeds = range(len(pictures)) if seeds is None else seeds
        given = {} if lr_up is None else {"lr_up": arrays(lr_up)}
        condition = self.encode(arrays(pictures), **given)
        for k in range(count):
            yield self.draw(condition, [seed + k for seed in seeds], **options)

    def _grid(self, lr):
        if lr.ndim != 4 or lr.shape[1] != 3 or 0 in lr.shape:
            raise UserError(f"LR pictures must be an array (B, 3, h, w), not {tuple(lr.shape)}")
        return self.tiling.grid(lr.shape[0], *lr.shape[2:])


class RegressionUpscaler(Upscaler):
    """One forward pass: RRDB.

    Args:
        networks: with ``regress(lr) → sr``, NumPy to NumPy.
        config, tiling: as in :class:`Upscaler`.
    """

    def check(self, samples=1, consistency=None, **options):
        """Say once that options of sampling have no effect, if there are any; see :class:`Upscaler`."""
        if samples != 1:
            raise UserError(f"this model samples nothing, {samples} samples would be equal: take 1, or an SRDiff model")
        if any(value is not None for value in options.values()):
            logging.warning("this model samples nothing: the options of sampling have no effect")

    def passes(self, shape, **options):
        """See :class:`Upscaler`."""
        return len(self.tiling.grid(*shape).windows)

    def encode(self, lr, lr_up=None):
        """Nothing is computed beforehand: the LR pictures."""
        if lr_up is not None:
            raise UserError("this model has no use for LR↑: leave lr_up out")
        return np.asarray(lr, np.float32)

    def draw(self, condition, seed=0, progress=None, consistency=None, callback=None, **options):
        """Upscale a batch.

        Args:
            condition: (B, 3, h, w) float32 in [−1, 1].
            progress: called after each pass of the network.
            consistency: make the result agree with the LR picture; None takes the model's default.
            seed, callback, options: accepted and without effect, since nothing is sampled here.

        Returns:
            (B, 3, H, W) float32 NumPy.
        """
        grid = self._grid(condition)
        result = np.zeros((*condition.shape[:2], *grid.size), np.float32)
        for window in grid.windows:
            grid.add(result, self.networks.regress(grid.read(condition, window)[0]), window)
            if progress is not None:
                progress()
        if self.config.eval.consistency if consistency is None else consistency:
            BackProjection(*condition.shape[2:], self.scale).fit(result, condition)
        return result


def arrays(pictures):
    """List of uint8 (H, W, 3), all of one size → (B, 3, H, W) float32 in [−1, 1]."""
    return np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1


def levels(pictures):
    """(B, 3, H, W) float32 in about [−1, 1] → (B, H, W, 3) uint8."""
    result = np.empty((pictures.shape[0], *pictures.shape[2:], 3), np.uint8)
    for top in range(0, pictures.shape[2], _ROWS):
        rows = pictures[:, :, top : top + _ROWS].transpose(0, 2, 3, 1)
        result[:, top : top + _ROWS] = np.clip(np.rint((rows + 1) * 127.5), 0, 255)
    return result


def of_sampling(options):
    """Those of the options that say how to sample."""
    return {name: value for name, value in options.items() if name in Sampling._fields}
