"""The loop that all samplers share: from x_T down the steps, each a weighted sum of x_t, x_0 and noise."""

import functools
import math
import operator
from functools import partial
from typing import NamedTuple

import numpy as np

from src.diffusion.schedule import half_log_snr
from src.errors import UserError

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


def seeds_of(seed, count):
    """One seed for each picture of a batch: those given, or ``seed``, ``seed`` + 1, …"""
    return [seed + i for i in range(count)] if np.ndim(seed) == 0 else list(seed)


class Transition(NamedTuple):
    """One step down: x_{t_prev} = of_x0·x_0 + of_xt·x_t + deviation·z with standard normal z."""

    of_x0: float
    of_xt: float
    deviation: float


class Row(NamedTuple):
    """One step with all that is known beforehand: x_{t_prev} = of_x0·x_0 + of_xt·x_t + of_before·x_0' + deviation·z.

    x_0' is the step before's x_0; of_before is 0 in samplers of first order, and in the first step.
    """

    of_x0: float
    of_xt: float
    of_before: float
    deviation: float


def rows(transition, steps, second_order=False):
    """Return a :class:`Row` for each step; arguments as for :func:`walk`."""
    found = []
    for k, step in enumerate(steps):
        of_x0, of_xt, deviation = transition(step)
        share = _continuation(steps[k - 1], step) if second_order and k > 0 else 0.0
        found.append(Row(of_x0 * (1 + share), of_xt, -of_x0 * share, deviation))
    return found


def walk(transition, denoise, shape, steps, noise, temperature, callback, second_order=False):
    """Run a sampler.

    Args:
        transition: ``transition(step) → Transition``; without noise for a step to t_prev = −1.
        denoise, shape, steps, noise, temperature, callback: as for :func:`~src.diffusion.samplers.ddpm`.
        second_order: take x_0 not as the network sees it at the step's start, but as its mean over the step, continued
            linearly in λ from the step before.

    Returns:
        x after the last step.
    """
    x = weighted_sum([(temperature, _draw(noise, 0, shape))])
    x_0_before = None
    for k, (step, row) in enumerate(zip(steps, rows(transition, steps, second_order), strict=True)):
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


def _draw(noise, k, shape):
    drawn = noise(k, shape)
    if tuple(drawn.shape) != tuple(shape):
        raise UserError(f"the noise source must give arrays {tuple(shape)}, but its draw {k} is {tuple(drawn.shape)}")
    return drawn


def _own(x_0, x):
    """Return x_0 apart from x, which is about to be overwritten: a network may hand back what it was given."""
    arrays = isinstance(x_0, np.ndarray) and isinstance(x, np.ndarray)
    return x_0.copy() if arrays and np.may_share_memory(x_0, x) else x_0


def _continuation(before, step):
    """The weight of x_0's last change, 1/(2r) in algorithm 2 of DPM-Solver++ (arXiv 2211.01095).

    A step to the clean picture has no length in λ, so it stays of first order: weight 0.
    """
    if step.alpha_bar_prev == 1:
        return 0.0
    start, middle, end = (half_log_snr(a) for a in (before.alpha_bar, step.alpha_bar, step.alpha_bar_prev))
    return float((end - middle) / (2 * (middle - start)))


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


def ddpm(denoise, shape, steps, noise, temperature=1.0, callback=None):
    """Draw x_0 by walking down the posterior q(x_{t_prev} | x_t, x_0).

    With strides longer than 1 the posterior is that of the shorter chain with the same ᾱ at the visited steps.

    Every sampler takes these arguments and keeps this contract, on NumPy arrays and on MindSpore tensors; float32
    stays float32. On NumPy arrays, x is a buffer of the sampler's own that each step overwrites; what ``noise`` and
    ``denoise`` return is only read.

    Args:
        denoise: ``denoise(x_t, step) → x_0`` estimate, clipped if the target is. It must not write to x_t, and must
            leave alone what it returned: second-order samplers read it in the step after, too.
        shape: of x, such as (B, 3, H, W).
        steps: list of ``schedule.Step``, the noisiest first.
        noise: ``noise(k, shape)`` gives the k-th standard normal array: 0 is x_T, k + 1 belongs to ``steps[k]``.
            Asked in this order, and only for what is used: never for the last step, which has no variance, and for
            x_T alone where the steps add no noise.
        temperature: scales all noise; 1 samples the model's distribution, towards 0 comes its mode.
        callback: called after each step as ``callback(k, step, x, x_0)``, k counting from 0. It must copy what it
            keeps of x.

    Returns:
        x at the end of the last step, of the noise's type and dtype.

    Raises:
        UserError: the noise is of another shape.
    """
    return walk(posterior, denoise, shape, steps, noise, temperature, callback)


def sr3(denoise, shape, steps, noise, temperature=1.0, callback=None):
    """Draw x_0 as SR3 does: the posterior's mean, but the variance 1 − α of the step (arXiv 2104.07636, eq. 11).

    This is the larger of DDPM's two choices (arXiv 2006.11239, section 3.2). They agree for short steps; a long one
    leaves more noise in x than the next step's network was trained for.

    Args and returns: as for :func:`ddpm`.
    """
    return walk(widened, denoise, shape, steps, noise, temperature, callback)


def posterior(step):
    """q(x_{t_prev} | x_t, x_0) (arXiv 2006.11239, eq. 7), for neighbours and for longer strides.

    Returns:
        a :class:`~src.diffusion.samplers.Transition`.
    """
    alpha = step.alpha_bar / step.alpha_bar_prev
    beta = 1 - alpha
    rest = 1 - step.alpha_bar
    of_x0 = math.sqrt(step.alpha_bar_prev) * beta / rest
    of_xt = math.sqrt(alpha) * (1 - step.alpha_bar_prev) / rest
    return Transition(of_x0, of_xt, math.sqrt(beta * (1 - step.alpha_bar_prev) / rest))


def widened(step):
    """The posterior's mean with SR3's variance, but for the last step, which adds no noise; see :func:`posterior`."""
    last = step.alpha_bar_prev == 1
    return posterior(step)._replace(deviation=0.0 if last else math.sqrt(1 - step.alpha_bar / step.alpha_bar_prev))


def ddim(denoise, shape, steps, noise, temperature=1.0, callback=None, eta=0.0):
    """Draw x_0 by keeping a part of the noise that the network saw, and renewing the rest (eq. 12).

    Args:
        denoise, shape, steps, noise, temperature, callback: as for :func:`~src.diffusion.samplers.ddpm`.
        eta: from 0, where x_T decides everything, to 1, which is DDPM.

    Returns:
        as :func:`~src.diffusion.samplers.ddpm`.

    Raises:
        UserError: eta is out of range, or the noise is of another shape.
    """
    if not 0 <= eta <= 1:
        raise UserError(f"eta must be from 0 to 1, not {eta}")
    return walk(partial(implicit, eta=eta), denoise, shape, steps, noise, temperature, callback)


def implicit(step, eta=0.0):
    """The step of eq. 12 with the deviation of eq. 16, its ε written as (x_t − √ᾱ·x_0) / √(1 − ᾱ).

    Returns:
        a :class:`~src.diffusion.samplers.Transition`.
    """
    alpha = step.alpha_bar / step.alpha_bar_prev
    rest, rest_prev = 1 - step.alpha_bar, 1 - step.alpha_bar_prev
    deviation = eta * math.sqrt(rest_prev * (1 - alpha) / rest)
    # √(1 − ᾱ_prev − deviation²) / √(1 − ᾱ), without a difference, which would round away the little that is left
    of_xt = math.sqrt(rest_prev * (alpha * rest_prev + (1 - eta**2) * (1 - alpha))) / rest
    return Transition(math.sqrt(step.alpha_bar_prev) - of_xt * math.sqrt(step.alpha_bar), of_xt, deviation)


def dpmpp_2m(denoise, shape, steps, noise, temperature=1.0, callback=None):
    """Follow the probability flow to second order (algorithm 2); x_T decides everything.

    The first step and the one to the clean picture are of first order.

    Args and returns: as for :func:`~src.diffusion.samplers.ddpm`.
    """
    return walk(implicit, denoise, shape, steps, noise, temperature, callback, second_order=True)


def dpmpp_2m_sde(denoise, shape, steps, noise, temperature=1.0, callback=None):
    """Follow the diffusion equation (SDE-DPM-Solver++(2M)): noise in every step but the last.

    The first step and the one to the clean picture are of first order.

    Args and returns: as for :func:`~src.diffusion.samplers.ddpm`.
    """
    return walk(posterior, denoise, shape, steps, noise, temperature, callback, second_order=True)


SAMPLERS = {"ddpm": ddpm, "ddim": ddim, "dpmpp_2m": dpmpp_2m, "dpmpp_2m_sde": dpmpp_2m_sde, "sr3": sr3}


def sampler_named(name):
    """Return the sampler function.

    Raises:
        UserError: there is none of this name; the message lists all.
    """
    if name not in SAMPLERS:
        raise UserError(f"sampler must be one of {', '.join(SAMPLERS)}, not '{name}'")
    return SAMPLERS[name]


def rows_of(name, steps, eta=0.0):
    """What a sampler does in each step, as numbers: for graphs and programs that walk without this package.

    Args:
        name: one of ``SAMPLERS``.
        steps: list of ``schedule.Step``.
        eta: of ``ddim``.

    Returns:
        list of :class:`~src.diffusion.samplers.Row`.
    """
    sampler_named(name)
    transitions = {"ddpm": posterior, "sr3": widened, "dpmpp_2m": implicit, "dpmpp_2m_sde": posterior}
    return rows(transitions.get(name, partial(implicit, eta=eta)), steps, second_order=name.startswith("dpmpp_2m"))
