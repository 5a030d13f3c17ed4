"""Pictures in temporary files without a name, which are gone when the process is, however it ends."""

import errno
import math
import os
import shutil
import tempfile

import numpy as np

from ..errors import UserError
from .rows import Rows

LARGE = 1 << 28  # bytes of a picture beyond which it is not held in memory


def new_picture(shape, dtype):
    """A picture (H, …) to be filled by ``picture[rows] = …``: an array, or :class:`Stored` if that would be large."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return np.empty(shape, dtype) if size <= LARGE else stored_picture(shape, dtype)


def stored_picture(shape, dtype):
    """The same, always :class:`Stored`."""
    return Stored(_temporary_file(math.prod(shape) * np.dtype(dtype).itemsize), shape, dtype)


class Stored(Rows):
    """A picture (H, …) in a file, from a byte on; ``picture[rows] = …`` writes rows, a slice without a step."""

    def __init__(self, file, shape, dtype, first=0):
        super().__init__(shape, dtype, self._fetch)
        self._file, self._first = file, first
        self._row = math.prod(shape[1:]) * self.dtype.itemsize  # bytes

    def __setitem__(self, rows, values):
        start, stop, _ = rows.indices(len(self))
        whole = np.empty((stop - start, *self.shape[1:]), self.dtype)
        whole[:] = values
        try:
            self._file.seek(self._first + start * self._row)
            self._file.write(whole)
            self._file.flush()
        except OSError as error:
            raise UserError(
                f"cannot keep a picture in {tempfile.gettempdir()} while it is made ({error.strerror}): set TMPDIR to "
                "another folder"
            ) from error

    def _fetch(self, rows):
        result = np.empty((rows.stop - rows.start, *self.shape[1:]), self.dtype)
        self._file.seek(self._first + rows.start * self._row)
        self._file.readinto(result)
        return result


class Spool:
    """A picture (B, C, H, W) float32 in a file: ``spool[b, c][rows]`` reads rows (a slice) of a plane, and writes them.

    The file is in $TMPDIR or the system's folder; a UserError says where that has too little room.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, shape):
        self.shape = tuple(shape)
        plane = self.dtype.itemsize * math.prod(shape[2:])
        places = list(np.ndindex(self.shape[:2]))
        file = _temporary_file(plane * len(places))
        self._planes = {place: Stored(file, shape[2:], self.dtype, n * plane) for n, place in enumerate(places)}

    def __getitem__(self, plane):
        return self._planes[plane]

    def rows(self, rows):
        """Those rows of all planes, (B, C, n, W)."""
        planes = [plane[rows] for plane in self._planes.values()]
        return np.stack(planes).reshape(*self.shape[:2], *planes[0].shape)

    def write_rows(self, rows, values):
        for place, plane in self._planes.items():
            plane[rows] = values[place]


def _temporary_file(size):
    """A file for so many bytes, which are taken now, since hours pass until the last of them is written."""
    folder, file = tempfile.gettempdir(), tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the picture
    try:
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, "disk full")
        if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return file
        raise UserError(
            f"{folder} has no room for the {size / 2**30:.1f} GB of a picture while it is made ({error.strerror}): set "
            "TMPDIR to a folder that has, or enlarge smaller pictures"
        ) from None  # of which smaller pictures need not fail
    return file
