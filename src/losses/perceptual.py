"""Perceptual losses (arXiv 1603.08155): the difference of two pictures in the eyes of a classifier."""

import math
from functools import partial

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from ..errors import UserError
from ..metrics.backbones import VGG_LAYERS, backbone_name, set_weights, vgg
from ..metrics.lpips import lpips_from_arrays
from ..metrics.weight_files import build_from_files, find_weights
from .pixel import PixelLoss

# ImageNet's, of RGB in [0, 1]
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
_REMEDY = "fetch what is missing with train.py --vgg-download, or name a folder or file by perceptual.weights"


def load_perceptual(network, layers="conv5_4", loss="l1", normalize=True, weights=""):
    """A Cell of (sr, hr), float32 (B, 3, H, W) RGB in [0, 1] → a scalar, with frozen weights from a file.

    ``network`` is vgg16 or vgg19, for :class:`PerceptualLoss`, or lpips_alex, lpips_vgg or lpips_squeeze, which take
    none of the three settings that follow; ``weights`` is as of :func:`find_perceptual`.
    """
    net, paths = network.removeprefix("lpips_"), find_perceptual(network, weights)
    if network.startswith("lpips_"):
        return LPIPSLoss(build_from_files(net, paths, partial(lpips_from_arrays, net)))
    return build_from_files(net, paths, partial(perceptual_from_arrays, network, layers, loss, normalize))


def find_perceptual(network, weights="", download=False):
    """The paths of a network's files: ``weights``, a file or folder, or the cache folder, which download completes."""
    return find_weights(network.removeprefix("lpips_"), weights or None, download, _REMEDY)


def perceptual_from_arrays(network, layers, loss, normalize, arrays):
    """:class:`PerceptualLoss` with torchvision's weights, {name: array}; those of its classifier are ignored."""
    cell = PerceptualLoss(network, parse_layers(layers, network), loss, normalize)
    set_weights(cell.backbone, {backbone_name(str(name)): array for name, array in arrays.items()}, network.upper())
    return cell


def parse_layers(text, network):
    """From "conv1_2=0.1,conv5_4" to {"conv1_2": 0.1, "conv5_4": 1.0}; UserError where it does not fit the network."""
    found = {}
    for part in text.split(","):
        name, _, number = (side.strip() for side in part.partition("="))
        if name not in VGG_LAYERS[network]:
            raise UserError(
                f"perceptual.layers: {network} has no layer '{name}': expected such as conv1_2=0.1,conv5_4=1, with "
                f"convI_J (before its activation), reluI_J (after) or poolI, up to {VGG_LAYERS[network][-2]} and pool5"
            )
        if name in found:
            raise UserError(f"perceptual.layers names {name} twice: give it one weight")
        found[name] = _weight(name, number if "=" in part else "1")
    return found


def _weight(name, number):
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise UserError(f"perceptual.layers: the weight of {name} must be a number above 0, got '{number}'")
    return weight


class PerceptualLoss(nn.Cell):
    """The weighted sum of the mean absolute ("l1") or squared ("l2") differences of a VGG's features.

    ``layers`` is {name: weight} as :func:`parse_layers` reads them; ``normalize`` pictures by ImageNet's mean and
    deviation. No layer behind the last is built.
    """

    def __init__(self, network="vgg19", layers=None, loss="l1", normalize=True):
        super().__init__()
        layers = layers or {"conv5_4": 1.0}
        self.backbone = vgg(network, layers)
        self.weights = tuple(layers[name] for name in VGG_LAYERS[network] if name in layers)
        self.min_side = self.backbone.min_side
        self.difference = PixelLoss(loss)
        self.normalize = normalize
        self.mean = ms.Tensor(np.array(_MEAN, np.float32).reshape(1, 3, 1, 1))
        self.deviation = ms.Tensor(np.array(_DEVIATION, np.float32).reshape(1, 3, 1, 1))
        _freeze(self)

    def construct(self, sr, hr):
        total, goals = 0.0, self.features(hr)
        for level, feature in enumerate(self.features(sr)):
            goal = ops.stop_gradient(goals[level])
            total = total + self.weights[level] * self.difference(feature, goal)
        return total

    def features(self, x):
        """The features of each layer, in the network's order, of x: (B, 3, H, W) in [0, 1]."""
        return self.backbone((x - self.mean) / self.deviation if self.normalize else x)


class LPIPSLoss(nn.Cell):
    """The mean LPIPS distance (arXiv 1801.03924) by an ``LPIPS`` Cell."""

    def __init__(self, lpips):
        super().__init__()
        self.lpips, self.min_side = lpips, lpips.min_side
        _freeze(self)

    def construct(self, sr, hr):
        return self.lpips(2 * sr - 1, 2 * hr - 1).mean()


def _freeze(cell):
    """Keep the weights from training, under names that no other part of a model has."""
    for parameter in cell.get_parameters():
        parameter.requires_grad = False
    cell.update_parameters_name("perceptual.")
