"""A tiny network with BatchNorm and the gradients of a loss, on one rank or several."""

import mindspore as ms
import numpy as np
from mindspore import nn

from src.layers.batch_norm import BatchNorm2d
from src.layers.ranks import MeanOverRanks
from src.training.distributed import gradient_mean


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 2, 3)
        self.norm2 = BatchNorm2d(2)
        draw = np.random.default_rng(5)
        for parameter in self.trainable_params():
            parameter.set_data(ms.Tensor(draw.standard_normal(parameter.shape), ms.float32))

    def construct(self, x):
        return (self.norm2(self.conv2(self.norm(self.conv(x * 0.01)))) * x[:, :2]).sigmoid().mean()


class Step(nn.Cell):
    """The loss and the gradients, means over the ranks."""

    def __init__(self, world):
        super().__init__(auto_prefix=False)
        self.net = Net()
        self.gradient = ms.value_and_grad(self.net, None, self.net.trainable_params())
        self.mean = self.gradient_mean = None
        if world.size > 1:
            self.net.norm.over_ranks(world.size)
            self.net.norm2.over_ranks(world.size)
            self.mean = MeanOverRanks(world.size)
            self.gradient_mean = gradient_mean(self.net.trainable_params(), world)
        self.set_train()

    def construct(self, x):
        loss, gradients = self.gradient(x)
        if self.mean is None:
            return loss, gradients
        return self.mean(loss), self.gradient_mean(gradients)
