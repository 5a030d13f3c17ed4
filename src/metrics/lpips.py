"""LPIPS v0.1, the learned perceptual distance (Zhang et al., arXiv 1801.03924), for alex, vgg and squeeze."""

import re
from functools import partial

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from src.errors import UserError
from src.metrics.weight_files import build_from_files

# What LPIPS subtracts from and divides pictures in [-1, 1] by: ImageNet's mean and deviation on that range.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10

# torchvision's "features.3.weight", the same within `features` alone, and the lpips package's whole model.
_BACKBONE_KEY = re.compile(r"(?:features\.|net\.slice\d+\.)?(\d+\.[a-z].*)")
_LINEAR_KEY = re.compile(r"(?:lpips\.)?lin(\d+)\.model\.1\.weight")


def load_lpips(net, paths):
    """Return the :class:`LPIPSDistance` of "alex", "vgg" or "squeeze" with weights as ``find_weights`` finds them."""
    return build_from_files(net, paths, partial(lpips_from_arrays, net))


class LPIPSDistance:
    """The distance of two uint8 pictures of any size, by an :class:`LPIPS` with its weights loaded; compiles once."""

    def __init__(self, cell):
        self.net = cell.net  # belongs beside every number
        self.min_side = cell.min_side  # of a picture that the network can see
        self._cell = cell.set_train(False)
        any_size = ms.Tensor(shape=[None, 3, None, None], dtype=ms.float32)
        self._cell.set_inputs(any_size, any_size)

    def __call__(self, image, reference):
        """The distance of two uint8 (H, W, 3) RGB pictures, from 0; None with a side below ``min_side``."""
        if image.shape != reference.shape:
            raise UserError(f"LPIPS compares pictures of one shape, got {image.shape} and {reference.shape}")
        if min(image.shape[:2]) < self.min_side:
            return None
        return float(self._cell(_to_tensor(image), _to_tensor(reference)).asnumpy()[0])


def _to_tensor(image):
    """uint8 (H, W, 3) → float32 (1, 3, H, W) in [−1, 1]."""
    return ms.Tensor(np.ascontiguousarray(image.transpose(2, 0, 1)[np.newaxis], np.float32) / 127.5 - 1)


def lpips_from_arrays(net, arrays):
    """Return the :class:`LPIPSDistance` of a network with the given weights; names that it does not need are ignored.

    ``arrays`` is of torchvision's model and the linear layers of LPIPS v0.1, or of the lpips package's whole model.
    """
    cell = LPIPS(net)
    given = {_own_name(str(name)): array for name, array in arrays.items()}
    for name, parameter in cell.parameters_and_names():
        array = given.get(name)
        if array is None or np.shape(array) != parameter.shape:
            found = "nothing" if array is None else f"shape {np.shape(array)}"
            raise UserError(f"expected {name} of shape {parameter.shape} for LPIPS {net}, found {found}")
        parameter.set_data(ms.Tensor(np.ascontiguousarray(array, np.float32)))
    return LPIPSDistance(cell)


def _own_name(name):
    """Our parameter's name for one in a PyTorch file; None for what is not needed."""
    if linear := _LINEAR_KEY.fullmatch(name):
        return f"linear.{linear[1]}.weight"
    if backbone := _BACKBONE_KEY.fullmatch(name):
        return f"features.layers.{backbone[1]}"
    return None


class LPIPS(nn.Cell):
    """The distance of two batches of pictures: weighted squared differences of unit-length features, averaged."""

    def __init__(self, net):
        super().__init__()
        self.net = net
        self.features = BACKBONES[net]()
        self.min_side = self.features.min_side
        linear = [nn.Conv2d(channels, 1, 1, pad_mode="valid", has_bias=False) for channels in self.features.channels]
        self.linear = nn.CellList(linear)
        self.shift = ms.Tensor(np.array(_SHIFT, np.float32).reshape(1, 3, 1, 1))
        self.scale = ms.Tensor(np.array(_SCALE, np.float32).reshape(1, 3, 1, 1))

    def construct(self, x, y):
        """The distances, float32 (B,), of x and y: float32 (B, 3, H, W) RGB in [−1, 1]."""
        batch = x.shape[0]
        both = (ops.concat((x, y), axis=0) - self.shift) / self.scale
        distance = 0.0
        for level, feature in enumerate(self.features(both)):
            length = (feature * feature).sum(1, keepdims=True).sqrt()
            unit = feature / (length + _EPSILON)
            difference = unit[:batch] - unit[batch:]
            distance = distance + self.linear[level](difference * difference).mean((1, 2, 3))
        return distance


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


def vgg16():
    """VGG16 (arXiv 1409.1556, column D) with the last ReLU of each of its five blocks."""
    layers, channels = [], 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [nn.MaxPool2d(2, 2)] if layers else []
        for _ in range(depth):
            layers += [_convolution(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return FeatureNet(layers, (3, 8, 15, 22, 29), (64, 128, 256, 512, 512), min_side=16)


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
    """3×3 max pooling with stride 2 of values that are not negative, the last window reaching over the edge.

    This is torch's ``ceil_mode=True``: for kernel 3 and stride 2 one more row and column always gives
    its output size, and zeros there never win against what follows a ReLU.
    """

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(3, 2)

    def construct(self, x):
        return self.pool(ops.pad(x, (0, 1, 0, 1)))


def _convolution(in_channels, out_channels, kernel, stride=1, padding=0):
    return nn.Conv2d(
        in_channels, out_channels, kernel, stride, pad_mode="pad", padding=padding, has_bias=True, dtype=ms.float32
    )
