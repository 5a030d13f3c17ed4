"""The networks on the CPU, from ``src.models.channel_last``: NumPy in, NumPy out, like ``networks``."""

import math

import numpy as np
from mindspore import Tensor

from src.errors import UserError


class ChannelLastRegression:
    """RRDB: one graph for one picture; a batch is its pictures one after the other.

    Args:
        net: maps lr (1, 3, h, w) and tables to (1, 3, H, W).
        tables: gives the tables, NumPy, for (height, width) of lr.
    """

    products = True  # no convolutions: what the memory is estimated by

    def __init__(self, net, tables):
        self._net, self._tables = net, _OfLastSize(tables)

    def cells(self):
        """The Cells that every picture runs."""
        return [self._net]

    def regress(self, lr):
        """(B, 3, h, w) → (B, 3, H, W), float32 NumPy."""
        return np.concatenate([self._net(_tensor(one), *self._tables(lr.shape)).asnumpy() for one in _singly(lr)])


class ChannelLastNetworks:
    """One graph to encode, one to denoise, each for one picture; a batch is its pictures one after the other.

    Args:
        encode: maps lr (1, 3, h, w) and tables to the condition (pixels, channels) and LR↑ (1, 3, H, W).
        denoise: maps x_t (1, 3, H, W), t (1,) int32, the condition and tables to the prediction (1, 3, H, W).
        encode_tables, denoise_tables: give the tables, NumPy, for (height, width) of lr and of x_t.
        uses_lr_up: whether the condition depends on LR↑, so that no other than the network's own can be taken.
    """

    products = True  # no convolutions: what the memory is estimated by
    lr_up_suffices = False  # LR itself is needed beside a given LR↑

    def __init__(self, encode, denoise, encode_tables, denoise_tables, uses_lr_up=False):
        self._uses_lr_up = uses_lr_up
        self._encode = encode
        self._denoise = denoise
        self._tables = {encode: _OfLastSize(encode_tables), denoise: _OfLastSize(denoise_tables)}

    def cells(self):
        """The Cells that every picture runs, in the order of use."""
        return [self._encode, self._denoise]

    def encode(self, lr, lr_up=None):
        """Return a condition for each picture, and LR↑ as float32 NumPy: the given one, or the network's own."""
        if lr_up is not None and self._uses_lr_up:
            raise UserError("this model's condition is computed from its own LR↑: leave lr_up out")
        found = [self._encode(_tensor(one), *self._tables[self._encode](lr.shape)) for one in _singly(lr)]
        own = [up.asnumpy() for _, up in found] if lr_up is None else None
        return [condition for condition, _ in found], np.concatenate(own) if lr_up is None else lr_up

    def cut(self, conditions, lr_size, corner, size):
        """The condition of a rectangle of the LR picture, as NumPy, which :meth:`denoise` takes as well.

        Args:
            conditions: from :meth:`encode`.
            lr_size: (height, width) of the LR picture that was encoded.
            corner, size: (top, left) and (height, width) of the rectangle, LR pixels.
        """
        times = math.isqrt(len(conditions[0]) // math.prod(lr_size))
        rows, columns = (slice(n * times, (n + m) * times) for n, m in zip(corner, size, strict=True))
        pictures = [one.asnumpy().reshape(*(n * times for n in lr_size), -1) for one in conditions]
        return np.stack([picture[rows, columns].reshape(-1, picture.shape[2]) for picture in pictures])

    def denoise(self, x_t, t, conditions):
        """The network's prediction for x_t, float32 NumPy (B, 3, H, W)."""
        if len(x_t) != len(conditions):
            raise UserError(f"x_t has {len(x_t)} pictures, the condition {len(conditions)}: encode what is denoised")
        tables = self._tables[self._denoise](x_t.shape)
        found = []
        for x, step, condition in zip(_singly(x_t), _singly(t), conditions, strict=True):
            condition = condition if isinstance(condition, Tensor) else _tensor(condition)
            found.append(self._denoise(_tensor(x), _tensor(step), condition, *tables).asnumpy())
        return np.concatenate(found)


class _OfLastSize:
    """Tables as tensors, kept as long as the size stays: one picture's steps, or tiles of one size."""

    def __init__(self, make):
        self._make = make
        self._size, self._tensors = None, None

    def __call__(self, shape):
        if self._size != shape[2:]:
            self._tensors = [Tensor(table) for table in self._make(*shape[2:])]
            self._size = shape[2:]
        return self._tensors


def _singly(array):
    return [array[i : i + 1] for i in range(len(array))]


def _tensor(array):
    return Tensor(np.ascontiguousarray(array))
