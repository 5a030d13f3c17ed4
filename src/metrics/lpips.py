"""LPIPS v0.1, the learned perceptual distance (Zhang et al., arXiv 1801.03924), for alex, vgg and squeeze."""

import re
from functools import partial

import mindspore as ms
import numpy as np
from mindspore import nn

from ..errors import UserError
from .backbones import BACKBONES, backbone_name, set_weights
from .weight_files import build_from_files

# What LPIPS subtracts from and divides pictures in [-1, 1] by: ImageNet's mean and deviation on that range.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10

_LINEAR_KEY = re.compile(r"(?:lpips\.)?lin(\d+)\.model\.1\.weight")


def load_lpips(net, paths):
    """Return the :class:`LPIPSDistance` of "alex", "vgg" or "squeeze" with weights as ``find_weights`` finds them."""
    return LPIPSDistance(build_from_files(net, paths, partial(lpips_from_arrays, net)))


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
    """Return the :class:`LPIPS` of a network with the given weights; names that it does not need are ignored.

    ``arrays`` is of torchvision's model and the linear layers of LPIPS v0.1, or of the lpips package's whole model.
    """
    cell = LPIPS(net)
    set_weights(cell, {_own_name(str(name)): array for name, array in arrays.items()}, f"LPIPS {net}")
    return cell


def _own_name(name):
    """Our parameter's name for one in a PyTorch file; None for what is not needed."""
    if linear := _LINEAR_KEY.fullmatch(name):
        return f"linear.{linear[1]}.weight"
    return f"features.{backbone}" if (backbone := backbone_name(name)) else None


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
        distance, others = 0.0, self._directions(y)
        for level, direction in enumerate(self._directions(x)):
            difference = direction - others[level]
            distance = distance + self.linear[level](difference * difference).mean((1, 2, 3))
        return distance

    def _directions(self, x):
        """The features of each level, divided by their length over the channels."""
        directions = ()
        for feature in self.features((x - self.shift) / self.scale):
            # the square root of 0 alone would have no gradient
            length = ((feature * feature).sum(1, keepdims=True) + _EPSILON**2).sqrt()
            directions += (feature / (length + _EPSILON),)
        return directions
