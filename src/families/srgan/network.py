"""The generators: SRGAN's SRResNet, BasicSR's MSRResNet, Real-ESRGAN's compact network, and ESRGAN's RRDBNet.

Each maps (B, 3, h, w) float32 RGB in [−1, 1] to (B, 3, scale·h, scale·w) in about [−1, 1], not clipped unless it says
so, and computes in [0, 1] in between.
"""

import math

import mindspore as ms
from mindspore import nn, ops
from mindspore.common.initializer import Normal, initializer

from ...layers.batch_norm import BatchNorm2d
from ...layers.layers import Fold, NearestUpsample, Unfold, conv3x3
from ...layers.phase_upscale import BilinearUpscale
from ...layers.prelu import PReLU
from ..rrdb.network import ResidualDenseBlock


class SRGAN(nn.Cell):
    """A generator under the name of its part, behind space to depth (Real-ESRGAN's ×2 and ×1)."""

    def __init__(self, generator, unshuffle=1):
        super().__init__()
        self.fold = Fold(unshuffle)
        self.generator = generator

    def construct(self, lr):
        """(B, 3, h, w), h and w multiples of ``unshuffle`` → (B, 3, scale·h, scale·w)."""
        return self.generator(self.fold(lr))


def _conv(in_channels, out_channels, kernel_size, has_bias=True):
    return nn.Conv2d(
        in_channels, out_channels, kernel_size, pad_mode="pad", padding=kernel_size // 2, has_bias=has_bias
    )


def initialize_dense_blocks(model):
    """Give the dense blocks a tenth of Kaiming's weights, and biases of 0 (arXiv 1809.00219, section 3.1).

    In place; other networks have none of them.
    """
    for _, block in model.cells_and_names():
        if isinstance(block, ResidualDenseBlock):
            for conv in (block.conv1, block.conv2, block.conv3, block.conv4, block.conv5):
                deviation = 0.1 * math.sqrt(2 / math.prod(conv.weight.shape[1:]))
                conv.weight.set_data(initializer(Normal(deviation), conv.weight.shape, ms.float32).init_data())
                conv.bias.set_data(initializer("zeros", conv.bias.shape, ms.float32).init_data())


class NormalizedBlock(nn.Cell):
    """SRResNet's residual block, with BatchNorm after both convolutions: (B, features, h, w)."""

    def __init__(self, features, biases):
        super().__init__()
        self.conv1 = _conv(features, features, 3, biases)
        self.norm1 = BatchNorm2d(features)
        self.prelu = PReLU()
        self.conv2 = _conv(features, features, 3, biases)
        self.norm2 = BatchNorm2d(features)

    def construct(self, x):
        return x + self.norm2(self.conv2(self.prelu(self.norm1(self.conv1(x)))))


class SRResNet(nn.Cell):
    """SRGAN's generator (arXiv 1609.04802, figure 4), one slope to a PReLU as in its PyTorch ports; scale 2, 4 or 8.

    The arguments are the settings in ``src.families.srgan.family.GeneratorConfig``.
    """

    def __init__(self, features=64, blocks=16, scale=4, biases=False, trunk_end="batchnorm", output="linear"):
        super().__init__()
        octaves = scale.bit_length() - 1
        self.output = output
        self.first_conv = _conv(3, features, 9)
        self.first_prelu = PReLU()
        self.trunk = nn.CellList([NormalizedBlock(features, biases) for _ in range(blocks)])
        normalized = trunk_end == "batchnorm"
        self.trunk_conv = _conv(features, features, 3, biases or not normalized)
        self.trunk_end = BatchNorm2d(features) if normalized else PReLU()
        self.up_convs = nn.CellList([_conv(features, 4 * features, 3) for _ in range(octaves)])
        self.shuffle = nn.PixelShuffle(2)
        self.up_prelus = nn.CellList([PReLU() for _ in range(octaves)])
        self.last_conv = _conv(features, 3, 9)

    def construct(self, lr):
        first = x = self.first_prelu(self.first_conv((lr + 1) * 0.5))
        for block in self.trunk:
            x = block(x)
        x = first + self.trunk_end(self.trunk_conv(x))
        for n, conv in enumerate(self.up_convs):
            x = self.up_prelus[n](self.shuffle(conv(x)))
        x = self.last_conv(x)
        if self.output == "tanh":
            return ops.tanh(x)  # (tanh + 1) / 2 in [0, 1]
        if self.output == "clamp":
            x = ops.clamp(x, 0.0, 1.0)
        return x * 2 - 1


class PlainBlock(nn.Cell):
    """MSRResNet's residual block, without normalisation: (B, features, h, w)."""

    def __init__(self, features):
        super().__init__()
        self.conv1 = conv3x3(features, features)
        self.conv2 = conv3x3(features, features)
        self.relu = nn.ReLU()

    def construct(self, x):
        return x + self.conv2(self.relu(self.conv1(x)))


class MSRResNet(nn.Cell):
    """BasicSR's SRResNet: no BatchNorm, no skip around the trunk, and the bilinear picture added; scale 2, 3 or 4."""

    def __init__(self, features=64, blocks=16, scale=4):
        super().__init__()
        factors = {2: [2], 3: [3], 4: [2, 2]}[scale]
        self.first_conv = conv3x3(3, features)
        self.trunk = nn.CellList([PlainBlock(features) for _ in range(blocks)])
        self.up_convs = nn.CellList([conv3x3(features, features * factor**2) for factor in factors])
        self.shuffle = nn.PixelShuffle(factors[0])
        self.hr_conv = conv3x3(features, features)
        self.last_conv = conv3x3(features, 3)
        self.activation = nn.LeakyReLU(0.1)
        self.bilinear = BilinearUpscale(scale)

    def construct(self, lr):
        picture = (lr + 1) * 0.5
        x = self.activation(self.first_conv(picture))
        for block in self.trunk:
            x = block(x)
        for conv in self.up_convs:
            x = self.activation(self.shuffle(conv(x)))
        x = self.last_conv(self.activation(self.hr_conv(x)))
        return (x + self.bilinear(picture)) * 2 - 1


class CompactNet(nn.Cell):
    """Real-ESRGAN's SRVGGNetCompact: convolutions at LR resolution, added to the nearest picture; scale 1, 2, 3 or 4.

    ``blocks`` are the convolutions between the first and the last; PReLU has one slope for each channel.
    """

    def __init__(self, features=64, blocks=16, scale=4):
        super().__init__()
        self.convs = nn.CellList([conv3x3(features if n else 3, features) for n in range(blocks + 1)])
        self.prelus = nn.CellList([PReLU(features) for _ in range(blocks + 1)])
        self.last_conv = conv3x3(features, 3 * scale * scale)
        self.unfold = Unfold(scale)
        self.nearest = NearestUpsample(scale)

    def construct(self, lr):
        picture = x = (lr + 1) * 0.5
        for n, conv in enumerate(self.convs):
            x = self.prelus[n](conv(x))
        return (self.unfold(self.last_conv(x)) + self.nearest(picture)) * 2 - 1
