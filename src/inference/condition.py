"""What a model is given once per picture, and what its networks make of it before the first step."""

from ..errors import UserError


class Condition:
    """A batch of pictures to sample: their size, LR, and, of a diffusion model, the network's features and LR↑.

    Of pictures that are not cut, ``features`` (a tuple of the network's condition, or ()) and the base picture
    ``lr_up`` (B, 3, H, W) are computed at once. Of others they are computed window by window, by :meth:`of`.

    Args:
        grid, count: how pictures are cut, and how many there are.
        networks: those that encode; None where nothing is encoded.
        lr, lr_up: (B, 3, h, w), and LR↑ (B, 3, H, W) in place of the networks' own; both None of an unconditional
            model.
        margin: LR pixels that the encoder sees around a window, so that its features are those of the whole picture to
            the encoder's precision.
    """

    def __init__(self, grid, count, networks=None, lr=None, lr_up=None, margin=2):
        self.grid, self.shape, self.lr = grid, (count, 3, *grid.size), lr  # the shape is that of what is sampled
        self.lr_up, self.features = lr_up, ()  # NumPy without padding
        self._networks, self._margin = networks, margin
        if grid.whole and networks is not None:
            features, self.lr_up = self._encode(grid.windows[0])
            self.features = (features,)

    def of(self, window):
        """The condition of what one of the grid's windows covers, as of a picture of its own."""
        if self.grid.whole:
            return self
        own = Condition(self.grid.alone(window), self.shape[0])
        rows, columns = self.grid.inside(window)
        if self.lr is not None:
            low_rows, low_columns = (
                slice(part.start // self.grid.scale, part.stop // self.grid.scale) for part in (rows, columns)
            )
            own.lr = self.lr[:, :, low_rows, low_columns]
        if self._networks is not None:
            features, own.lr_up = self._encode(window)
            own.features = (features,)
        return own

    def check_whole(self):
        if not self.grid.whole:
            raise UserError("pictures in tiles are sampled one tile after the other, and have no steps as a whole: "
                            "take --tile 0, more memory or smaller pictures")  # fmt: skip

    def _encode(self, window):
        """Features of a window, of a whole picture as the network gave them, and the LR↑ of what it covers, NumPy."""
        grid, scale, lr, lr_up = self.grid, self.grid.scale, None, None
        if self.lr is not None:
            lr, corner = grid.read(self.lr, window, self._margin)
        if self.lr_up is not None:
            lr_up, corner = grid.read(self.lr_up, window, self._margin * scale)
            corner = [n // scale for n in corner]  # the same as in LR
        features, base = self._networks.encode(lr, lr_up)
        rows, columns = (slice(n * scale, n * scale + part.stop - part.start)
                         for n, part in zip(corner, grid.inside(window), strict=True))  # fmt: skip
        if not grid.whole:
            encoded, size = ([side // scale for side in sides] for sides in (base.shape[2:], grid.window_size))
            features = self._networks.cut(features, encoded, corner, size)
        return features, base[:, :, rows, columns]
