"""MATLAB's bicubic ``imresize``, the degradation and the baseline of the super-resolution literature; and averages.

Pillow, OpenCV and PyTorch resize differently (no antialiasing, another cubic, other edges), which moves the PSNR of a
whole benchmark. This module gives MATLAB's pixels, bit for bit.
"""

from fractions import Fraction

import numpy as np

from ..errors import UserError
from .rows import Rows

EDGES = ("symmetric", "replicate")
LR_KERNELS = ("bicubic", "maxpool")
MODES = ("area", "bilinear", "bicubic")  # of :func:`interpolate`

_KERNEL_WIDTH = 4
_LARGEST_DENOMINATOR = 10**6
# One block of the work: about this many input rows by this many float64 values, which stay in the processor's cache.
_BLOCK_ROWS = 96
_BLOCK_COLUMNS = 1536
# Adding the number just below one half and truncating rounds halves up, and 0.49999999999999994 down.
_ALMOST_HALF = np.nextafter(0.5, 0.0)


def imresize(image, scale=None, edges="symmetric", size=None):
    """Resize a picture as MATLAB's bicubic ``imresize(image, scale)`` or ``imresize(image, size)`` does.

    Keys' cubic convolution (IEEE Trans. ASSP 29(6), 1981, equation 15; a = -1/2), widened against aliasing when it
    shrinks. The dimension that shrinks most is resized first, of equal ones the rows. A uint8 or uint16 picture is
    rounded (halves away from zero) and clipped after each dimension; a float picture is computed in float64, neither.

    Args:
        image: (H, W) or (H, W, C), uint8, uint16, float32 or float64, in any range; the result has its channels and
            dtype.
        scale: a positive int, float or Fraction. A float stands for the nearest fraction with a
            denominator up to 10**6, so 1/3 means one third and 0.1 one tenth; the result is
            (ceil(scale * H), ceil(scale * W)).
        edges: what lies outside the picture: ``"symmetric"`` mirrors it with the edge pixel repeated (MATLAB
            since 2012; the DIV2K files), ``"replicate"`` repeats the edge pixel (older MATLAB; the Set5 files).
        size: (height, width) of the result, in place of ``scale``.
    """
    _check_image(image)
    if edges not in EDGES:
        raise UserError(f"edges must be one of {', '.join(EDGES)}, not {edges!r}")
    scales, sizes = _scales_and_sizes(image.shape[:2], scale, size)
    dtype = np.float64 if image.dtype.kind == "f" else image.dtype
    result = _resize_axes(image, scales, _taps(sizes, scales, contributions), edges, dtype)
    return result.astype(image.dtype, copy=False)


def fitted(image, size):
    """:func:`imresize` to a size (height, width); a picture of that size is returned itself."""
    return image if image.shape[:2] == tuple(size) else imresize(image, size=size)


def resized(picture, size):
    """:class:`Rows` of what :func:`imresize` makes of uint8 or uint16, an array or :class:`Rows`, in ``size``.

    A picture of that size is returned itself.
    """
    if picture.shape[:2] == tuple(size):
        return picture
    scales, sizes = _scales_and_sizes(picture.shape[:2], None, size)
    (weights, indices), columns = _taps(sizes, scales, contributions)

    def read(rows):
        first, last = indices[rows.start, 0], indices[rows.stop - 1, -1]
        needed = inside(np.arange(first, last + 1), len(picture), "symmetric")
        top = needed.min()
        part = picture[top : needed.max() + 1][needed - top]
        return _resize_axes(part, scales, ((weights[rows], indices[rows] - first), columns), "symmetric", part.dtype)

    return Rows((*sizes, *picture.shape[2:]), picture.dtype, read)


def area_resize(image, size):
    """Resize a picture by area: each pixel of the result is the mean of the area that it covers, in parts of pixels.

    This is the "area resampling" that SR3 makes its ImageNet pictures with (arXiv 2104.07636, section 4). Of a uint8
    picture it is the exact mean, rounded once, halves up; all else is as with :func:`imresize`.
    """
    _check_image(image)
    scales, sizes = _scales_and_sizes(image.shape[:2], None, size)
    # the weights are whole numbers, and so all sums of uint8 pixels: exact, as is every half that is rounded
    sums = _resize_axes(image, scales, _taps(sizes, scales, area_overlaps), "replicate", np.float64)
    means = sums / (scales[0].denominator * scales[1].denominator)
    return (means if image.dtype.kind == "f" else np.floor(means + 0.5)).astype(image.dtype)


def interpolate(image, mode, scale=None, size=None):
    """Resize a picture as PyTorch's ``F.interpolate`` does, without antialiasing; ``align_corners`` is False.

    Args:
        image: float32 (H, W, C), in any range; the result is float32.
        mode: one of :data:`MODES`: "area" is the mean of all pixels that a pixel of the result touches; "bilinear" and
            "bicubic" (a = -3/4) weigh its 2 or 4 neighbours in each direction.
        scale: a positive number; the result is (floor(scale * H), floor(scale * W)), and 1 at least.
        size: (height, width) of the result, in place of ``scale``.
    """
    sizes = size or [max(1, int(scale * length)) for length in image.shape[:2]]
    result = image
    for axis, (new, old) in enumerate(zip(sizes, image.shape[:2], strict=True)):
        factor = new / old if size else scale
        weights = _touched(new, old) if mode == "area" else _neighbours(new, factor, mode)
        if new != old or factor != 1:
            result = _resize_axis(result, axis, *weights, factor, "replicate", np.float64)
    return result.astype(image.dtype, copy=False)


def make_lr(hr, scale, kernel="bicubic"):
    """Make the LR picture of an HR picture, (H, W, 3) of multiples of a whole scale: (H/scale, W/scale, 3).

    ``kernel`` is one of :data:`LR_KERNELS`: "bicubic" is :func:`imresize`; "maxpool" takes the largest value of each
    colour in blocks of scale × scale pixels, as one port of SRGAN does (docs/srgan.md), and is brighter than HR.
    """
    if kernel == "bicubic":
        return imresize(hr, 1 / scale)
    height, width, channels = hr.shape
    return hr.reshape(height // scale, scale, width // scale, scale, channels).max(axis=(1, 3))


def _check_image(image):
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"a picture to resize must be a NumPy array of uint8, uint16 or float, not {kind}")
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise UserError(f"a picture to resize must be (H, W) or (H, W, C) and not empty, not {image.shape}")


def _scales_and_sizes(shape, scale, size):
    """Return ((scale of rows, of columns), (height, width)) as Fractions and ints."""
    if (scale is None) == (size is None):
        raise UserError("imresize takes either a scale or a size=(height, width), and not both")
    if size is not None:
        sizes = tuple(size) if isinstance(size, (tuple, list, np.ndarray)) else ()
        if len(sizes) != 2 or not all(isinstance(n, (int, np.integer)) and n > 0 for n in sizes):
            raise UserError(f"size must be two positive integers (height, width), not {size!r}")
        sizes = tuple(int(n) for n in sizes)
        return tuple(Fraction(n, length) for n, length in zip(sizes, shape, strict=True)), sizes
    try:
        exact = scale if isinstance(scale, Fraction) else Fraction(float(scale))
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"scale must be a positive number, not {scale!r}") from error
    ratio = exact.limit_denominator(_LARGEST_DENOMINATOR)
    if ratio <= 0:
        raise UserError(f"scale must be a number above {1 / _LARGEST_DENOMINATOR:g}, not {scale!r}")
    return (ratio, ratio), tuple(-(-length * ratio.numerator // ratio.denominator) for length in shape)


def contributions(output_length, scale):
    """Return with which weights which input samples make each of N output samples of one dimension.

    Output sample i is centred on the input position (i + 1/2) / scale - 1/2. For a scale p/q the weights repeat every
    p output samples, and the indices advance by q.

    Returns:
        weights: float64 (N, K), each row sums to 1; K = ceil(4 / min(scale, 1)).
        indices: int64 (N, K), consecutive in each row; :func:`inside` is to bring them into the picture.
    """
    p, q = scale.numerator, scale.denominator
    shrink = float(min(scale, Fraction(1)))
    taps = -(-_KERNEL_WIDTH * max(p, q) // p)
    # Positions are kept as integers over 2p, so that equal phases get equal weights however far along they are.
    centre = (2 * np.arange(output_length, dtype=np.int64) + 1) * q - p
    first = (centre - _KERNEL_WIDTH * max(p, q)) // (2 * p) + 1
    indices = first[:, np.newaxis] + np.arange(taps)
    distance = (centre[:, np.newaxis] - 2 * p * indices) / (2 * p)
    weights = shrink * cubic(shrink * distance)
    return weights / weights.sum(axis=1, keepdims=True), indices


def cubic(x, a=-0.5):
    """Return Keys' kernel at the distances ``x``; 0 beyond 2."""
    x = np.abs(x)
    x2 = x * x
    x3 = x2 * x
    inner = (a + 2) * x3 - (a + 3) * x2 + 1
    outer = a * x3 - 5 * a * x2 + 8 * a * x - 4 * a
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0.0))


def area_overlaps(output_length, scale):
    """Return how much of each input sample each output sample covers, and their indices, as :func:`contributions`.

    For a scale p/q output sample i covers the inputs' axis from i·q/p to (i + 1)·q/p. The overlaps are whole p-ths of
    an input sample, and each row sums to q; an index outside the picture has 0.
    """
    p, q = scale.numerator, scale.denominator
    start = np.arange(output_length, dtype=np.int64)[:, np.newaxis] * q
    indices = start // p + np.arange(-(-q // p) + 1)
    overlaps = np.minimum(start + q, (indices + 1) * p) - np.maximum(start, indices * p)
    return np.maximum(overlaps, 0).astype(np.float64), indices


def _touched(new, old):
    """Weights and indices, as :func:`contributions`, of the mean of all input samples that an output sample touches."""
    start = np.arange(new)[:, np.newaxis] * old // new
    end = -(-np.arange(1, new + 1)[:, np.newaxis] * old // new)
    indices = start + np.arange((end - start).max())
    return (indices < end) / (end - start), indices


def _neighbours(new, scale, mode):
    """Weights and indices, as :func:`contributions`, of the 2 or 4 input samples that an output sample lies between."""
    position = (np.arange(new)[:, np.newaxis] + 0.5) / scale - 0.5
    first = np.floor(position).astype(np.int64)
    if mode == "bilinear":
        indices = first + np.arange(2)
        return 1 - np.abs(position - indices), indices
    indices = first + np.arange(-1, 3)
    return cubic(position - indices, a=-0.75), indices


def _taps(sizes, scales, weigh):
    """Weights and indices, as :func:`contributions`, of the rows and of the columns."""
    return [weigh(length, scale) for length, scale in zip(sizes, scales, strict=True)]


def _resize_axes(image, scales, taps, edges, dtype):
    result = image if image.ndim == 3 else image[:, :, np.newaxis]
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        result = _resize_axis(result, axis, *taps[axis], scales[axis], edges, dtype)
    return result.reshape(result.shape[:2] + image.shape[2:])


def _resize_axis(image, axis, weights, indices, scale, edges, dtype):
    """Resize (H, W, C) along one axis by the weights, to uint8 or uint16 (rounded, clipped) or to float64."""
    shape = list(image.shape)
    shape[axis] = output_length = len(weights)
    result = np.empty(shape, dtype)
    # Views with the resized dimension first; the blocks below do the transposing piecewise, inside the cache.
    source, target = np.moveaxis(image, axis, 0), np.moveaxis(result, axis, 0)
    rows = max(1, int(_BLOCK_ROWS * min(scale, 1)))
    columns = max(1, _BLOCK_COLUMNS // image.shape[2])
    for top in range(0, output_length, rows):
        block = slice(top, min(top + rows, output_length))
        first, last = indices[block][0, 0], indices[block][-1, -1]
        needed = inside(np.arange(first, last + 1), len(source), edges)
        for left in range(0, source.shape[1], columns):
            samples = source[needed, left : left + columns].astype(np.float64)
            sums = _weighted_sums(samples, weights[block], indices[block] - first)
            if result.dtype != np.float64:
                np.clip(sums, 0, np.iinfo(result.dtype).max, out=sums)
                sums += _ALMOST_HALF
            target[block, left : left + columns] = sums.astype(result.dtype, copy=False)
    return result


def inside(indices, length, edges):
    """Bring indices, any distance outside, into 0..length-1 by a mode of :data:`EDGES`.

    Or by "reflect", which mirrors without repeating the edge pixel.
    """
    if edges == "replicate":
        return np.clip(indices, 0, length - 1)
    if edges == "reflect":
        last = length - 1
        return last - np.abs(last - np.mod(indices, max(2 * last, 1)))
    indices = np.mod(indices, 2 * length)
    return np.where(indices < length, indices, 2 * length - 1 - indices)


def _weighted_sums(samples, weights, indices):
    """Return the sum of weights[:, k] * samples[indices[:, k]] in the order of k.

    A matrix product is no faster, and its order of additions, which decides exact halves, depends on the processor.
    """
    sums = np.zeros((len(weights),) + samples.shape[1:])
    term = np.empty_like(sums)
    for k in range(weights.shape[1]):
        np.take(samples, indices[:, k], axis=0, out=term, mode="clip")  # "raise" would buffer ``term``
        term *= weights[:, k, np.newaxis, np.newaxis]
        sums += term
    return sums
