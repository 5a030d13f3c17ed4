"""Random numbers that are functions of (seed, stream, index) alone.

NumPy's Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) is counter based: the
state is a key and a counter, so any point of any stream is reached at once, in any process, in any order.
A run that resumes at step k needs nothing but k. The key is (seed, stream) and the counter starts at
(0, index, 0, 0): each index owns 2**64 blocks of its stream and meets no other's.
"""

import numpy as np

# The streams: pictures of an epoch; crop, flip and turn; t and noise; keys of dropout; noise of validations.
ORDER, AUGMENTATION, DIFFUSION, DROPOUT, VALIDATION = range(5)


def generator(seed, stream, index):
    """Return the random generator of one index of one stream; it costs about 10 µs.

    Args:
        seed: int in [0, 2**64).
        stream: such as ``ORDER``; streams are independent of each other.
        index: int in [0, 2**64), such as a global sample number.

    Returns:
        ``numpy.random.Generator``.
    """
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([0, index, 0, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def noise_at(seed, index, shape, steps, draws=1, continuous=False):
    """Draw the times and the noise with which one training sample is diffused.

    Args:
        seed: int in [0, 2**64).
        index: global sample number.
        shape: shape of the noise, such as (3, H, W).
        steps: T, the number of diffusion steps.
        draws: how many of both.
        continuous: whether times are real numbers.

    Returns:
        t, int32 or, if continuous, float32 (draws,) in [0, T), each uniform, together evenly spaced (arXiv 2107.00630,
        appendix I.1); noise, float32 (draws, *shape), standard normal.
    """
    random = generator(seed, DIFFUSION, index)
    if continuous:
        t = (random.random() * steps + np.arange(draws) * (steps / draws)) % steps
        t = np.minimum(t.astype(np.float32), np.nextafter(np.float32(steps), np.float32(0)))  # T after rounding
    else:
        t = ((random.integers(steps) + np.arange(draws) * steps // draws) % steps).astype(np.int32)
    return t, random.standard_normal((draws, *shape), dtype=np.float32)


def dropout_keys_at(seed, index, draws=1):
    """Return the keys, int32 (draws,), of the dropout masks of one training sample (global number ``index``)."""
    return generator(seed, DROPOUT, index).integers(-(2**31), 2**31, draws, dtype=np.int32)


def permutation_at(seed, epoch, length):
    """Return the order, int64 (length,), in which the pictures come in one epoch (0, 1, …)."""
    return generator(seed, ORDER, epoch).permutation(length)
