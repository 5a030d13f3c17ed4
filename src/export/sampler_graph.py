"""A whole sampler as one graph: LR and noise in, HR picture out, for programs that cannot loop over steps.

Batch, height and width are fixed, and so are sampler, steps and temperature. The same arithmetic as
:class:`src.inference.diffusion_upscaler.DiffusionUpscaler` does on the host, its numbers from the same functions.
"""

from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from ..diffusion.process import x0_coefficients
from ..diffusion.samplers import SAMPLERS
from ..imaging.back_projection import CLOSE_ENOUGH, PROGRESS, reduction_matrix

ROUNDS = 8  # of making the finished picture agree with LR; photographs take one to four


class Plan(NamedTuple):
    steps: list  # of ``src.diffusion.schedule.Step``
    sampling: tuple  # a resolved ``src.inference.sampling.Sampling``
    prediction: str  # what the network predicts, "noise" or "velocity"
    target: object  # a ``ResidualTarget`` or an ``ImageTarget``
    size: tuple[int, int, int]  # (B, h, w) of LR, or of an unconditional model's pictures
    scale: int  # HR size / LR size
    noise_level: object  # what the network is told, see :mod:`src.diffusion.noise_level`

    def rows(self):
        """:class:`src.diffusion.samplers.Coefficients` for each step."""
        sampler = SAMPLERS[self.sampling.sampler]
        return sampler.coefficients(self.steps, **{name: getattr(self.sampling, name) for name in sampler.options})

    @property
    def draws(self):
        """How many standard normal arrays (B, 3, H, W) the graph takes: x_T, and one for each step that adds noise."""
        noisy = [k for k, row in enumerate(self.rows()) if row.deviation * self.sampling.temperature > 0]
        return 2 + noisy[-1] if noisy else 1


class Sampler(nn.Cell):
    """The whole: lr (B, 3, h, w) in [−1, 1], noise (draws, B, 3, H, W) → (B, 3, H, W) in [−1, 1], float32.

    ``model`` maps x_t, t and, if it looks at pictures, the condition to its prediction.
    """

    def __init__(self, model, plan):
        super().__init__(auto_prefix=False)
        self.start, self.advance, self.finish = Start(model, plan), Advance(model, plan), Finish(plan)
        self.first = ms.Tensor(0, ms.int32)
        self.count = len(plan.steps)

    def construct(self, lr, noise):
        x, condition, goal, base = self.start(lr, noise)
        return self.finish(self.steps(x, noise, condition, goal), base, lr)

    def steps(self, x, noise, *condition):
        before, k = x, self.first
        while k < self.count:
            x, before = self.advance(k, x, before, noise, *condition)
            k = k + 1
        return x


class UnconditionalSampler(Sampler):
    """The same of a model that looks at no picture; an entry of its own, since its input is to be named noise."""

    def construct(self, noise):
        return self.finish(self.steps(self.start(noise), noise))


class Start(nn.Cell):
    """Before the steps: lr and noise → x_T, the condition, what x_0 is reduced to, base picture; or noise → x_T."""

    def __init__(self, model, plan):
        super().__init__(auto_prefix=False)
        self.model, self.temperature = model, float(plan.sampling.temperature)
        self.target = plan.target
        self.consistent = plan.sampling.consistency
        self.agreement = Agreement(plan) if self.consistent else nn.Identity()

    def construct(self, *inputs):
        x = inputs[-1][0] * self.temperature
        if len(inputs) == 1:
            return x
        lr = inputs[0]
        condition, base = self.model.encode(lr)
        goal = self.target.unclipped(lr, self.agreement.reduce(base)) if self.consistent else lr
        return x, condition, goal, base


class Advance(nn.Cell):
    """Step k, a tensor int32 (): x_t and the step before's x_0 → x_{t_prev} and x_0.

    ``condition`` is the network's and what x_0 is to be reduced to; of an unconditional model there is none.
    """

    def __init__(self, model, plan):
        super().__init__(auto_prefix=False)
        self.model, self.clip, self.consistent = model, plan.target.clip, plan.sampling.consistency
        self.agreement = Agreement(plan) if self.consistent else nn.Identity()
        self.batch, self.draws, rows = plan.size[0], plan.draws, plan.rows()
        of_xt, of_prediction = zip(*(x0_coefficients(plan.prediction, s.alpha_bar) for s in plan.steps), strict=True)
        levels = np.array([plan.noise_level.of(step) for step in plan.steps])
        self.levels = ms.Tensor(levels.astype(plan.noise_level.dtype))
        self.of_xt, self.of_prediction = _table(of_xt), _table(of_prediction)
        self.to_x0, self.to_xt = _table([row.of_x0 for row in rows]), _table([row.of_xt for row in rows])
        self.to_before = _table([row.of_before for row in rows])
        self.deviation = _table([row.deviation * plan.sampling.temperature for row in rows])
        self.second_order = any(row.of_before for row in rows)

    def construct(self, k, x, before, noise, *condition):
        t = ops.broadcast_to(ops.gather(self.levels, k, 0).reshape(1), (self.batch,))
        prediction = self.model(x, t, *condition[:1])
        x_0 = ops.gather(self.of_xt, k, 0) * x + ops.gather(self.of_prediction, k, 0) * prediction
        if self.clip:
            x_0 = ops.clamp(x_0, -1.0, 1.0)
        if self.consistent:
            x_0 = self.agreement.project(x_0, condition[1])
        x = ops.gather(self.to_x0, k, 0) * x_0 + ops.gather(self.to_xt, k, 0) * x
        if self.second_order:
            x = x + ops.gather(self.to_before, k, 0) * before
        if self.draws > 1:  # where a step adds none, its deviation is 0
            z = ops.gather(noise, ops.minimum(k + 1, self.draws - 1), 0)
            x = x + ops.gather(self.deviation, k, 0) * z
        return x, x_0


class Finish(nn.Cell):
    """After the steps: x_0, and if there are pictures the base picture and lr → the picture."""

    def __init__(self, plan):
        super().__init__(auto_prefix=False)
        self.target, self.consistent = plan.target, plan.sampling.consistency
        self.agreement = Agreement(plan) if self.consistent else nn.Identity()

    def construct(self, x_0, base=None, lr=None):
        picture = self.target.to_picture(x_0, base)
        return self.agreement.fit(picture, lr) if self.consistent else picture


class Agreement(nn.Cell):
    """:class:`src.imaging.back_projection.BackProjection` for one size in a graph, as products with whole matrices.

    ``fit`` makes at most :data:`ROUNDS` rounds, where the host makes up to forty, and agrees to 8-bit levels alone.
    """

    def __init__(self, plan):
        super().__init__(auto_prefix=False)
        rows, columns = (reduction_matrix(side, plan.scale) for side in plan.size[1:])
        solve_rows, solve_columns = (np.linalg.inv(matrix @ matrix.T) for matrix in (rows, columns))
        self.reduce, self.solved = Separable(rows, columns), Separable(solve_rows, solve_columns)
        self.spread = Separable(rows.T, columns.T)
        self.raised = Separable(rows.T @ solve_rows, columns.T @ solve_columns)
        self.rows_reduced, self.columns_reduced = Separable(rows, None), Separable(None, columns)
        batch, height, width = plan.size
        self.no_multipliers = ms.Tensor(np.zeros((batch, 3, height, width)), ms.float32)
        self.no_age = ms.Tensor(np.zeros((batch, 3, 1, 1)), ms.float32)

    def project(self, x, goal):
        """The nearest picture to x that is reduced to ``goal``."""
        return x + self.raised(goal - self.reduce(x))

    def fit(self, picture, lr):
        """The finished picture, agreeing within [−1, 1]; what is done to each channel stops when it is done there."""
        picture = ops.clamp(picture, -1.0, 1.0)
        multipliers = previous = best = self.no_multipliers
        age, going = self.no_age, self.no_age + 1
        least = going * 1e30
        for _ in range(ROUNDS):
            trial = multipliers + ops.maximum(age - 1, 0.0) / (age + 2) * (multipliers - previous)
            missing = lr - self._reduced_in_range(picture, trial)
            error = ops.sqrt(ops.mean(missing * missing, (2, 3), True))
            better = going * _as_float(error < least)
            unfinished = _as_float(error < PROGRESS * least) * _as_float(error > CLOSE_ENOUGH)
            best, least = better * trial + (1 - better) * best, better * error + (1 - better) * least
            going = going * unfinished
            previous, multipliers = multipliers, trial + self.solved(missing)
            uphill = ops.mean(missing * (multipliers - previous), (2, 3), True) > 0
            age = (age + 1) * _as_float(uphill)
        return ops.clamp(picture + self.spread(best), -1.0, 1.0)

    def _reduced_in_range(self, picture, multipliers):
        strip = ops.clamp(picture + self.spread(multipliers), -1.0, 1.0)
        strip = ops.clamp(self.rows_reduced(strip), -1.0, 1.0)
        return ops.clamp(self.columns_reduced(strip), -1.0, 1.0)


class Separable(nn.Cell):
    """left · x · rightᵀ for each channel of (B, C, n, m), with matrices (n', n) and (m', m); None is the identity."""

    def __init__(self, left, right):
        super().__init__(auto_prefix=False)
        self.left, self.right = (None if m is None else _table(np.ascontiguousarray(m.T)) for m in (left, right))
        self.product = ops.MatMul()

    def construct(self, x):
        if self.right is not None:
            x = self._last_axis(x, self.right)
        if self.left is not None:
            x = self._last_axis(x.transpose(0, 1, 3, 2), self.left).transpose(0, 1, 3, 2)
        return x

    def _last_axis(self, x, matrix):
        b, c, n, m = x.shape
        return self.product(x.reshape(b * c * n, m), matrix).reshape(b, c, n, matrix.shape[1])


def _as_float(condition):
    return condition.astype(ms.float32)


def _table(numbers):
    return ms.Tensor(np.array(numbers), ms.float32)
