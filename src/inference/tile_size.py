"""The size of the tiles, from a memory budget and what a network needs."""

import functools
import logging
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

try:
    import psutil
except ImportError:  # not where exported models run alone
    psutil = None

from ..errors import UserError
from ..host.ranks import launched_size
from ..imaging.spool import LARGE
from .tiling import Grid, check_tile

GIB = 1 << 30
HALO = 48  # HR pixels; docs/tiling.md has what other halos deviate by
MARGIN = 16  # LR pixels that the encoder sees around a tile; the same
_SMALLEST = 384  # HR pixels; smaller tiles would be halo for the most part
_FIXED = 512  # HR pixels, the side of tiles of one size
_WORKSPACE = GIB // 4  # what a pass takes however small its window: the libraries' own buffers
_PICTURE = 12  # bytes of one HR pixel: three colours in float32
_RESULT, _PILLOWS = 8, 4  # of one of a result in memory: as it is written, and of that Pillow's copy meanwhile
_SHARE = 0.7  # of what is free: other programs want some, and the estimates are no more than that
# (limit, use, statistics, name) of control groups, version 2 and 1: what a container may have. Use counts files that
# were read and can be dropped, whose number stands under that name in the statistics.
_CONTROL_GROUPS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


@dataclass(frozen=True)
class TileOptions:
    """What a user asks for."""

    max_memory: float | None = None  # GB (2^30 bytes) that may be used in all; None takes most of what is free
    tile: int | None = None  # largest side of a tile, HR pixels with its halo; 0 never cuts; None takes what fits
    halo: int | None = None  # HR pixels on each side of a tile; None: HALO, or less if one pass sees less far
    fixed: bool | None = None  # tiles of one size, whatever the picture's, for graphs of that size; None: on an Ascend
    beside: int = 0  # HR pictures in float32 that the caller has beside, such as a mean over samples
    # bytes of an HR pixel that writing takes, where large results are in files till then; None: all are kept in memory
    writing: int | None = None

    def __post_init__(self):
        if self.max_memory is not None and not 0 < self.max_memory < math.inf:
            raise UserError(f"--max-memory must be a number of GB above 0, not {self.max_memory}")
        if self.tile is not None and self.tile < 0:
            raise UserError(f"--tile must be a number of pixels, 0 for whole pictures, not {self.tile}")
        if self.halo is not None and not 0 <= self.halo < 10**6:
            raise UserError(f"--halo must be a number of pixels, not {self.halo}")
        if self.fixed and self._names_another_size:
            raise UserError("--fixed-tiles are of the size --tile: leave --max-memory and --tile 0 out")

    @property
    def _names_another_size(self):
        return self.tile == 0 or self.max_memory is not None

    def on(self, device, local):
        """These options for a device, whose compiler may want one size; ``local`` as of :class:`Reach`."""
        if self.fixed is not None:
            return self
        return replace(self, fixed=device == "Ascend" and local and not self._names_another_size)


class Reach(NamedTuple):
    """How far the networks see."""

    network: int  # radius of what runs on tiles, HR pixels
    encoder: int = 0  # radius of the condition, LR pixels; 0 where nothing is encoded beforehand
    local: bool = True  # False where a layer sees the whole picture (attention, normalisation)


class Cost(NamedTuple):
    """What the networks need, in bytes."""

    denoise: float  # of a pass, per HR pixel of its window
    encode: float = 0  # of encoding, per LR pixel of a window with its margin
    features: float = 0  # of the condition that is kept, per HR pixel
    pictures: int = 2  # pictures of a window's size in float32 that live at once
    pairs: float = 0  # of a pass, per pair of HR pixels of one picture's window, which attention compares


class Memory(NamedTuple):
    """Bytes that may be used beyond what is used already."""

    networks: float = math.inf  # of the memory where the networks run
    machine: float | None = None  # of the machine's memory, where the networks have their own; None: they share it
    used: int = 0  # what is used already where the networks run


class Tiling:
    """Cuts pictures into windows for one model; ``scale``, ``size_multiple`` and ``edges`` are as of ``tiling.Grid``.

    ``budget() → Memory``, such as :func:`free_memory`, is asked whenever pictures are cut. Networks keep much of what a
    picture took for the next one: where they alone use memory, ask once and remember.
    """

    def __init__(self, scale, size_multiple, reach, cost, options=None, budget=Memory, edges="symmetric"):
        options = options or TileOptions()
        self.scale, self._edges = scale, edges
        # HR pixels around a window, and LR pixels that the encoder sees around it
        one_pass = reach.local and not reach.encoder  # of others, each step sees farther than the one before
        enough = min(HALO, reach.network) if one_pass else HALO
        self.halo, self.margin = enough if options.halo is None else options.halo, max(min(reach.encoder, MARGIN), 2)
        self._sharp = reach.local and self.halo >= enough  # windows agree to far less than a level where they meet
        self._size_multiple, self._reach, self._cost, self._options = size_multiple, reach, cost, options
        self._budget, self._warned = budget, set()
        if options.tile:
            check_tile(options.tile, self.halo, math.lcm(scale, size_multiple))

    def grid(self, batch, height, width):
        """The :class:`src.inference.tiling.Grid` of a batch of LR pictures; :class:`TileOptions` decide its windows."""
        whole, free = self._cut(height, width, 0), self._budget()
        if self._options.tile is None and self._fits(whole, batch, free):
            return whole
        left = free.networks if free.machine is None else free.machine
        if (kept := self._kept(whole) * batch) > left:
            raise self._refused(whole, kept, left)
        if self._options.tile is not None:
            grid = self._cut(height, width, self._options.tile)
        else:
            grid = self._largest(height, width, batch, free)
        if not grid.whole and not self._reach.local:
            self._warn_once("this network looks at the whole picture (attention or normalisation), its tiles cannot")
        return grid

    def batch(self, wanted, height, width):
        """How many LR pictures of a size to take together: as many as wanted if they fit uncut, else fewer."""
        whole, free, fitting = self._cut(height, width, 0), self._budget(), 1
        while fitting < wanted and self._fits(whole, fitting + 1, free):
            fitting += 1
        return fitting

    def describe(self, grid, batch):
        """Say in words what a grid's windows are, their work, and how much memory they will have taken in the end."""
        free = self._budget()
        return f"{_tiles(grid)}, about {(free.used + self.memory(grid, batch, free)) / GIB:.1f} GB"

    def settings(self):
        """What decides how pictures are cut, as a dict for reports."""
        options = self._options
        tile = "as memory allows" if options.tile is None else options.tile
        return {"tile": tile, "halo": self.halo, "max_memory": options.max_memory}

    def memory(self, grid, batch, free=None):
        """Bytes that a batch needs where the networks run, beyond what is used already."""
        on_machine = (free or self._budget()).machine is None
        pixels = math.prod(grid.window_size) * batch
        rows, columns = (side // self.scale + 2 * self.margin for side in grid.window_size)
        denoise = pixels * (self._cost.denoise + self._cost.pairs * math.prod(grid.window_size))
        window = max(denoise, rows * columns * batch * self._cost.encode) + _WORKSPACE
        return window + pixels * self._cost.features + (self._pictures(grid, batch) if on_machine else 0)

    def _fits(self, grid, batch, free):
        pictures_fit = free.machine is None or self._pictures(grid, batch) <= free.machine
        return pictures_fit and self.memory(grid, batch, free) <= free.networks

    def _pictures(self, grid, batch):
        """Bytes of the machine's memory: what a window's sampling holds, and what grows with the picture."""
        at_once = math.prod(map(min, grid.size, grid.window_size)) * self._cost.pictures
        if not grid.whole:
            at_once += 2 * grid.window_size[0] * grid.size[1]  # a strip of the result, and as much of noise
        return batch * (at_once * _PICTURE + self._kept(grid))

    def _kept(self, grid):
        """Bytes that grow with the picture: LR in float32, and what is not in files of the result and beside it."""
        pixels, writing = math.prod(grid.size), self._options.writing
        beside = 0 if pixels * _PICTURE > LARGE else self._options.beside
        in_file = writing is not None and self._is_large(grid)
        result = writing if in_file else _RESULT + max(0, (writing or 0) - _PILLOWS)
        return pixels * (result + _PICTURE * (beside + 1 / self.scale**2))

    def _is_large(self, grid):
        return 3 * math.prod(grid.size) > LARGE

    def _refused(self, grid, need, left):
        """The error of a result that takes so many bytes, where so many are left."""
        by_rows = self._options.writing and self._is_large(grid)
        remedy = "write a .png or .tif (--format png), by rows" if by_rows else "cut the picture into smaller ones"
        return UserError(
            f"the result of {math.prod(grid.size) / 1e6:.0f} million pixels and its input need {need / GIB:.1f} GB, "
            f"more than the {max(left, 0) / GIB:.1f} GB that are left for it: {remedy}, or raise --max-memory"
        )

    def _cut(self, height, width, tile):
        return Grid(
            height, width, self.scale, self._size_multiple, tile, self.halo, self._sharp, edges=self._edges
        )  # fmt: skip

    def _largest(self, height, width, batch, free):
        """The grid with the largest windows that fit, or else the smallest ones."""
        side = max(_SMALLEST, 4 * self.halo)
        grid = self._cut(height, width, side)
        while True:
            side += max(self._size_multiple, side // 8)
            larger = self._cut(height, width, side)
            if not self._fits(larger, batch, free):
                break
            grid = larger
        need = self.memory(grid, batch, free)
        if need > free.networks:
            if free.machine is None and self._options.writing and self._is_large(grid):
                raise self._refused(grid, need, free.networks)
            self._warn_once(
                f"this picture needs {(need + free.used) / GIB:.1f} GB or so, more than the "
                f"{(max(free.networks, 0) + free.used) / GIB:.1f} GB that may be used: going on with the smallest "
                "tiles"
            )
        return grid

    def _warn_once(self, message):
        if message not in self._warned:
            self._warned.add(message)
            logging.warning("%s", message)


class FixedTiling:
    """Cuts pictures into windows of one size; what :class:`Tiling` is to free sizes.

    The graphs take ``batch`` LR pictures of ``size`` (height, width). No ``halo``, HR pixels, takes the default, or
    less in small windows.
    """

    @classmethod
    def of(cls, scale, size_multiple, options, edges="symmetric"):
        """That of a :class:`TileOptions`, for one picture at a time."""
        unit = math.lcm(scale, size_multiple)
        side = check_tile(options.tile or _FIXED, HALO if options.halo is None else options.halo, unit)
        return cls(scale, size_multiple, (side // scale, side // scale), halo=options.halo, edges=edges)

    def __init__(self, scale, size_multiple, size, batch=1, halo=None, edges="symmetric"):
        self.size, self._edges = tuple(size), edges
        self.scale, self.margin = scale, 0
        self.halo = min(HALO, min(size) * scale // 4) if halo is None else halo
        self._size_multiple, self._sides, self._batch = size_multiple, tuple(side * scale for side in size), batch

    def grid(self, batch, height, width):
        return Grid(
            height, width, self.scale, self._size_multiple, halo=self.halo, sharp=False, sides=self._sides,
            edges=self._edges,
        )  # fmt: skip

    def batch(self, wanted, height, width):
        """As many pictures as the graphs take."""
        return self._batch

    def describe(self, grid, batch):
        return _tiles(grid)

    def settings(self):
        return {"tile": max(self._sides), "halo": self.halo, "max_memory": None}


def _tiles(grid):
    height, width = grid.window_size
    return f"{len(grid.windows)} tiles of {width} x {height} pixels, {grid.work:.1f} times the work of the whole"


def memory_budget(options, device=None, alone=False):
    """Return ``budget() → Memory`` of :class:`TileOptions` for a :class:`Tiling`; ``device`` as of :func:`free_memory`.

    Where the process does nothing but inference ``alone``, the free memory is that before the first picture, since the
    networks keep much of what a picture took for the next one.
    """
    budget = functools.partial(free_memory, options.max_memory, device)
    return functools.cache(budget) if alone else budget


def free_memory(max_memory=None, device=None):
    """The :class:`Memory` that is free now.

    ``max_memory`` are the GB (2^30 bytes) that may be used in all where the networks run; None takes most of what is
    free. ``device`` are the bytes of memory that the networks have of their own; None where they share the machine's.
    """
    limit = None if max_memory is None else max_memory * GIB
    if device is None:
        return Memory(host_budget(limit), used=host_use())
    return Memory(int(_SHARE * device) if limit is None else limit, host_budget())


def host_budget(limit=None, control_groups="/sys/fs/cgroup"):
    """Bytes that this process may still take, of ``limit`` in all or its rank's part of most of what is free.

    ``control_groups`` is where Linux keeps the limits of a container, which count like the machine's.
    """
    if limit is not None:
        return limit - host_use()
    free = psutil.virtual_memory().available if psutil else _statistic(Path("/proc/meminfo"), "MemAvailable:") << 10
    free = free or math.inf  # not told, as on macOS without psutil
    for maximum, use, statistics, name in _CONTROL_GROUPS:
        try:
            rest = int(Path(control_groups, maximum).read_text()) - int(Path(control_groups, use).read_text())
        except (OSError, ValueError):  # no such group, or "max": no limit
            continue
        free = min(free, max(rest + _statistic(Path(control_groups, statistics), name), 0))
    return free if free == math.inf else int(_SHARE * free / launched_size())


def _statistic(path, name):
    """The number in the line of that name; 0 where there is none."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
        return next((int(line[1]) for line in lines if line[:1] == [name]), 0)
    except (OSError, ValueError):
        return 0


def host_use():
    """Bytes that this process holds in the machine's memory."""
    if psutil:
        return psutil.Process(os.getpid()).memory_info().rss
    return _statistic(Path("/proc/self/status"), "VmRSS:") << 10
