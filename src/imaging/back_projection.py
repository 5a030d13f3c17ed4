"""Back-projection: the nearest picture that, made small again, is the LR picture it came from.

Let D be MATLAB's antialiased bicubic reduction (:func:`src.imaging.resize.imresize` of floats, symmetric edges). It is
linear, and separable into a matrix for each dimension. Of the HR pictures with D x = y, the nearest to a picture x is
x + Dᵀ (D Dᵀ)⁻¹ (y − D x): what y tells is put right, and the null space of D, all the detail of which y tells nothing,
stays as it is. In the sampling of diffusion models this is the step of Wang, Yu, Zhang, "Zero-Shot Image Restoration
Using Denoising Diffusion Null-Space Model" (ICLR 2023, arXiv 2212.00490); "back-projection" is older (Irani, Peleg,
"Improving Resolution by Image Registration", CVGIP 53(3), 1991).

D Dᵀ is banded, and its condition number in each dimension stays below 2.2 for any size and scale, so float32 serves.
Pictures are gone through in strips of rows, and no temporary is as large as one.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .resize import contributions, inside
from .rows import strips

_STRIP = 32  # LR rows (or columns) worked on at once: small matrix products, whose operands stay in the cache
_REACH = 3  # the kernel is four LR samples wide: those further apart than this are made of different HR samples
# (D Dᵀ)⁻¹ falls by five with every three LR samples, since the condition is below 2.2: to nothing in float32
_INVERSE_REACH = 36
_ROUNDS = 40
CLOSE_ENOUGH = 0.2 * (1 / 127.5)  # root mean square, of 8-bit levels; rounding to them adds an error of this size
PROGRESS = 0.99  # a round that leaves more than this of the error says that no picture in [−1, 1] comes closer


class BackProjection:
    """D for LR pictures of one size and a whole ``scale``; pictures of another shape or dtype are a UserError.

    Pictures x are float32 (B, C, scale·height, scale·width), reduced ones (B, C, height, width).
    """

    def __init__(self, height, width, scale):
        self._scale = scale
        self._rows = _Axis(height, scale)
        self._columns = _Axis(width, scale)

    def reduce(self, x):
        """Return D x, which is ``imresize(x, 1 / scale)`` to within float32's accuracy, for any range."""
        self._check(x, self._scale, "the pictures to reduce")
        result = np.empty((*x.shape[:2], self._rows.length, self._columns.length), np.float32)
        for plane in np.ndindex(x.shape[:2]):
            for block in self._rows.blocks:
                result[plane][block.rows] = self._columns.reduce(block.weights @ x[plane][block.span])
        return result

    def project(self, x, goal):
        """Move x in place to the nearest pictures that :meth:`reduce` maps to ``goal``, for any range; return it."""
        reduced = self.reduce(x)
        self._check(goal, 1, "what the pictures are to reduce to", x.shape[:2])
        missing = np.subtract(goal, reduced, out=reduced)
        for plane in np.ndindex(x.shape[:2]):
            self._add_spread(x[plane], self._solve(missing[plane]))
        return x

    def fit(self, picture, lr):
        """Make finished pictures agree in place with LR, in [−1, 1], once they are rounded as it is; return them.

        Each colour channel is clipped, and then moved to the nearest one in [−1, 1] that MATLAB's reduction of 8-bit
        pictures, or of 16-bit ones where LR has levels between, maps to ``lr``, up to rounding. How close that comes is
        judged by all of a channel: a large picture can be a :class:`src.imaging.spool.Spool`. Where LR has finer
        black-and-white detail than any reduced picture (pixel art, strong sharpening), there is none; the result then
        comes about as close as one can.
        """
        self._check(picture, self._scale, "the pictures to fit")
        self._check(lr, 1, "the LR pictures", picture.shape[:2])
        close_enough = CLOSE_ENOUGH if _has_8_bits(lr) else CLOSE_ENOUGH / 257
        for plane in np.ndindex(picture.shape[:2]):
            x = picture[plane]
            self._clip(x)
            self._add_spread(x, self._multipliers(x, lr[plane], close_enough))
            self._clip(x)
        return picture

    def _multipliers(self, x, lr, close_enough):
        """Return the μ, (height, width), for which clip(x + Dᵀ μ) is the nearest picture to x that is reduced to lr.

        μ are the Lagrange multipliers of the constraint, and what is missing of lr is the gradient of the dual problem.
        It is climbed with momentum (Beck, Teboulle, Oper. Res. Lett. 42, 2014), which is dropped where it leads down
        (O'Donoghue, Candès, Found. Comput. Math. 15, 2015). The step (D Dᵀ)⁻¹ arrives at once where nothing is clipped,
        and clipping only flattens the dual, so it is never too long. That the reduction itself is clipped bends the
        problem a little: by trial it helps, since without it black-and-white pictures stop short of 50 dB.
        """
        multipliers = previous = best = np.zeros_like(lr)
        least, age = np.inf, 0  # age: rounds since the momentum was last dropped
        for _ in range(_ROUNDS):
            trial = multipliers + np.float32(max(age - 1, 0) / (age + 2)) * (multipliers - previous)
            missing = lr - self._reduce_clipped(x, trial)
            error = np.sqrt(np.mean(np.square(missing)))
            stalled = not error < PROGRESS * least  # NaN is, too
            if error < least:
                best, least = trial, error
            if stalled or error <= close_enough:
                break
            multipliers, previous = trial + self._solve(missing), multipliers
            age = age + 1 if np.vdot(missing, multipliers - previous) > 0 else 0
        return best

    def _reduce_clipped(self, x, multipliers):
        """Reduce clip(x + Dᵀ ``multipliers``) as MATLAB does 8-bit pictures: clipped after each dimension."""
        result = np.empty_like(multipliers)
        for block in self._rows.blocks:
            strip = block.all_weights.T @ self._columns.spread(multipliers[block.near])
            strip += x[block.span]
            np.clip(strip, -1, 1, out=strip)
            result[block.rows] = self._columns.reduce(np.clip(block.weights @ strip, -1, 1))
        return np.clip(result, -1, 1, out=result)

    def _clip(self, x):
        for block in self._rows.blocks:
            rows = slice(block.rows.start * self._scale, block.rows.stop * self._scale)
            x[rows] = np.clip(x[rows], -1, 1)

    def _add_spread(self, x, multipliers):
        for block in self._rows.blocks:
            x[block.span] += block.weights.T @ self._columns.spread(multipliers[block.rows])

    def _solve(self, missing):
        return self._columns.solve(self._rows.solve(missing).T).T

    def _check(self, array, scale, what, leading=None):
        size = (self._rows.length * scale, self._columns.length * scale)
        if array.shape != (*(leading or array.shape[:2]), *size) or array.dtype != np.float32:
            expected = ", ".join(map(str, (*(leading or "BC"), *size)))
            raise UserError(f"{what} must be float32 ({expected}), not {array.dtype} {array.shape}")


class _Axis:
    """The reduction of one dimension, D, as a list of blocks, which hold (D Dᵀ)⁻¹ as well."""

    def __init__(self, length, scale):
        self.length, self._hr_length = length, length * scale
        taps, inverses = _taps(length, scale), {}
        self.blocks = [self._block(*taps, first, inverses) for first in range(0, length, _STRIP)]

    def _block(self, weights, indices, first, inverses):
        rows = slice(first, min(first + _STRIP, self.length))
        near, around = (slice(max(first - n, 0), min(rows.stop + n, self.length)) for n in (_REACH, _INVERSE_REACH))
        span = slice(indices[rows].min(), indices[rows].max() + 1)
        matrix, left = _dense(weights[around], indices[around])
        gram = matrix @ matrix.T
        if gram.tobytes() not in inverses:  # away from the edges all are equal
            inverses[gram.tobytes()] = np.linalg.inv(gram).astype(np.float32)
        inverse = inverses[gram.tobytes()][_within(around.start, rows)]
        all_weights = matrix[_within(around.start, near), _within(left, span)].astype(np.float32)
        own_weights = all_weights[_within(near.start, rows)]
        return _Block(rows, span, own_weights, near, all_weights, around, inverse)

    def reduce(self, strip):
        """(n, HR length) → (n, length): times Dᵀ."""
        result = np.empty((len(strip), self.length), np.float32)
        for block in self.blocks:
            np.matmul(strip[:, block.span], block.weights.T, out=result[:, block.rows])
        return result

    def spread(self, strip):
        """(n, length) → (n, HR length): times D."""
        result = np.zeros((len(strip), self._hr_length), np.float32)
        for block in self.blocks:
            result[:, block.span] += strip[:, block.rows] @ block.weights
        return result

    def solve(self, right):
        """(length, n) → (length, n): (D Dᵀ)⁻¹ ``right``."""
        result = np.empty_like(right)
        for block in self.blocks:
            np.matmul(block.inverse, right[block.around], out=result[block.rows])
        return result


class _Block(NamedTuple):
    """A few neighbouring rows of one dimension's matrix, without the zeros to their left and right."""

    rows: slice  # of LR samples
    span: slice  # of the HR samples that they are made of
    weights: np.ndarray  # float32 (rows, span)
    near: slice  # of all the LR samples that are made of any sample in span
    all_weights: np.ndarray  # float32 (near, span)
    around: slice  # of all the LR samples that (D Dᵀ)⁻¹ takes for these rows
    inverse: np.ndarray  # float32 (rows, around), those rows of it


def reduction_matrix(length, scale):
    """Return the reduction D of one dimension to ``length`` LR samples, of ``scale`` HR samples each: float64."""
    return _dense(*_taps(length, scale))[0]


def _has_8_bits(lr):
    for rows in strips(lr.shape[2]):
        levels = (lr[:, :, rows] + 1) * 127.5
        if not np.allclose(levels, np.rint(levels), rtol=0, atol=1e-3):
            return False
    return True


def _within(start, part):
    return slice(part.start - start, part.stop - start)


def _taps(length, scale):
    """Return the weights and the indices of the HR samples, both (length, K), that make each LR sample."""
    weights, indices = contributions(length, Fraction(1, scale))
    return weights, inside(indices, length * scale, "symmetric")


def _dense(weights, indices):
    """Return the matrix of these rows without the zeros to their left and right, and where its columns begin."""
    first = indices.min()
    matrix = np.zeros((len(indices), indices.max() + 1 - first))
    np.add.at(matrix, (np.arange(len(indices))[:, None], indices - first), weights)  # adds up mirrored edges
    return matrix, first
