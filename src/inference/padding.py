"""Any picture size: mirrored padding up to what the network can divide, and the crop back."""

import math

import numpy as np


class Padding:
    """How far an LR picture is extended at its bottom and right edge.

    The picture is mirrored with the edge pixel repeated, as bicubic's edges are. An extension is at least two
    pixels, all that bicubic enlargement looks at, so LR↑ inside the picture is what it would be without it.

    Args:
        height, width: of the LR picture.
        scale: HR size / LR size.
        size_multiple: HR sizes that the network takes are multiples of this, and at least twice as large.
    """

    def __init__(self, height, width, scale, size_multiple):
        self.scale = scale
        multiple = math.lcm(scale, size_multiple) // scale
        smallest = max(-(-2 * size_multiple // scale), 2)
        self.size = (height, width)
        self.bottom, self.right = (_extension(n, multiple, smallest) for n in (height, width))

    def pad_lr(self, lr):
        """(B, C, h, w) → (B, C, h + bottom, w + right), same dtype."""
        return _mirror(lr, self.bottom, self.right)

    def pad_hr(self, x):
        """(B, C, H, W) → the size that belongs to the padded LR picture."""
        return _mirror(x, self.bottom * self.scale, self.right * self.scale)

    def crop_hr(self, x):
        """Undo :meth:`pad_hr`."""
        height, width = self.size
        return x[..., : height * self.scale, : width * self.scale]


def _extension(length, multiple, smallest):
    goal = max(length, smallest)
    goal += -goal % multiple
    while 0 < goal - length < 2:
        goal += multiple
    return goal - length


def _mirror(array, bottom, right):
    if not bottom and not right:
        return array
    return np.pad(array, ((0, 0), (0, 0), (0, bottom), (0, right)), mode="symmetric")
