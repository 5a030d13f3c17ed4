"""Classifiers as the field's feature extractors, without their classifying layers, and their weights."""

import re

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from ..errors import UserError

# torchvision's "features.3.weight", the same within `features` alone, and the lpips package's whole model.
_KEY = re.compile(r"(?:features\.|net\.slice\d+\.)?(\d+\.[a-z].*)")


def backbone_name(name):
    """The name in a :class:`FeatureNet` of a tensor in a PyTorch file; None for what is no part of it."""
    key = _KEY.fullmatch(name)
    return f"layers.{key[1]}" if key else None


def set_weights(cell, given, title):
    """Set all parameters of a Cell from {its name: array}; what else is given is ignored."""
    for name, parameter in cell.parameters_and_names():
        array = given.get(name)
        if array is None or np.shape(array) != parameter.shape:
            found = "nothing" if array is None else f"shape {np.shape(array)}"
            raise UserError(f"expected {name} of shape {parameter.shape} for {title}, found {found}")
        parameter.set_data(ms.Tensor(np.ascontiguousarray(array, np.float32)))


class FeatureNet(nn.Cell):
    """A chain of layers that returns the outputs of those whose numbers are ``taps``."""

    def __init__(self, layers, taps, channels, min_side):
        super().__init__()
        self.layers, self.taps = nn.CellList(layers), taps
        self.channels = channels  # of each output
        self.min_side = min_side  # the shortest side of a picture that leaves at least one pixel in each output

    def construct(self, x):
        """The tuple of features, (B, channels[k], h_k, w_k), of x: float32 (B, 3, H, W)."""
        features = ()
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in self.taps:
                features += (x,)
        return features


def alexnet():
    """AlexNet in torchvision's form (arXiv 1404.5997) with the outputs of its five ReLUs."""
    layers = [
        *(_convolution(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(_convolution(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(_convolution(192, 384, 3, padding=1), nn.ReLU()),
        *(_convolution(384, 256, 3, padding=1), nn.ReLU()),
        *(_convolution(256, 256, 3, padding=1), nn.ReLU()),
    ]
    return FeatureNet(layers, (1, 4, 7, 9, 11), (64, 192, 384, 256, 256), min_side=31)


def vgg_layers(depths):
    """The names of a VGG's layers in torchvision's order: convI_J, reluI_J, the J-th of block I, and poolI after it."""
    names = []
    for block, depth in enumerate(depths, start=1):
        names += [f"{kind}{block}_{number}" for number in range(1, depth + 1) for kind in ("conv", "relu")]
        names.append(f"pool{block}")
    return tuple(names)


VGG_LAYERS = {"vgg16": vgg_layers((2, 2, 3, 3, 3)), "vgg19": vgg_layers((2, 2, 4, 4, 4))}


def vgg(network, taps):
    """VGG16 or VGG19 (arXiv 1409.1556, columns D and E) up to the last of the layers ``taps``, which it returns."""
    numbers = sorted(VGG_LAYERS[network].index(tap) for tap in taps)
    names = VGG_LAYERS[network][: numbers[-1] + 1]
    widths = [min(64 << int(name[4]) - 1, 512) for name in names]  # 64 in block 1, twice as many in each up to 512
    layers = []
    for name, before, width in zip(names, [3, *widths], widths, strict=False):
        if name.startswith("conv"):
            layers.append(_convolution(before, width, 3, padding=1))
        else:
            layers.append(nn.ReLU() if name.startswith("relu") else nn.MaxPool2d(2, 2))
    pools = sum(name.startswith("pool") for name in names)
    return FeatureNet(layers, tuple(numbers), tuple(widths[n] for n in numbers), min_side=2**pools)


def vgg16():
    """VGG16 with the last ReLU of each of its five blocks."""
    return vgg("vgg16", ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"))


def squeezenet():
    """SqueezeNet 1.1 (arXiv 1602.07360) with what goes into each pooling, and its last four Fire modules."""
    layers = [
        *(_convolution(3, 64, 3, stride=2), nn.ReLU(), _CeilMaxPool()),
        *(_Fire(64, 16, 64), _Fire(128, 16, 64), _CeilMaxPool()),
        *(_Fire(128, 32, 128), _Fire(256, 32, 128), _CeilMaxPool()),
        *(_Fire(256, 48, 192), _Fire(384, 48, 192), _Fire(384, 64, 256), _Fire(512, 64, 256)),
    ]
    return FeatureNet(layers, (1, 4, 7, 9, 10, 11, 12), (64, 128, 256, 384, 384, 512, 512), min_side=17)


BACKBONES = {"alex": alexnet, "vgg": vgg16, "squeeze": squeezenet}


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
    """3×3 max pooling with stride 2, the last window reaching over the edge.

    This is torch's ``ceil_mode=True``: for kernel 3 and stride 2 one more row and column always gives its output size,
    and a copy of the last there changes no maximum. (``ops.pad`` in a training's graph hung for ever, mindspore 2.10 on
    the CPU.)
    """

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(3, 2)

    def construct(self, x):
        x = ops.concat((x, x[:, :, -1:]), 2)
        return self.pool(ops.concat((x, x[..., -1:]), 3))


def _convolution(in_channels, out_channels, kernel, stride=1, padding=0):
    return nn.Conv2d(
        in_channels, out_channels, kernel, stride, pad_mode="pad", padding=padding, has_bias=True, dtype=ms.float32
    )
