"""What a diffusion model computes once per picture, window by window, and keeps within a budget."""

import numpy as np


class Condition:
    """The network's features for every window of a batch of pictures, and LR↑.

    Features are computed from a window with a margin around it, so that they are those of the whole picture to the
    encoder's precision, and cut back to the window. Those that do not fit the budget are computed anew at each step.

    Args:
        networks: a ``DiffusionNetworks``.
        grid: the :class:`src.inference.tiling.Grid` of these pictures.
        lr: (B, 3, h, w) float32 in [−1, 1]; None where a given ``lr_up`` suffices the networks.
        lr_up: (B, 3, H, W) float32 to use as the base picture instead of the network's own, or None.
        margin: LR pixels around a window that the encoder sees too.
        budget: bytes of features to keep, as far as the picture has more than one window.

    Attributes:
        grid: as above.
        lr: as above.
        lr_up: (B, 3, H, W) float32 NumPy without padding, the base picture: LR↑, or the encoder's picture.
    """

    def __init__(self, networks, grid, lr, lr_up=None, margin=2, budget=float("inf")):
        self.grid, self.lr = grid, lr
        self._networks, self._given, self._margin, self._budget = networks, lr_up, margin, budget
        self._kept = {}
        self.lr_up = lr_up
        if lr_up is None and not grid.whole:
            self.lr_up = np.zeros((*lr.shape[:2], *grid.size), np.float32)
        for number, window in enumerate(grid.windows):
            features, own = self._encode(window)
            if self.lr_up is None:
                self.lr_up = grid.crop(own)
            elif lr_up is None:
                grid.add(self.lr_up, own, window)
            self._keep(number, features)

    @property
    def shape(self):
        """(B, 3, H, W) of what is sampled."""
        return self.lr_up.shape

    def features(self, number):
        """The network's own condition for the window of that number."""
        if number in self._kept:
            return self._kept[number]
        return self._encode(self.grid.windows[number])[0]

    def _keep(self, number, features):
        size = 0 if self.grid.whole else features.nbytes
        if size <= self._budget:
            self._kept[number] = features
            self._budget -= size

    def _encode(self, window):
        """Features and LR↑ of a window without its margin: NumPy, or of the only window as the network gave them."""
        grid, scale, lr, given = self.grid, self.grid.scale, None, None
        if self.lr is not None:
            lr, corner = grid.read(self.lr, window, self._margin)
        if self._given is not None:
            given, corner = grid.read(self._given, window, self._margin * scale)
            corner = [n // scale for n in corner]  # the same as in LR
        features, lr_up = self._networks.encode(lr, given)
        if grid.whole:
            return features, lr_up
        seen, size = ([side // scale for side in sides] for sides in (lr_up.shape[2:], grid.window_size))
        features = self._networks.cut(features, seen, corner, size)
        rows, columns = (slice(n * scale, (n + m) * scale) for n, m in zip(corner, size, strict=True))
        return features, lr_up[:, :, rows, columns]


class NoCondition:
    """What :class:`Condition` is to a model that makes pictures from nothing.

    Args:
        grid: the :class:`src.inference.tiling.Grid` of these pictures.
        shape: (B, 3, H, W).

    Attributes:
        grid, shape: as above.
        lr, lr_up: None.
    """

    lr = lr_up = None

    def __init__(self, grid, shape):
        self.grid, self.shape = grid, tuple(shape)

    def features(self, number):
        """None, for every window."""
        return None
