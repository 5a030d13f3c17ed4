"""The networks behind an upscaler: NumPy in, NumPy out, whether they come from a checkpoint or from an exported model.

A graph here is called with NumPy arrays, or with what a graph returned, and returns a tuple of arrays of its own kind
(MindSpore's tensors, NumPy): what goes from one graph to the next stays on the device.
"""

import numpy as np

from ..errors import UserError


class RegressionNetworks:
    """A network that makes its picture in one pass: ``graph`` maps (B, 3, h, w) to (B, 3, H, W), float32."""

    def __init__(self, graph):
        self.graph = graph

    def regress(self, lr):
        return as_numpy(self.graph(lr)[0])


class DiffusionNetworks:
    """One graph to encode, one to denoise.

    Args:
        encode: maps lr (B, 3, h, w) to the condition and LR↑ (B, 3, H, W); None for an unconditional model.
        denoise: maps x_t (B, 3, H, W), t (B,) and the condition, if there is one, to the prediction (B, 3, H, W).
        project: maps lr and a prepared LR↑ to the condition; None where the condition needs LR↑ and only the
            network's own can be had.
        uses_lr_up: whether the condition depends on LR↑.
    """

    lr_up_suffices = False  # whether a prepared LR↑ makes LR itself unnecessary

    def __init__(self, encode, denoise, project=None, uses_lr_up=False):
        self._encode, self._denoise, self._project = encode, denoise, project
        self._uses_lr_up = uses_lr_up

    def encode(self, lr, lr_up=None):
        """The condition as the graph gave it, and LR↑ as float32 NumPy: the prepared one, or else the network's own."""
        if lr_up is not None and self._uses_lr_up:
            if self._project is None:
                raise UserError("this export computes LR↑ itself: leave lr_up out, or load with runtime=mindspore")
            return self._project(lr, lr_up)[0], lr_up
        condition, own = self._encode(lr)
        return condition, as_numpy(own) if lr_up is None else lr_up

    def cut(self, condition, lr_size, corner, size):
        """The condition of a rectangle of the LR picture of ``lr_size``, as NumPy, which :meth:`denoise` takes as well.

        ``corner`` is the rectangle's (top, left), ``size`` its (height, width), in LR pixels.
        """
        array = as_numpy(condition)
        times = array.shape[2] // lr_size[0]
        rows, columns = (slice(n * times, (n + m) * times) for n, m in zip(corner, size, strict=True))
        return np.ascontiguousarray(array[:, :, rows, columns])

    def denoise(self, x_t, t, *condition):
        """The network's prediction for x_t, float32 NumPy (B, 3, H, W); an unconditional one takes no condition."""
        return as_numpy(self._denoise(x_t, t, *condition)[0])


class EnlargedNetworks(DiffusionNetworks):
    """Networks whose condition is LR↑ itself."""

    lr_up_suffices = True

    def encode(self, lr, lr_up=None):
        return super().encode(lr) if lr_up is None else (lr_up, lr_up)


def as_numpy(value):
    """A graph's array as NumPy."""
    return value if isinstance(value, np.ndarray) else value.asnumpy()
