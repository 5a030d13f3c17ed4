"""BatchNorm."""

from mindspore import nn


class BatchNorm2d(nn.BatchNorm2d):
    """BatchNorm with PyTorch's constants."""

    def __init__(self, num_features):
        super().__init__(num_features, eps=1e-5, momentum=0.9)
