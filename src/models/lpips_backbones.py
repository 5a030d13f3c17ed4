"""The convolutional parts of AlexNet, VGG16 and SqueezeNet 1.1 with the features that LPIPS compares.

The layers are numbered as in torchvision's ``features``, so that its weights load by number.
"""

import mindspore as ms
from mindspore import nn, ops


class _Fire(nn.Cell):
    """SqueezeNet's module (arXiv 1602.07360): 1×1 squeeze, then 1×1 and 3×3 side by side."""

    def __init__(self, in_channels, squeezed, expanded):
        super().__init__()
        self.squeeze = _convolution(in_channels, squeezed, 1)
        self.expand1x1 = _convolution(squeezed, expanded, 1)
        self.expand3x3 = _convolution(squeezed, expanded, 3, padding=1)

    def construct(self, x):
        x = ops.relu(self.squeeze(x))
        return ops.concat((ops.relu(self.expand1x1(x)), ops.relu(self.expand3x3(x))), axis=1)


class _CeilMaxPool(nn.Cell):
    """3×3 max pooling with stride 2 of values that are not negative, the last window reaching over the edge.

    This is torch's ``ceil_mode=True``: for kernel 3 and stride 2 one more row and column always gives
    its output size, and zeros there never win against what follows a ReLU.
    """

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(3, 2)

    def construct(self, x):
        return self.pool(ops.pad(x, (0, 1, 0, 1)))


class FeatureNet(nn.Cell):
    """A chain of layers that returns the outputs of some of them.

    Attributes:
        channels: the number of channels of each output.
        min_side: the shortest side of a picture that leaves at least one pixel in each output.
    """

    def __init__(self, layers, taps, channels, min_side):
        super().__init__()
        self.layers = nn.CellList(layers)
        self.taps = taps
        self.channels = channels
        self.min_side = min_side

    def construct(self, x):
        """Return the tuple of features, (B, channels[k], h_k, w_k), of x: float32 (B, 3, H, W)."""
        features = ()
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in self.taps:
                features += (x,)
        return features


def alexnet():
    """Return AlexNet in torchvision's form (arXiv 1404.5997) with the outputs of its five ReLUs."""
    layers = [
        *(_convolution(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(_convolution(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(_convolution(192, 384, 3, padding=1), nn.ReLU()),
        *(_convolution(384, 256, 3, padding=1), nn.ReLU()),
        *(_convolution(256, 256, 3, padding=1), nn.ReLU()),
    ]
    return FeatureNet(layers, (1, 4, 7, 9, 11), (64, 192, 384, 256, 256), min_side=31)


def vgg16():
    """Return VGG16 (arXiv 1409.1556, column D) with the last ReLU of each of its five blocks."""
    layers, channels = [], 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [nn.MaxPool2d(2, 2)] if layers else []
        for _ in range(depth):
            layers += [_convolution(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return FeatureNet(layers, (3, 8, 15, 22, 29), (64, 128, 256, 512, 512), min_side=16)


def squeezenet():
    """Return SqueezeNet 1.1 (arXiv 1602.07360) with what goes into each pooling, and its last four Fire modules."""
    layers = [
        *(_convolution(3, 64, 3, stride=2), nn.ReLU(), _CeilMaxPool()),
        *(_Fire(64, 16, 64), _Fire(128, 16, 64), _CeilMaxPool()),
        *(_Fire(128, 32, 128), _Fire(256, 32, 128), _CeilMaxPool()),
        *(_Fire(256, 48, 192), _Fire(384, 48, 192), _Fire(384, 64, 256), _Fire(512, 64, 256)),
    ]
    return FeatureNet(layers, (1, 4, 7, 9, 10, 11, 12), (64, 128, 256, 384, 384, 512, 512), min_side=17)


BACKBONES = {"alex": alexnet, "vgg": vgg16, "squeeze": squeezenet}


def _convolution(in_channels, out_channels, kernel, stride=1, padding=0):
    return nn.Conv2d(
        in_channels, out_channels, kernel, stride, pad_mode="pad", padding=padding, has_bias=True, dtype=ms.float32
    )
