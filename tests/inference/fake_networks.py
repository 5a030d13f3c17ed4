"""Networks in NumPy that know what they will make, for upscalers without MindSpore's graphs."""

import numpy as np

from src.diffusion.process import noise_from_x0
from src.families.registry import family_of
from tests import tiny, tiny_sr3


class Repeating:
    """Sees LR with its pixels repeated in everything, or one gray value where there is no LR; told √ᾱ.

    Args:
        scale: of LR↑.
        value: the gray value.
    """

    lr_up_suffices = True

    def __init__(self, scale=4, value=0.25):
        self.scale, self.value, self.noise_levels = scale, value, []

    def encode(self, lr, lr_up=None):
        enlarged = lr.repeat(self.scale, 2).repeat(self.scale, 3) if lr_up is None else lr_up
        return enlarged, enlarged

    def cut(self, condition, lr_size, corner, size):
        rows, columns = (slice(n * self.scale, (n + m) * self.scale) for n, m in zip(corner, size, strict=True))
        return condition[:, :, rows, columns]

    def denoise(self, x_t, t, condition=None):
        self.noise_levels.append(t)
        signal, noise_rate = t.reshape(-1, 1, 1, 1), np.sqrt(1 - t.reshape(-1, 1, 1, 1) ** 2)
        return noise_from_x0(x_t, self.value if condition is None else condition, signal, noise_rate)


def enlarger(scale, *overrides, tile_options=None):
    """An SR3 upscaler that repeats pixels, called ``xSCALE``."""
    config = tiny_sr3.config(f"data.scale={scale}", f"name=x{scale}", *overrides)
    family = family_of(config)
    return family.upscaler(Repeating(scale), family.tiling(tile_options))


def unconditional(value=0.25, *overrides):
    """An unconditional model that makes gray pictures, called ``gray``."""
    return tiny.around(tiny_sr3.config("name=gray", *tiny_sr3.UNCONDITIONAL, *overrides), Repeating(1, value))
