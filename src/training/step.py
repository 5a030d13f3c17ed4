"""One optimiser step as one graph."""

import mindspore as ms
from mindspore import nn, ops


class TrainStep(nn.Cell):
    """Forward, backward, clipping by the global norm, update.

    A Cell with ``value_and_grad`` inside: a ``@ms.jit`` function of the same ran up to twice slower on CPU.

    Args:
        loss: a Cell that returns a scalar.
        optimizer: of the parameters to train.
        clip_norm: the gradient is scaled down to this global norm where it is larger; 0 leaves it.
    """

    def __init__(self, loss, optimizer, clip_norm=0.0):
        super().__init__(auto_prefix=False)
        self.loss = loss
        self.optimizer = optimizer
        self.clip_norm = float(clip_norm)
        self.gradient = ms.value_and_grad(loss, None, optimizer.parameters)
        self.map = ops.HyperMap()

    def construct(self, *batch):
        """Train on one batch; return the loss and the gradient's global norm before clipping, float32 scalars."""
        loss, gradients = self.gradient(*batch)
        norm = ops.sqrt(ops.addn(self.map(_square_sum, gradients)))
        if self.clip_norm > 0:
            factor = self.clip_norm / ops.maximum(norm, self.clip_norm)
            gradients = self.map(ops.partial(_scale, factor), gradients)
        loss = ops.depend(loss, self.optimizer(gradients))
        return loss, norm


def _square_sum(gradient):
    return ops.square(gradient).sum()


def _scale(factor, gradient):
    return gradient * factor
