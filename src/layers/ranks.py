"""What layers and losses need of the ranks that train together."""

from mindspore import nn, ops


class MeanOverRanks(nn.Cell):
    """The mean of a tensor, float16 or float32, over the ranks, for use in a graph; every rank gets the same bits.

    Its gradient is the mean over the ranks, too: with gradients that are averaged over the ranks afterwards, a loss
    that depends on it has the gradient that one process with the whole batch would have.
    """

    def __init__(self, size):
        super().__init__(auto_prefix=False)
        self.size = size
        self.sum = ops.AllReduce(ops.ReduceOp.SUM)

    def construct(self, tensor):
        return self.sum(tensor) / self.size
