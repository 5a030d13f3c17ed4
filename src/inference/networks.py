"""The networks behind an upscaler: NumPy in, NumPy out, whether they come from a checkpoint or from a MindIR file."""

import numpy as np
from mindspore import Tensor

from src.errors import UserError


class RegressionNetworks:
    """RRDB: one graph.

    Args:
        net: maps a tensor (B, 3, h, w) to (B, 3, H, W), float32.
    """

    def __init__(self, net):
        self.net = net

    def cells(self):
        """The Cells that every picture runs."""
        return [self.net]

    def regress(self, lr):
        """(B, 3, h, w) → (B, 3, H, W), float32 NumPy."""
        return self.net(_tensor(lr)).asnumpy()


class DiffusionNetworks:
    """SRDiff: one graph to encode, one to denoise.

    Args:
        encode: maps lr (B, 3, h, w) to the condition and LR↑ (B, 3, H, W).
        denoise: maps x_t (B, 3, H, W), t (B,) int32 and the condition to the prediction (B, 3, H, W).
        project: maps lr and a given LR↑ to the condition; None where the condition needs LR↑ and only the
            network's own can be had.
        uses_lr_up: whether the condition depends on LR↑.
    """

    def __init__(self, encode, denoise, project=None, uses_lr_up=False):
        self._encode = encode
        self._denoise = denoise
        self._project = project
        self._uses_lr_up = uses_lr_up

    def cells(self):
        """The Cells that every picture runs, in the order of use."""
        return [self._encode, self._denoise]

    def encode(self, lr, lr_up=None):
        """Return the condition as a tensor, and LR↑ as float32 NumPy: the given one, or the network's own."""
        if lr_up is not None and self._uses_lr_up:
            if self._project is None:
                raise UserError("this exported model computes LR↑ itself: leave lr_up out, or use the checkpoint")
            return self._project(_tensor(lr), _tensor(lr_up)), lr_up
        condition, own = self._encode(_tensor(lr))
        return condition, own.asnumpy() if lr_up is None else lr_up

    def cut(self, condition, lr_size, corner, size):
        """The condition of a rectangle of the LR picture, as NumPy, which :meth:`denoise` takes as well.

        Args:
            condition: from :meth:`encode`.
            lr_size: (height, width) of the LR picture that was encoded.
            corner, size: (top, left) and (height, width) of the rectangle, LR pixels.
        """
        array = condition.asnumpy()
        times = array.shape[2] // lr_size[0]
        rows, columns = (slice(n * times, (n + m) * times) for n, m in zip(corner, size, strict=True))
        return np.ascontiguousarray(array[:, :, rows, columns])

    def denoise(self, x_t, t, condition):
        """The network's prediction for x_t, float32 NumPy (B, 3, H, W)."""
        return self._denoise(_tensor(x_t), _tensor(t), _tensor(condition)).asnumpy()


def _tensor(array):
    return array if isinstance(array, Tensor) else Tensor(np.ascontiguousarray(array))
