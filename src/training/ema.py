"""The exponential moving average of the weights, kept up in the graph of the training step."""

import mindspore as ms
from mindspore import nn, ops

from ..weights.checkpoint import PREFIX


class MovingAverage(nn.Cell):
    """Averages, named ``ema.p``, of parameters: average ← d·average + (1 − d)·parameter (arXiv 2006.11239, section 4).

    d = min(decay, (1 + n) / (10 + n)) at the n-th update, so that the first weights, which are random, are soon
    forgotten (TensorFlow's ``num_updates``).
    """

    def __init__(self, parameters, averages, decay):
        super().__init__(auto_prefix=False)
        named = {average.name: average for average in averages}
        self.parameters = ms.ParameterTuple(list(parameters))
        self.averages = ms.ParameterTuple([named[PREFIX + parameter.name] for parameter in self.parameters])
        self.updates = ms.Parameter(ms.Tensor(0, ms.int32), name="ema_updates", requires_grad=False)
        self.decay = float(decay)
        self.map = ops.HyperMap()

    def start(self):
        for parameter, average in zip(self.parameters, self.averages, strict=True):
            ops.assign(average, parameter.value())

    def construct(self):
        self.updates += 1
        count = self.updates.astype(ms.float32)
        share = 1 - ops.minimum((1 + count) / (10 + count), self.decay)
        return self.map(ops.partial(_move, share), self.averages, self.parameters)


def _move(share, average, parameter):
    return ops.assign(average, average + share * (parameter - average))
