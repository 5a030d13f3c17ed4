"""A graph that holds a whole sampler, over pictures of any size: windows of the one size that it takes."""

import numpy as np

from ..errors import UserError
from .condition import Condition
from .upscaler import Upscaler


class SamplerUpscaler(Upscaler):
    """Sampler, steps and temperature, in ``sampling``, are the graph's own; only the seed is free.

    ``graph`` maps lr (B, 3, h, w), if it looks at pictures, and noise (draws, B, 3, H, W) to a picture (B, 3, H, W),
    NumPy. ``tiling`` is a :class:`src.inference.tile_size.FixedTiling`; an unconditional graph makes pictures of its
    own size.
    """

    def __init__(self, graph, tiling, *, name, system, sampling, batch, draws, conditional=True):
        super().__init__(None, tiling, name=name, system=system, sampling=sampling)
        self._graph, self._batch, self._draws, self.conditional = graph, batch, draws, conditional
        if not conditional:
            self.usual_size = tiling.grid(1, 1, 1).window_size

    def resolve(self, defaults=None, **options):
        """See :class:`Upscaler`; refuses what differs from what the graph does."""
        own = self.sampling.replaced()
        asked = (defaults or own).replaced(**options)
        for name, value, fixed in zip(own._fields, asked, own, strict=True):
            if value != fixed:
                raise UserError(
                    f"{name} is {fixed} in this graph of a whole sampler, not {value}: leave it out, or export with "
                    "--graph step"
                )
        return own

    def check_process(self):
        raise UserError(
            "the steps of a graph of a whole sampler cannot be seen: leave --process out, or export with --graph step"
        )

    def passes(self, shape, sampling):
        return len(self.tiling.grid(*shape).windows) * -(-shape[0] // self._batch)

    def _encode(self, lr, lr_up):
        if lr_up is not None:
            raise UserError("this graph of a whole sampler makes LR↑ itself: leave lr_up out")
        if lr is None:
            raise UserError("this model enlarges pictures: give them as lr, an array (B, 3, h, w)")
        lr = np.asarray(lr, np.float32)
        return Condition(self._grid(lr), len(lr), lr=lr)

    def _unconditional(self, shape):
        height, width = self.usual_size
        if len(shape) == 4 and tuple(shape[2:]) != (height, width):
            raise UserError(
                f"this graph of a whole sampler makes pictures of {width} x {height}, not {shape[3]} x {shape[2]}: "
                "ask for these, or export with --graph step"
            )
        return super()._unconditional(shape)

    def _draw(self, condition, sampling, noise, progress=None, callback=None):
        """See :class:`Upscaler`; the callback comes after the last step, for each of them, with the picture twice."""
        grid, window, shape = condition.grid, condition.grid.windows[0], condition.shape
        inputs = [grid.read(condition.lr, window)[0]] if self.conditional else []
        z = np.stack([grid.read(noise(k, shape), window)[0] for k in range(self._draws)])
        result = np.empty(shape, np.float32)
        for first in range(0, shape[0], self._batch):
            part = slice(first, first + self._batch)
            result[part] = grid.crop(self._run([lr[part] for lr in inputs], z[:, part]))
            if progress is not None:
                progress()
        if callback is not None:
            for k in range(sampling.steps):
                callback(k, None, result, result)
        return result

    def _fits(self, condition, sampling):
        # a picture of the graph's own size agrees already
        return sampling.consistency and not (condition.grid.whole and condition.grid.window_size == condition.grid.size)

    def _run(self, inputs, noise):
        """The graph on up to its batch of pictures; a smaller one is filled with the last picture."""
        missing = self._batch - noise.shape[1]
        if missing:
            inputs = [np.concatenate([lr, lr[-1:].repeat(missing, 0)]) for lr in inputs]
            noise = np.concatenate([noise, noise[:, -1:].repeat(missing, 1)], axis=1)
        return self._graph(*inputs, noise)[: self._batch - missing]
