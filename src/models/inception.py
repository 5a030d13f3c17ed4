"""Inception v3 (arXiv 1512.00567) in the form that FID and Inception Score are measured with.

It is TensorFlow's network of 5 December 2015 as pytorch-fid describes it: average pooling that leaves the padding
out, max pooling in the last block, 1008 classes. Layers bear the names of that port's file, without its ``.conv`` and
``.bn``: batch normalisation, which is fixed here, is part of the convolution (:mod:`src.metrics.inception_weights`).
"""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

SIDE = 299  # pixels of the pictures that it looks at
FEATURES = 2048
CLASSES = 1008


class ConvReLU(nn.Cell):
    """A convolution with a bias, and ReLU.

    Args:
        in_channels, out_channels: of the convolution.
        kernel, padding: (rows, columns), or one number for both.
        stride: of the convolution.
    """

    def __init__(self, in_channels, out_channels, kernel, stride=1, padding=0):
        super().__init__()
        rows, columns = (padding, padding) if isinstance(padding, int) else padding
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, pad_mode="pad", padding=(rows, rows, columns, columns),
            has_bias=True, weight_init="zeros", bias_init="zeros",
        )  # fmt: skip

    def construct(self, x):
        return ops.relu(self.conv(x))


class _AveragePool(nn.Cell):
    """3×3 averages with stride 1, at the edges over the pixels inside; of pictures of one size.

    Args:
        side: rows and columns of the picture.
    """

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


class _A(nn.Cell):
    """Figure 5 of the paper: 35×35, with a 5×5 convolution."""

    def __init__(self, in_channels, pooled):
        super().__init__()
        self.branch1x1 = ConvReLU(in_channels, 64, 1)
        self.branch5x5_1 = ConvReLU(in_channels, 48, 1)
        self.branch5x5_2 = ConvReLU(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = ConvReLU(in_channels, 64, 1)
        self.branch3x3dbl_2 = ConvReLU(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvReLU(96, 96, 3, padding=1)
        self.pool = _AveragePool(35)
        self.branch_pool = ConvReLU(in_channels, pooled, 1)

    def construct(self, x):
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return ops.concat((self.branch1x1(x), five, three, self.branch_pool(self.pool(x))), axis=1)


class _B(nn.Cell):
    """Figure 10: from 35×35 to 17×17."""

    def __init__(self, in_channels):
        super().__init__()
        self.branch3x3 = ConvReLU(in_channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = ConvReLU(in_channels, 64, 1)
        self.branch3x3dbl_2 = ConvReLU(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvReLU(96, 96, 3, stride=2)
        self.pool = nn.MaxPool2d(3, 2)

    def construct(self, x):
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return ops.concat((self.branch3x3(x), double, self.pool(x)), axis=1)


class _C(nn.Cell):
    """Figure 6: 17×17, with 1×7 and 7×1 convolutions."""

    def __init__(self, width):
        super().__init__()
        self.branch1x1 = ConvReLU(768, 192, 1)
        self.branch7x7_1 = ConvReLU(768, width, 1)
        self.branch7x7_2 = _row(width, width, 7)
        self.branch7x7_3 = _column(width, 192, 7)
        self.branch7x7dbl_1 = ConvReLU(768, width, 1)
        self.branch7x7dbl_2 = _column(width, width, 7)
        self.branch7x7dbl_3 = _row(width, width, 7)
        self.branch7x7dbl_4 = _column(width, width, 7)
        self.branch7x7dbl_5 = _row(width, 192, 7)
        self.pool = _AveragePool(17)
        self.branch_pool = ConvReLU(768, 192, 1)

    def construct(self, x):
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return ops.concat((self.branch1x1(x), seven, double, self.branch_pool(self.pool(x))), axis=1)


class _D(nn.Cell):
    """From 17×17 to 8×8."""

    def __init__(self):
        super().__init__()
        self.branch3x3_1 = ConvReLU(768, 192, 1)
        self.branch3x3_2 = ConvReLU(192, 320, 3, stride=2)
        self.branch7x7x3_1 = ConvReLU(768, 192, 1)
        self.branch7x7x3_2 = _row(192, 192, 7)
        self.branch7x7x3_3 = _column(192, 192, 7)
        self.branch7x7x3_4 = ConvReLU(192, 192, 3, stride=2)
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
        self.branch1x1 = ConvReLU(in_channels, 320, 1)
        self.branch3x3_1 = ConvReLU(in_channels, 384, 1)
        self.branch3x3_2a = _row(384, 384, 3)
        self.branch3x3_2b = _column(384, 384, 3)
        self.branch3x3dbl_1 = ConvReLU(in_channels, 448, 1)
        self.branch3x3dbl_2 = ConvReLU(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _row(384, 384, 3)
        self.branch3x3dbl_3b = _column(384, 384, 3)
        self.pool = pool
        self.branch_pool = ConvReLU(in_channels, 192, 1)

    def construct(self, x):
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        single = self.branch3x3_2a(single), self.branch3x3_2b(single)
        double = self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)
        return ops.concat((self.branch1x1(x), *single, *double, self.branch_pool(self.pool(x))), axis=1)


class InceptionV3(nn.Cell):
    """The whole network; its parameters are zeros until weights are loaded."""

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(3, 2)
        self.Conv2d_1a_3x3 = ConvReLU(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = ConvReLU(32, 32, 3)
        self.Conv2d_2b_3x3 = ConvReLU(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = ConvReLU(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvReLU(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _A(192, 32), _A(256, 64), _A(288, 64)
        self.Mixed_6a = _B(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = _C(128), _C(160), _C(160), _C(192)
        self.Mixed_7a = _D()
        self.Mixed_7b, self.Mixed_7c = _E(1280, _AveragePool(8)), _E(2048, _MaxPool())
        self.fc = nn.Dense(FEATURES, CLASSES, weight_init="zeros", has_bias=False)

    def construct(self, x):
        """Look at pictures.

        Args:
            x: float32 (B, 3, 299, 299) RGB in [−1, 1].

        Returns:
            features: float32 (B, 2048), what FID compares; logits: float32 (B, 1008), what Inception Score looks at:
                without the layer's bias, as its authors' program computed them.
        """
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.pool(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.pool(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_7a(self.Mixed_6e(self.Mixed_6d(x)))
        features = self.Mixed_7c(self.Mixed_7b(x)).mean((2, 3))
        return features, self.fc(features)


def _row(in_channels, out_channels, length):
    """A convolution along the rows, 1×length, that keeps the size."""
    return ConvReLU(in_channels, out_channels, (1, length), padding=(0, length // 2))


def _column(in_channels, out_channels, length):
    """A convolution along the columns, length×1, that keeps the size."""
    return ConvReLU(in_channels, out_channels, (length, 1), padding=(length // 2, 0))
