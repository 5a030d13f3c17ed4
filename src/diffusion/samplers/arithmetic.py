"""Sums of arrays as large as pictures, without temporaries of that size."""

import functools
import math
import operator

import numpy as np

BLOCK = 1 << 16  # elements; two such blocks of float32 (512 KB) stay in a core's own cache


def weighted_sum(terms, out=None):
    """Return w_1·a_1 + w_2·a_2 + …, added from left to right.

    NumPy arrays are summed block by block; the only temporaries are two blocks. All other arrays, such as MindSpore's
    tensors, go through plain arithmetic, where ``out`` has no effect.

    Args:
        terms: list of (weight, array), the weights Python floats. The first array tells the kind; NumPy arrays
            that follow may have any strides and any shape that broadcasts to ``out``'s.
        out: NumPy array to write, in whose dtype the sum is rounded; it may be one of the arrays, but not overlap with
            one in another way. None makes a new one like the first array.

    Returns:
        ``out``, or a new array.
    """
    first = terms[0][1]
    if not isinstance(first, np.ndarray):
        return functools.reduce(operator.add, (float(weight) * array for weight, array in terms))
    if out is None:
        out = np.empty(first.shape, np.result_type(first.dtype, np.float16))
    arrays = [(float(weight), np.broadcast_to(array, out.shape)) for weight, array in terms]
    sums, products = np.empty((2, min(BLOCK, out.size)), out.dtype)
    for index in _blocks(out.shape):
        target = out[index]
        block, product = (buffer[: target.size].reshape(target.shape) for buffer in (sums, products))
        weight, array = arrays[0]
        np.multiply(array[index], weight, out=block)
        for weight, array in arrays[1:]:
            np.multiply(array[index], weight, out=product)
            block += product
        target[...] = block
    return out


def _blocks(shape):
    """Yield indices that cut an array of this shape into views of at most ``BLOCK`` elements, in memory order."""
    if not shape:
        yield (...,)
        return
    axis = 0  # the first along which one slice is small enough
    while math.prod(shape[axis + 1 :]) > BLOCK:
        axis += 1
    step = BLOCK // max(1, math.prod(shape[axis + 1 :]))
    for leading in np.ndindex(*shape[:axis]):
        for start in range(0, shape[axis], step):
            yield (*leading, slice(start, start + step))
