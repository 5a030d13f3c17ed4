"""Inception with its weights: what FID and Inception Score see of pictures."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from ..errors import UserError
from .picture_sets import FEATURES, SIDE
from .weight_files import build_from_files

CLASSES = 1008
_EPSILON = 1e-3  # of the network's batch normalisation


def load_inception(path):
    """Return :class:`Inception` with the weights of a file, from :func:`src.metrics.weight_files.find_weights`."""
    return build_from_files("inception", [path], inception_from_arrays)


class Inception:
    """Prepared pictures in, features and logits out, all NumPy, by an :class:`InceptionV3`; compiles once."""

    def __init__(self, cell):
        self._cell = cell.set_train(False)
        self._cell.set_inputs(ms.Tensor(shape=[None, 3, SIDE, SIDE], dtype=ms.float32))

    def __call__(self, pictures):
        """Features, float32 (B, 2048), and logits (B, 1008) of pictures as ``src.metrics.picture_sets`` prepares them.

        The logits are without the layer's bias, as Inception Score's authors' program computed them.
        """
        return tuple(output.asnumpy() for output in self._cell(ms.Tensor(pictures)))


def inception_from_arrays(arrays):
    """Return :class:`Inception` with weights of the names of pytorch-fid's file; other names are ignored.

    Batch normalisation is folded into the convolution before it, in float64: γ·(w∗x − μ)/√(σ² + ε) + β.
    """
    network = InceptionV3()
    for name, cell in network.cells_and_names():
        if isinstance(cell, ConvReLU):
            weight, bias = _folded(arrays, name, cell.conv.weight.shape)
            cell.conv.weight.set_data(ms.Tensor(weight))
            cell.conv.bias.set_data(ms.Tensor(bias))
    weight = _checked(arrays, "fc.weight", network.fc.weight.shape)
    network.fc.weight.set_data(ms.Tensor(weight.astype(np.float32)))
    return Inception(network)


def _folded(arrays, name, shape):
    """The weight and the bias, float32, of a convolution with the batch normalisation behind it."""
    weight = _checked(arrays, f"{name}.conv.weight", shape)
    names = ("weight", "bias", "running_mean", "running_var")
    gamma, beta, mean, variance = (_checked(arrays, f"{name}.bn.{part}", shape[:1]) for part in names)
    if variance.min() < 0:
        raise UserError(f"expected variances in {name}.bn.running_var, found a negative number")
    factor = gamma / np.sqrt(variance + _EPSILON)
    return (weight * factor.reshape(-1, 1, 1, 1)).astype(np.float32), (beta - mean * factor).astype(np.float32)


def _checked(arrays, name, shape):
    array = arrays.get(name)
    if not isinstance(array, np.ndarray) or array.shape != tuple(shape):
        found = f"shape {array.shape}" if isinstance(array, np.ndarray) else "nothing"
        raise UserError(f"expected {name} of shape {tuple(shape)}, found {found}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise UserError(f"expected numbers in {name}, found an infinity or NaN")
    return array


class InceptionV3(nn.Cell):
    """The whole network (Szegedy et al., arXiv 1512.00567); its parameters are zeros until weights are loaded."""

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(3, 2)
        self.Conv2d_1a_3x3 = ConvReLU(3, 32, 3, stride=2, valid=True)
        self.Conv2d_2a_3x3 = ConvReLU(32, 32, 3, valid=True)
        self.Conv2d_2b_3x3 = ConvReLU(32, 64, 3)
        self.Conv2d_3b_1x1 = ConvReLU(64, 80)
        self.Conv2d_4a_3x3 = ConvReLU(80, 192, 3, valid=True)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _A(192, 32), _A(256, 64), _A(288, 64)
        self.Mixed_6a = _B(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = _C(128), _C(160), _C(160), _C(192)
        self.Mixed_7a = _D()
        self.Mixed_7b, self.Mixed_7c = _E(1280, _AveragePool(8)), _E(2048, _MaxPool())
        self.fc = nn.Dense(FEATURES, CLASSES, weight_init="zeros", has_bias=False)

    def construct(self, x):
        """Features and logits, see :class:`Inception`, of x: float32 (B, 3, 299, 299) RGB in [−1, 1]."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.pool(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.pool(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_7a(self.Mixed_6e(self.Mixed_6d(x)))
        features = self.Mixed_7c(self.Mixed_7b(x)).mean((2, 3))
        return features, self.fc(features)


class _A(nn.Cell):
    """Figure 5 of the paper: 35×35, with a 5×5 convolution."""

    def __init__(self, in_channels, pooled):
        super().__init__()
        self.branch1x1 = ConvReLU(in_channels, 64)
        self.branch5x5_1, self.branch5x5_2 = ConvReLU(in_channels, 48), ConvReLU(48, 64, 5)
        self.branch3x3dbl_1 = ConvReLU(in_channels, 64)
        self.branch3x3dbl_2, self.branch3x3dbl_3 = ConvReLU(64, 96, 3), ConvReLU(96, 96, 3)
        self.pool, self.branch_pool = _AveragePool(35), ConvReLU(in_channels, pooled)

    def construct(self, x):
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return ops.concat((self.branch1x1(x), five, three, self.branch_pool(self.pool(x))), axis=1)


class _B(nn.Cell):
    """Figure 10: from 35×35 to 17×17."""

    def __init__(self, in_channels):
        super().__init__()
        self.branch3x3 = ConvReLU(in_channels, 384, 3, stride=2, valid=True)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = ConvReLU(in_channels, 64), ConvReLU(64, 96, 3)
        self.branch3x3dbl_3 = ConvReLU(96, 96, 3, stride=2, valid=True)
        self.pool = nn.MaxPool2d(3, 2)

    def construct(self, x):
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return ops.concat((self.branch3x3(x), double, self.pool(x)), axis=1)


class _C(nn.Cell):
    """Figure 6: 17×17, with 1×7 and 7×1 convolutions."""

    def __init__(self, width):
        super().__init__()
        row, column = (1, 7), (7, 1)
        self.branch1x1 = ConvReLU(768, 192)
        self.branch7x7_1, self.branch7x7_2 = ConvReLU(768, width), ConvReLU(width, width, row)
        self.branch7x7_3 = ConvReLU(width, 192, column)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = ConvReLU(768, width), ConvReLU(width, width, column)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = ConvReLU(width, width, row), ConvReLU(width, width, column)
        self.branch7x7dbl_5 = ConvReLU(width, 192, row)
        self.pool, self.branch_pool = _AveragePool(17), ConvReLU(768, 192)

    def construct(self, x):
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return ops.concat((self.branch1x1(x), seven, double, self.branch_pool(self.pool(x))), axis=1)


class _D(nn.Cell):
    """From 17×17 to 8×8."""

    def __init__(self):
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = ConvReLU(768, 192), ConvReLU(192, 320, 3, stride=2, valid=True)
        self.branch7x7x3_1, self.branch7x7x3_2 = ConvReLU(768, 192), ConvReLU(192, 192, (1, 7))
        self.branch7x7x3_3 = ConvReLU(192, 192, (7, 1))
        self.branch7x7x3_4 = ConvReLU(192, 192, 3, stride=2, valid=True)
        self.pool = nn.MaxPool2d(3, 2)

    def construct(self, x):
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_2(self.branch7x7x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(seven))
        return ops.concat((three, seven, self.pool(x)), axis=1)


class _E(nn.Cell):
    """Figure 7: 8×8, where branches part into 1×3 and 3×1."""

    def __init__(self, in_channels, pool):
        super().__init__()
        self.branch1x1, self.branch3x3_1 = ConvReLU(in_channels, 320), ConvReLU(in_channels, 384)
        self.branch3x3_2a, self.branch3x3_2b = ConvReLU(384, 384, (1, 3)), ConvReLU(384, 384, (3, 1))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = ConvReLU(in_channels, 448), ConvReLU(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = ConvReLU(384, 384, (1, 3)), ConvReLU(384, 384, (3, 1))
        self.pool, self.branch_pool = pool, ConvReLU(in_channels, 192)

    def construct(self, x):
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        single = self.branch3x3_2a(single), self.branch3x3_2b(single)
        double = self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)
        return ops.concat((self.branch1x1(x), *single, *double, self.branch_pool(self.pool(x))), axis=1)


class _AveragePool(nn.Cell):
    """3×3 averages with stride 1, at the edges over the pixels inside; of pictures of ``side`` rows and columns."""

    def __init__(self, side):
        super().__init__()
        self.pool = nn.AvgPool2d(3, 1)
        inside = np.full(side, 3.0)
        inside[[0, -1]] = 2.0
        self.share = ms.Tensor((9.0 / np.outer(inside, inside)).astype(np.float32))

    def construct(self, x):
        return self.pool(ops.pad(x, (1, 1, 1, 1))) * self.share


class _MaxPool(nn.Cell):
    """3×3 maxima with stride 1 of values that are not negative, so that zeros around them never win."""

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(3, 1)

    def construct(self, x):
        return self.pool(ops.pad(x, (1, 1, 1, 1)))


class ConvReLU(nn.Cell):
    """A convolution with a bias, and ReLU; zeros around the picture keep its size, but not where it is ``valid``."""

    def __init__(self, in_channels, out_channels, kernel=1, stride=1, valid=False):
        super().__init__()
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = 0 if valid else (rows // 2, rows // 2, columns // 2, columns // 2)
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, pad_mode="pad", padding=padding, has_bias=True,
            weight_init="zeros", bias_init="zeros",
        )  # fmt: skip

    def construct(self, x):
        return ops.relu(self.conv(x))
