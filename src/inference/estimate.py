"""About how long a picture takes, told before it begins: by a small one, which is timed."""

import math
import time

import numpy as np

SIDE = 32  # LR pixels of the small picture
STEPS = 4  # at most, of a sampler's
SHARE = 0.005  # of the whole work that the small picture may be


def estimated_seconds(upscaler, shape, sampling, samples=1):
    """About how long samples of LR pictures of a shape (B, h, w) take.

    None where a part of that is not known: of pictures from nothing, and where trying is no small part of it. A network
    that is compiled for each size is tried with a window's, others with a smaller one.
    """
    total = 0.0
    for part in upscaler.parts(shape, sampling):
        seconds = _seconds(*part, samples) if part[0].conditional else None
        if seconds is None:
            return None
        total += seconds
    return total


def _seconds(upscaler, shape, sampling, samples):
    window = upscaler.tiling.grid(*shape).window_size
    small = (1, *(min(SIDE if upscaler.any_size else side, side // upscaler.scale) for side in window))
    few = sampling
    if sampling.steps and sampling.steps > STEPS:
        few = sampling._replace(steps=STEPS, spacing="uniform")  # its own may list β for all steps
    work, tried = (_work(upscaler, *each) for each in ((shape, sampling), (small, few)))
    if tried > SHARE * work * samples:
        return None
    for _ in range(1 if upscaler.any_size else 2):  # the first time it compiles
        begun = time.perf_counter()
        upscaler.draw(upscaler.encode(np.zeros((1, 3, *small[1:]), np.float32)), few)
    return (time.perf_counter() - begun) / tried * work * samples


def _work(upscaler, shape, sampling):
    """The pixels of all passes over all windows."""
    window = upscaler.tiling.grid(*shape).window_size
    return shape[0] * upscaler.passes(shape, sampling) * math.prod(window)
