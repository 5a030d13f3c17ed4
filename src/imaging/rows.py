"""Pictures that are gone through from top to bottom and need never be held whole."""

import numpy as np

_ROWS = 64


class Rows:
    """A picture, (H, …), of which ``read(slice)`` makes or fetches rows, (n, …).

    ``picture[rows]``, of a slice without a step, is an array of its own, as of NumPy's pictures it is a view.
    ``np.asarray(picture)`` is all of it.
    """

    def __init__(self, shape, dtype, read):
        self.shape, self.dtype, self._read = tuple(shape), np.dtype(dtype), read
        self.ndim = len(self.shape)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        start, stop, _ = rows.indices(len(self))
        return self._read(slice(start, stop))

    def __array__(self, dtype=None, copy=None):
        result = np.empty(self.shape, dtype or self.dtype)
        for rows in strips(len(self)):
            result[rows] = self[rows]
        return result


def strips(height):
    """Rows, 64 at a time, as slices: the temporaries of a whole 8K picture would take gigabytes."""
    return [slice(top, min(top + _ROWS, height)) for top in range(0, height, _ROWS)]
