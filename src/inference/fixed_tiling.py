"""Windows of one size, for graphs that take no other."""

from src.errors import UserError
from src.inference.tile_choice import HALO
from src.inference.tiling import Grid


class FixedTiling:
    """Cuts pictures into windows of one size; what :class:`src.inference.tile_choice.Tiling` is to free sizes.

    Args:
        scale, size_multiple: as in :class:`src.inference.tiling.Grid`.
        size: (height, width) of the LR pictures that the graphs take.
        batch: how many of them.
        options: a ``src.inference.tile_choice.TileOptions``, of which the halo counts.

    Raises:
        UserError: the options ask for another size.
    """

    def __init__(self, scale, size_multiple, size, batch=1, options=None):
        if options is not None and (options.tile is not None or options.max_memory is not None):
            raise UserError(
                f"this graph takes LR pictures of {size[1]} x {size[0]} only: leave --tile and --max-memory out"
            )
        halo = None if options is None else options.halo
        if halo == "exact":
            raise UserError("no halo is exact for graphs of one size: export with --graph step and free sizes")
        self.scale, self.exact, self.margin = scale, False, 0
        self.halo = min(HALO, min(size) * scale // 4) if halo is None else halo
        self._size_multiple, self._sides, self._batch = size_multiple, tuple(side * scale for side in size), batch

    def grid(self, batch, height, width):
        """The windows for a batch of LR pictures."""
        return Grid(height, width, self.scale, self._size_multiple, halo=self.halo, exact=False, sides=self._sides)

    def batch(self, wanted, height, width):
        """How many LR pictures of a size to take together: as many as the graphs take."""
        return self._batch

    def features_budget(self, grid, batch):
        """Bytes of features that may be kept between the steps: what they need."""
        return float("inf")

    def describe(self, grid, batch):
        """Say in words what a grid's windows are."""
        height, width = grid.window_size
        return f"{len(grid.windows)} tiles of {width} x {height} pixels"

    def settings(self):
        """What decides how pictures are cut, as a dict for reports."""
        return {"tile": max(self._sides), "halo": self.halo, "exact": False, "max_memory": None}
