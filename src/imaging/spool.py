"""A picture in a temporary file, for what goes through all of it, plane by plane, in strips of rows."""

import math
import shutil
import tempfile

import numpy as np

from src.errors import UserError


class Spool:
    """A picture (B, C, H, W) float32: ``spool[b, c][rows]`` reads rows (a slice) of a plane, and writes them.

    The file is in $TMPDIR or the system's folder; a UserError says where that has too little room.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, shape):
        self.shape, size = tuple(shape), self.dtype.itemsize * math.prod(shape)
        folder = tempfile.gettempdir()
        if shutil.disk_usage(folder).free < size:
            raise UserError(
                f"{folder} has no room for the {size / 2**30:.1f} GB of this picture while it is made: set TMPDIR to a "
                "folder that has, or leave consistency out"
            )
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it lives as long as this

    def __getitem__(self, plane):
        return _Plane(self._file, int(np.ravel_multi_index(plane, self.shape[:2])), self.shape[2:])

    def rows(self, rows):
        """Those rows of all planes, (B, C, n, W)."""
        planes = [self[plane][rows] for plane in np.ndindex(self.shape[:2])]
        return np.stack(planes).reshape(*self.shape[:2], *planes[0].shape)

    def write_rows(self, rows, values):
        for plane in np.ndindex(self.shape[:2]):
            self[plane][rows] = values[plane]


class _Plane:
    def __init__(self, file, number, size):
        self._file, self._first, self._width = file, number * size[0], size[1]

    def __getitem__(self, rows):
        self._seek(rows)
        return np.fromfile(self._file, np.float32, (rows.stop - rows.start) * self._width).reshape(-1, self._width)

    def __setitem__(self, rows, values):
        self._seek(rows)
        np.ascontiguousarray(values, np.float32).tofile(self._file)

    def _seek(self, rows):
        self._file.seek((self._first + rows.start) * self._width * Spool.dtype.itemsize)
