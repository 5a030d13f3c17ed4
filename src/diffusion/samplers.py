"""Samplers: from x_T down the steps of a schedule to x_0, each step a weighted sum of x_t, x_0 and noise.

A sampler is one function that gives the weights, which :func:`sampler` lets walk, and one entry in :data:`SAMPLERS`.
"""

import functools
import inspect
import math
import operator
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .schedule import half_log_snr

BLOCK = 1 << 16  # elements; two such blocks of float32 (512 KB) stay in a core's own cache
_STATE_ROWS = 256  # between two states of a generator that are kept


class Coefficients(NamedTuple):
    """One step: x_{t_prev} = of_x0·x_0 + of_xt·x_t + deviation·z + of_before·x_0', all Python floats.

    z is standard normal; x_0' is the step before's x_0, which samplers of second order take.
    """

    of_x0: float
    of_xt: float
    deviation: float
    of_before: float = 0.0


def sampler(coefficients):
    """Make a sampler of ``coefficients(steps, …)``, which returns :class:`Coefficients` for each step.

    What else that function takes, such as ``eta``, are the sampler's own ``options`` (a tuple of names), and it stays
    at hand as ``coefficients``. Where a step ends at t_prev = −1, it must add no noise.

    A sampler works on NumPy arrays and on MindSpore tensors, and returns x of the noise's type and dtype; float32 stays
    float32. NumPy's x is a buffer of the sampler's own that each step overwrites. Its arguments:

        denoise: ``denoise(x_t, step) → x_0`` estimate, clipped if the target is. It must not write to x_t, and must
            leave alone what it returned: second-order samplers read it in the step after, too.
        shape: of x, such as (B, 3, H, W).
        steps: list of ``schedule.Step``, the noisiest first.
        noise: ``noise(k, shape)`` gives the k-th standard normal array: 0 is x_T, k + 1 belongs to ``steps[k]``.
            Asked in this order, and only for what is used: never for a step that adds none.
        temperature: scales all noise; 1 samples the model's distribution, towards 0 comes its mode.
        callback: ``callback(k, step, x, x_0)`` after each step, k from 0. It must copy what it keeps of x.
        start: x_t of the first step, in place of x_T's noise, where steps begin in the middle; overwritten.
    """

    @functools.wraps(coefficients)
    def sample(denoise, shape, steps, noise, temperature=1.0, callback=None, start=None, **options):
        rows = coefficients(steps, **options)
        second_order = any(row.of_before for row in rows)
        x = weighted_sum([(temperature, _draw(noise, 0, shape))]) if start is None else start
        x_0_before = None
        for k, (step, row) in enumerate(zip(steps, rows, strict=True)):
            x_0 = _own(denoise(x, step), x)
            terms = [(row.of_x0, x_0), (row.of_xt, x)]
            if row.of_before:
                terms.append((row.of_before, x_0_before))
            if row.deviation * temperature > 0:
                terms.append((row.deviation * temperature, _draw(noise, k + 1, shape)))
            # Pictures may fill the memory: x is updated in place, and nothing is kept longer than it is needed.
            x = weighted_sum(terms, out=x)
            x_0_before = x_0 if second_order else None
            del terms
            if callback is not None:
                callback(k, step, x, x_0)
            del x_0
        return x

    sample.coefficients, sample.options = coefficients, tuple(inspect.signature(coefficients).parameters)[1:]
    return sample


@sampler
def ddpm(steps):
    """The posterior q(x_{t_prev} | x_t, x_0); over longer strides that of the chain of the visited steps alone."""
    return [posterior(step) for step in steps]


@sampler
def sr3(steps):
    """SR3: the posterior's mean, but the variance 1 − α of the step (arXiv 2104.07636, eq. 11).

    This is the larger of DDPM's two choices (arXiv 2006.11239, section 3.2). They agree for short steps; a long one
    leaves more noise in x than the next step's network was trained for.
    """
    variances = [0.0 if step.alpha_bar_prev == 1 else 1 - step.alpha_bar / step.alpha_bar_prev for step in steps]
    return [posterior(step)._replace(deviation=math.sqrt(v)) for step, v in zip(steps, variances, strict=True)]


@sampler
def ddim(steps, eta=0.0):
    """DDIM (arXiv 2010.02502, eq. 12): keep a part of the noise that the network saw, and renew the rest.

    ``eta`` goes from 0, where x_T decides everything, to 1, which is DDPM.
    """
    if not 0 <= eta <= 1:
        raise UserError(f"eta must be from 0 to 1, not {eta}")
    return [implicit(step, eta) for step in steps]


@sampler
def dpmpp_2m(steps):
    """DPM-Solver++(2M): the probability flow to second order (arXiv 2211.01095, algorithm 2); x_T decides all."""
    return _second_order(steps, [implicit(step) for step in steps])


@sampler
def dpmpp_2m_sde(steps):
    """SDE-DPM-Solver++(2M): the diffusion equation to second order, with noise in every step but the last."""
    return _second_order(steps, [posterior(step) for step in steps])


SAMPLERS = {"ddpm": ddpm, "ddim": ddim, "dpmpp_2m": dpmpp_2m, "dpmpp_2m_sde": dpmpp_2m_sde, "sr3": sr3}


def posterior(step):
    """q(x_{t_prev} | x_t, x_0) (arXiv 2006.11239, eq. 7), for neighbours and for longer strides."""
    alpha = step.alpha_bar / step.alpha_bar_prev
    beta = 1 - alpha
    rest = 1 - step.alpha_bar
    of_x0 = math.sqrt(step.alpha_bar_prev) * beta / rest
    of_xt = math.sqrt(alpha) * (1 - step.alpha_bar_prev) / rest
    return Coefficients(of_x0, of_xt, math.sqrt(beta * (1 - step.alpha_bar_prev) / rest))


def implicit(step, eta=0.0):
    """DDIM's step with the deviation of its eq. 16, and ε written as (x_t − √ᾱ·x_0) / √(1 − ᾱ)."""
    alpha = step.alpha_bar / step.alpha_bar_prev
    rest, rest_prev = 1 - step.alpha_bar, 1 - step.alpha_bar_prev
    deviation = eta * math.sqrt(rest_prev * (1 - alpha) / rest)
    # √(1 − ᾱ_prev − deviation²) / √(1 − ᾱ), without a difference, which would round away the little that is left
    of_xt = math.sqrt(rest_prev * (alpha * rest_prev + (1 - eta**2) * (1 - alpha))) / rest
    return Coefficients(math.sqrt(step.alpha_bar_prev) - of_xt * math.sqrt(step.alpha_bar), of_xt, deviation)


def _second_order(steps, rows):
    """Take x_0's mean over each step, continued linearly in λ from the step before, for its value at the step's start.

    The first step and one to the clean picture, which has no length in λ, stay of first order.
    """
    found = rows[:1]
    for before, step, row in zip(steps, steps[1:], rows[1:], strict=False):
        share = 0.0  # the weight of x_0's last change, 1/(2r) in the paper
        if step.alpha_bar_prev != 1:
            start, middle, end = (half_log_snr(a) for a in (before.alpha_bar, step.alpha_bar, step.alpha_bar_prev))
            share = float((end - middle) / (2 * (middle - start)))
        found.append(row._replace(of_x0=row.of_x0 * (1 + share), of_before=-row.of_x0 * share))
    return found


class SeededNoise:
    """A sampler's noise source for a batch: each picture has a seed of its own, from 0 to 2^128 − 1.

    Drawn with NumPy's counter-based Philox generator, so that a picture's sample is the same alone and in any batch.
    Of a large picture, :meth:`part` gives the numbers that a rectangle has in the whole.
    """

    def __init__(self, seeds):
        self.seeds, self._states = [int(seed) for seed in seeds], {}
        for seed in self.seeds:
            if not 0 <= seed < 2**128:
                raise UserError(f"a seed must be from 0 to 2^128 - 1, not {seed}")

    def __call__(self, k, shape):
        """The k-th draw: a new float32 array ``shape``, whose first dimension is the batch."""
        self._check(shape)
        draws = np.empty(shape, np.float32)
        for index, seed in enumerate(self.seeds):
            _generator(seed, k).standard_normal(dtype=np.float32, out=draws[index : index + 1])
        return draws

    def part(self, k, shape, rows, columns):
        """Those rows and columns (slices) of the k-th draw ``shape`` (B, C, H, W), of which no more is held."""
        self._check(shape)
        draws = np.empty((*shape[:2], rows.stop - rows.start, columns.stop - columns.start), np.float32)
        for index, seed in enumerate(self.seeds):
            generator = _generator(seed, k)
            if (k, seed) not in self._states:
                self._states[k, seed] = list(_states(generator, shape[1] * shape[2], shape[3]))
            for channel in range(shape[1]):
                known, beyond = divmod(channel * shape[2] + rows.start, _STATE_ROWS)
                generator.bit_generator.state = self._states[k, seed][known]
                drawn = generator.standard_normal((beyond + draws.shape[2], shape[3]), np.float32)
                draws[index, channel] = drawn[beyond:, columns]
        return draws

    def _check(self, shape):
        if shape[0] != len(self.seeds):
            raise UserError(f"each picture of a batch needs a seed: {shape[0]} pictures, {len(self.seeds)} seeds")


def _generator(seed, k):
    # the draw's number sits in the counter's top word, 2^192 blocks away from the next draw's
    return np.random.Generator(np.random.Philox(key=seed, counter=k << 192))


def _states(generator, count, width):
    """Draw ``count`` rows; yield the generator's state before every so many.

    A normal number takes one or more random words (the ziggurat), so where a row begins is known by drawing alone.
    """
    drawn = np.empty((_STATE_ROWS, width), np.float32)
    for first in range(0, count, _STATE_ROWS):
        yield generator.bit_generator.state
        generator.standard_normal(dtype=np.float32, out=drawn[: count - first])


def seeds_of(seed, count):
    """One seed for each picture of a batch: those given, or ``seed``, ``seed`` + 1, …"""
    return [seed + i for i in range(count)] if np.ndim(seed) == 0 else list(seed)


def weighted_sum(terms, out=None):
    """Return w_1·a_1 + w_2·a_2 + …, added from left to right, of a list of (weight, array).

    The first array tells the kind. NumPy arrays are summed block by block into ``out``, or a new array like the first,
    in whose dtype the sum is rounded; the only temporaries are a few blocks. Those that follow may have any strides and
    any shape that broadcasts to it. ``out`` may be one of the arrays, but not overlap with one in another way. All
    other arrays, such as MindSpore's tensors, go through plain arithmetic.
    """
    first = terms[0][1]
    if not isinstance(first, np.ndarray):
        return functools.reduce(operator.add, (float(weight) * array for weight, array in terms))
    if out is None:
        out = np.empty(first.shape, np.result_type(first.dtype, np.float16))
    weights, arrays = zip(*((float(weight), np.broadcast_to(array, out.shape)) for weight, array in terms), strict=True)
    sums, products = np.empty((2, min(BLOCK, out.size)), out.dtype)
    flags, kinds = ["external_loop", "buffered", "zerosize_ok"], [["writeonly"], *[["readonly"]] * len(arrays)]
    for target, *parts in np.nditer([out, *arrays], flags, kinds, buffersize=BLOCK):
        block, product = sums[: target.size], products[: target.size]
        np.multiply(parts[0], weights[0], out=block)
        for weight, part in zip(weights[1:], parts[1:], strict=True):
            np.multiply(part, weight, out=product)
            block += product
        target[...] = block
    return out


def _draw(noise, k, shape):
    drawn = noise(k, shape)
    if tuple(drawn.shape) != tuple(shape):
        raise UserError(f"the noise source must give arrays {tuple(shape)}, but its draw {k} is {tuple(drawn.shape)}")
    return drawn


def _own(x_0, x):
    """x_0 apart from x, which is about to be overwritten: a network may hand back what it was given."""
    arrays = isinstance(x_0, np.ndarray) and isinstance(x, np.ndarray)
    return x_0.copy() if arrays and np.may_share_memory(x_0, x) else x_0
