"""A network as the entry of a graph of its own."""

from mindspore import nn


class Forward(nn.Cell):
    """Calls a Cell and shares its parameters.

    Input shapes fixed with ``set_inputs`` belong to the wrapper, so that the same network can be compiled for any
    size here and for one size in training.
    """

    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, *inputs):
        return self.net(*inputs)
