"""Noise that depends on a picture's seed and the step alone, not on batches or on the order of the work."""

import numpy as np


class SeededNoise:
    """A sampler's noise source for a batch: each picture has a seed of its own.

    Drawn with NumPy's counter-based Philox generator, so that a picture's sample is the same alone and in any batch.

    Args:
        seeds: one non-negative int for each picture of the batch.
    """

    def __init__(self, seeds):
        self.seeds = [int(seed) for seed in seeds]

    def __call__(self, k, shape):
        """The k-th draw: float32 ``shape``, whose first dimension is the batch."""
        draws = [self._generator(seed, k).standard_normal(shape[1:], np.float32) for seed in self.seeds]
        return np.stack(draws)

    @staticmethod
    def _generator(seed, k):
        # the draw's number sits in the counter's top word, 2^192 blocks away from the next draw's
        return np.random.Generator(np.random.Philox(key=seed, counter=k << 192))
