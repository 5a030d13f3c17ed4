"""A graph that holds a whole sampler, over pictures of any size: windows of the one size that it takes."""

import numpy as np

from src.diffusion.samplers import SeededNoise, seeds_of
from src.errors import UserError
from src.imaging.back_projection import BackProjection
from src.inference.diffusion_upscaler import FromNothing
from src.inference.sampling import Sampling, sampling_of
from src.inference.upscaler import Upscaler


class SamplerUpscaler(Upscaler):
    """Sampler, steps and temperature are the graph's own; only the seed is free.

    Args:
        graph: maps lr (B, 3, h, w), if it looks at pictures, and noise (draws, B, 3, H, W) to a picture (B, 3, H, W),
            NumPy.
        config: as in :class:`Upscaler`; its ``eval`` says what the graph does.
        tiling: a :class:`src.inference.tile_size.FixedTiling`.
        batch: B.
        draws: the first size of the noise.
    """

    def __init__(self, graph, config, tiling, batch, draws):
        super().__init__(None, config, tiling)
        self._graph, self._batch, self._draws = graph, batch, draws

    def check(self, samples=1, **options):
        """Refuse options that differ from what the graph does; see :class:`Upscaler`."""
        if samples < 1:
            raise UserError(f"the number of samples must be at least 1, not {samples}")
        own = sampling_of(self.config)
        given = Sampling(**options)
        for name, value in given._asdict().items():
            if value is not None and value != getattr(own, name):
                raise UserError(
                    f"{name} is {getattr(own, name)} in this graph of a whole sampler, not {value}: leave it out, or "
                    "export with --graph step"
                )

    def check_process(self):
        """Refuse: the graph shows its result alone; see :class:`Upscaler`."""
        raise UserError(
            "the steps of a graph of a whole sampler cannot be seen: leave --process out, or export with --graph step"
        )

    def passes(self, shape, **options):
        """See :class:`Upscaler`."""
        return len(self.tiling.grid(*shape).windows) * -(-shape[0] // self._batch)

    def encode(self, lr, lr_up=None):
        """Nothing is computed beforehand: the LR pictures."""
        if lr_up is not None:
            raise UserError("this graph of a whole sampler makes LR↑ itself: leave lr_up out")
        if lr is None:
            raise UserError("this model enlarges pictures: give them as lr, an array (B, 3, h, w)")
        return np.asarray(lr, np.float32)

    def draw(self, condition, seed=0, progress=None, noise=None, callback=None, **options):
        """Draw HR pictures.

        Args:
            condition: LR pictures (B, 3, h, w) float32 in [−1, 1].
            seed: an int for the batch (its pictures take seed, seed + 1, …) or one int for each picture.
            progress: called after each run of the graph.
            noise: ``noise(k, shape)`` gives the k-th draw; None takes a seeded source.
            callback: called after the last step, for each of them, as ``callback(k, None, picture, picture)``.
            options: those of :class:`src.inference.sampling.Sampling`, see :meth:`check`.

        Returns:
            (B, 3, H, W) float32 NumPy in about [−1, 1].
        """
        self.check(**options)
        grid = self._grid(condition)
        result = self._windows(grid, self._pictures(condition), condition.shape[0], seed, progress, noise)
        if self.config.eval.consistency and not (grid.whole and grid.window_size == grid.size):
            BackProjection(*condition.shape[2:], self.scale).fit(result, condition)
        if callback is not None:
            for k in range(self.config.eval.steps):
                callback(k, None, result, result)
        return result

    def _pictures(self, condition):
        """What the graph takes beside noise: the LR pictures."""
        return [condition]

    def _windows(self, grid, pictures, count, seed, progress, noise):
        """The graph over all windows: (count, 3, H, W); of pictures there is one array (count, 3, h, w), or none."""
        shape = (count, 3, *grid.size)
        if noise is None:
            noise = SeededNoise(seeds_of(seed, count))
        draws = [noise(k, shape) for k in range(self._draws)]
        result = np.zeros(shape, np.float32)
        for window in grid.windows:
            lr = [grid.read(picture, window)[0] for picture in pictures]
            z = np.stack([grid.read(draw, window)[0] for draw in draws])
            for first in range(0, count, self._batch):
                part = slice(first, first + self._batch)
                grid.add(result[part], self._run([picture[part] for picture in lr], z[:, part]), window)
                if progress is not None:
                    progress()
        return result

    def _run(self, lr, noise):
        """The graph on up to its batch of pictures; a smaller one is filled with the last picture."""
        missing = self._batch - noise.shape[1]
        if missing:
            lr = [np.concatenate([picture, picture[-1:].repeat(missing, 0)]) for picture in lr]
            noise = np.concatenate([noise, noise[:, -1:].repeat(missing, 1)], axis=1)
        return self._graph(*lr, noise)[: self._batch - missing]


class SamplerGenerator(FromNothing, SamplerUpscaler):
    """A :class:`SamplerUpscaler` :class:`FromNothing`; its pictures have the one size of the graph."""

    @property
    def usual_size(self):
        """(height, width) of pictures: the graph's."""
        return self.tiling.grid(1, 1, 1).window_size

    def from_nothing(self, shape):
        """As in :class:`FromNothing`, of the graph's size alone: tiles would be pictures of their own."""
        condition = super().from_nothing(shape)
        height, width = self.usual_size
        if tuple(shape[2:]) != (height, width):
            raise UserError(
                f"this graph of a whole sampler makes pictures of {width} x {height}, not {shape[3]} x {shape[2]}: "
                "ask for these, or export with --graph step"
            )
        return condition

    def _grid(self, condition):
        return condition.grid

    def _pictures(self, condition):
        return []
