"""What a diffusion model computes once per picture, window by window, and keeps within a budget."""

import numpy as np


class Condition:
    """What denoising a batch of pictures needs beside x_t and t: the network's features for every window of the grid.

    Features are computed from a window with a margin of LR pixels around it, so that they are those of the whole
    picture to the encoder's precision, and cut back to the window. Those that do not fit the budget in bytes, of more
    than one window, are computed anew at each step. The base picture is ``lr_up`` (B, 3, H, W), or the networks' own.
    An unconditional model has neither: without LR and LR↑, a condition is the pictures' size alone.
    """

    def __init__(self, grid, count, networks=None, lr=None, lr_up=None, margin=2, budget=float("inf")):
        self.grid, self.shape, self.lr = grid, (count, 3, *grid.size), lr  # the shape is that of what is sampled
        self.lr_up = lr_up  # NumPy without padding, the base picture: LR↑, or the encoder's picture
        self._networks, self._prepared_lr_up, self._margin, self._budget = networks, lr_up, margin, budget
        self._unconditional, self._kept = lr is None and lr_up is None, {}
        if self._unconditional:
            return
        if lr_up is None and not grid.whole:
            self.lr_up = np.zeros(self.shape, np.float32)
        for number, window in enumerate(grid.windows):
            features, base = self._encode(window)
            if self.lr_up is None:
                self.lr_up = grid.crop(base)
            elif lr_up is None:
                grid.add(self.lr_up, base, window)
            size = 0 if grid.whole else features.nbytes
            if size <= self._budget:
                self._kept[number] = features
                self._budget -= size

    def features(self, number):
        """What the network takes beside x_t and t for the window of that number: a tuple of its condition, or ()."""
        if self._unconditional:
            return ()
        if number in self._kept:
            return (self._kept[number],)
        return self._encode(self.grid.windows[number])[:1]

    def _encode(self, window):
        """Features and LR↑ of a window without its margin: NumPy, or of the only window as the network gave them."""
        grid, scale, lr, lr_up = self.grid, self.grid.scale, None, None
        if self.lr is not None:
            lr, corner = grid.read(self.lr, window, self._margin)
        if self._prepared_lr_up is not None:
            lr_up, corner = grid.read(self._prepared_lr_up, window, self._margin * scale)
            corner = [n // scale for n in corner]  # the same as in LR
        features, base = self._networks.encode(lr, lr_up)
        if grid.whole:
            return features, base
        encoded, size = ([side // scale for side in sides] for sides in (base.shape[2:], grid.window_size))
        features = self._networks.cut(features, encoded, corner, size)
        rows, columns = (slice(n * scale, (n + m) * scale) for n, m in zip(corner, size, strict=True))
        return features, base[:, :, rows, columns]
