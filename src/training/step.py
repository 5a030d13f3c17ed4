"""One optimiser step of each objective: as one graph, or as one graph per pass and one for the update."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from ..layers.precision import ScaledLoss


class JointStep:
    """The steps of several objectives, such as a generator's and a discriminator's, one after the other.

    Each takes the batches that the loss before it hands on, or the same ones. ``main`` is the :class:`TrainStep` whose
    loss and gradient are the run's.
    """

    def __init__(self, steps, main):
        self.steps, self.main = steps, main

    def __call__(self, batches):
        """Train on a list of batches, one for each pass.

        Returns the main objective's loss and gradient norm, whether all steps were taken, and what the losses say of
        themselves: a list of (names, tensor of values), of the last pass on this rank.
        """
        parts, taken = [], True
        for step in self.steps:
            (loss, norm, step_taken), beside = step.run(batches)
            if step is self.main:
                result = loss, norm
            taken = step_taken if taken is True else ops.logical_and(taken, step_taken)
            if step.parts:
                parts.append((step.parts, beside[-1][0]))
                batches = [handed for _, *handed in beside] if len(beside[-1]) > 1 else batches
        return *result, taken, parts


class TrainStep:
    """An optimiser step over one or several passes, each over a batch, of which ``loss`` returns the mean.

    A loss whose class has ``parts``, a tuple of names, returns beside itself a tensor of their values and, if it hands
    them on, the columns of the next objective's batch.
    """

    def __init__(self, loss, update, passes=1):
        self.update, self.parts = update, getattr(loss, "parts", ())
        self.whole = WholeStep(loss, update) if passes == 1 else None
        if passes > 1:
            self.accumulate = Accumulate(loss, update)
            self.finish = UpdateFromSums(self.accumulate, update)
        # the loss by itself: whoever holds its gradient only does not hand the mode on to it
        for cell in (loss, self.whole) if passes == 1 else (loss, self.accumulate, self.finish):
            cell.set_train()

    def __call__(self, batches):
        """Train on a list of batches, one for each pass; return what :class:`Update` does."""
        return self.run(batches)[0]

    def run(self, batches):
        """Return what :class:`Update` does, and for each batch the tuple of what the loss returned beside itself."""
        if self.whole:
            loss, norm, taken, *beside = self.whole(*batches[0])
            return (loss, norm, taken), [beside]
        beside = [self.accumulate(*batch)[1:] for batch in batches]
        return self.finish(), beside


class Update(nn.Cell):
    """From gradients to new weights: mean over the ranks, unscale, check, clip, Adam, moving average.

    A step whose loss or gradient is not finite, or whose loss is above :meth:`skip_above`'s limit, changes neither
    weights, moments nor averages; only the optimiser's count of steps goes on, since the learning rate is a function of
    it, and BatchNorm's moving statistics follow every pass. All ranks decide alike, for they decide on the means.

    A gradient whose global norm is above ``clip_norm`` is scaled down to it; 0 leaves it. Gradients carry the scale of
    the ``scaler`` and are sums over so many ``passes``. ``mean`` and ``gradient_mean`` are Cells that average a tensor
    and a tuple of gradients over the ranks; None for one rank.
    """

    def __init__(self, optimizer, clip_norm=0.0, average=None, scaler=None, passes=1, mean=None, gradient_mean=None):
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer
        self.clip_norm = float(clip_norm)
        self.average = average
        self.scaler = scaler
        self.adjusts = isinstance(scaler, ms.amp.DynamicLossScaler)
        self.share = 1.0 / passes
        self.mean, self.gradient_mean = mean, gradient_mean
        self.limit = ms.Parameter(ms.Tensor(np.inf, ms.float32), name="loss_limit", requires_grad=False)
        self.map = ops.HyperMap()
        self.one = ms.Tensor(1, ms.int32)

    def skip_above(self, limit):
        ops.assign(self.limit, ms.Tensor(limit, ms.float32))

    def construct(self, loss, gradients):
        """Update from the unscaled loss and the scaled gradients, both summed over the passes.

        Returns the mean loss, the norm of the gradient before clipping (float32 scalars), and whether the step was
        taken.
        """
        loss = loss * self.share
        if self.mean is not None:
            loss = self.mean(loss)
            gradients = self.gradient_mean(gradients)
        factor = self.share
        if self.scaler is not None:
            factor = self.scaler.unscale(ops.fill(ms.float32, (), self.share))
        norm = ops.sqrt(ops.addn(self.map(_square_sum, gradients))) * factor
        finite = ops.isfinite(norm)
        taken = ops.logical_and(finite, ops.isfinite(loss))
        taken = ops.logical_and(taken, loss <= self.limit)
        if self.clip_norm > 0:
            factor = factor * (self.clip_norm / ops.maximum(norm, self.clip_norm))
        if taken:
            self._apply(factor, gradients)
        else:
            ops.assign_add(self.optimizer.global_step, self.one)
        if self.adjusts:
            self.scaler.adjust(finite)
        return loss, norm, taken

    def _apply(self, factor, gradients):
        if self.clip_norm > 0 or self.scaler is not None or self.share != 1.0:
            gradients = self.map(ops.partial(_scale, factor), gradients)
        self.optimizer(gradients)
        if self.average is not None:
            self.average()


class WholeStep(nn.Cell):
    """Forward, backward and update as one graph.

    A Cell with ``value_and_grad`` inside: a ``@ms.jit`` function of the same ran up to twice slower on CPU.
    """

    def __init__(self, loss, update):
        super().__init__(auto_prefix=False)
        self.gradient = Gradient(loss, update)
        self.update = update

    def construct(self, *batch):
        losses, gradients = self.gradient(*batch)
        return self.update(losses[0], gradients) + losses[1:]


class Gradient(nn.Cell):
    """The loss of a batch and what it returns beside, a tuple, and the gradients, which carry the loss scale."""

    def __init__(self, loss, update):
        super().__init__(auto_prefix=False)
        self.scaled, self.tells = update.scaler is not None, bool(getattr(loss, "parts", ()))
        loss = ScaledLoss(loss, update.scaler, self.tells) if self.scaled else loss
        aside = self.scaled or self.tells
        self.gradient = ms.value_and_grad(loss, None, update.optimizer.parameters, has_aux=aside)

    def construct(self, *batch):
        losses, gradients = self.gradient(*batch)
        if self.scaled:
            return losses[1:], gradients
        return losses if self.tells else (losses,), gradients


class Accumulate(nn.Cell):
    """Forward and backward of one pass, added to what the passes before gave."""

    def __init__(self, loss, update):
        super().__init__(auto_prefix=False)
        self.gradient = Gradient(loss, update)
        self.loss_sum = ms.Parameter(ms.Tensor(0, ms.float32), name="loss_sum", requires_grad=False)
        self.sums = update.optimizer.parameters.clone(prefix="sum", init="zeros")
        self.map = ops.HyperMap()

    def construct(self, *batch):
        losses, gradients = self.gradient(*batch)
        ops.assign_add(self.loss_sum, losses[0])
        self.map(ops.assign_add, self.sums, gradients)
        return losses


class UpdateFromSums(nn.Cell):
    """The update from what :class:`Accumulate` summed, which begins anew with it."""

    def __init__(self, accumulate, update):
        super().__init__(auto_prefix=False)
        self.loss_sum, self.sums = accumulate.loss_sum, accumulate.sums
        self.update = update
        self.map = ops.HyperMap()

    def construct(self):
        result = self.update(self.loss_sum, self.sums)
        self.map(_clear, self.sums)
        _clear(self.loss_sum)
        return result


def _square_sum(gradient):
    return 2 * ops.L2Loss()(gradient)  # six times as fast as a square and a sum on the CPU


def _scale(factor, gradient):
    return gradient * factor


def _clear(total):
    return ops.assign(total, ops.zeros_like(total))
