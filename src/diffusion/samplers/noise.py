"""Noise that depends on a picture's seed and the step alone, not on batches or on the order of the work."""

import numpy as np

from src.errors import UserError


class SeededNoise:
    """A sampler's noise source for a batch: each picture has a seed of its own.

    Drawn with NumPy's counter-based Philox generator, so that a picture's sample is the same alone and in any batch.

    Args:
        seeds: one int from 0 to 2^128 − 1 for each picture of the batch.

    Raises:
        UserError: a seed is out of range; when drawing: the batch has another number of pictures.
    """

    def __init__(self, seeds):
        self.seeds = [int(seed) for seed in seeds]
        for seed in self.seeds:
            if not 0 <= seed < 2**128:
                raise UserError(f"a seed must be from 0 to 2^128 - 1, not {seed}")

    def __call__(self, k, shape):
        """The k-th draw: a new float32 array ``shape``, whose first dimension is the batch."""
        if shape[0] != len(self.seeds):
            raise UserError(f"each picture of a batch needs a seed: {shape[0]} pictures, {len(self.seeds)} seeds")
        draws = np.empty(shape, np.float32)
        for index, seed in enumerate(self.seeds):
            self._generator(seed, k).standard_normal(dtype=np.float32, out=draws[index : index + 1])
        return draws

    @staticmethod
    def _generator(seed, k):
        # the draw's number sits in the counter's top word, 2^192 blocks away from the next draw's
        return np.random.Generator(np.random.Philox(key=seed, counter=k << 192))
