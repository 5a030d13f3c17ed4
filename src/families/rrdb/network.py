"""RRDBNet, the generator of ESRGAN (arXiv 1809.00219), which SRDiff uses as its LR encoder."""

from mindspore import nn, ops

from ...layers.layers import NearestUpsample, conv3x3
from ...layers.phase_upscale import BicubicUpscale


class ResidualDenseBlock(nn.Cell):
    """Five convolutions, each fed with everything before it, times 0.2, and a skip connection: (B, features, h, w)."""

    def __init__(self, features, growth):
        super().__init__()
        self.conv1 = conv3x3(features, growth)
        self.conv2 = conv3x3(features + growth, growth)
        self.conv3 = conv3x3(features + 2 * growth, growth)
        self.conv4 = conv3x3(features + 3 * growth, growth)
        self.conv5 = conv3x3(features + 4 * growth, features)
        self.activation = nn.LeakyReLU(0.2)

    def construct(self, x):
        x1 = self.activation(self.conv1(x))
        x2 = self.activation(self.conv2(ops.concat((x, x1), 1)))
        x3 = self.activation(self.conv3(ops.concat((x, x1, x2), 1)))
        x4 = self.activation(self.conv4(ops.concat((x, x1, x2, x3), 1)))
        x5 = self.conv5(ops.concat((x, x1, x2, x3, x4), 1))
        return x5 * 0.2 + x


class RRDB(nn.Cell):
    """Residual-in-residual dense block: three dense blocks in a row, scaled by 0.2, added to the input."""

    def __init__(self, features, growth):
        super().__init__()
        self.dense1 = ResidualDenseBlock(features, growth)
        self.dense2 = ResidualDenseBlock(features, growth)
        self.dense3 = ResidualDenseBlock(features, growth)

    def construct(self, x):
        return self.dense3(self.dense2(self.dense1(x))) * 0.2 + x


class NearestUpsampler(nn.Cell):
    """ESRGAN's way up, nearest ×2 and a convolution per octave: (B, features, h, w) → (B, 3, H, W) in about [0, 1].

    ``clip`` keeps it within.
    """

    def __init__(self, features, scale, clip=True):
        super().__init__()
        self.clip = clip
        octaves = scale.bit_length() - 1
        self.double = NearestUpsample()
        self.up_convs = nn.CellList([conv3x3(features, features) for _ in range(octaves)])
        self.hr_conv = conv3x3(features, features)
        self.last_conv = conv3x3(features, 3)
        self.activation = nn.LeakyReLU(0.2)

    def construct(self, features, lr_up):
        x = features
        for conv in self.up_convs:
            x = self.activation(conv(self.double(x)))
        x = self.last_conv(self.activation(self.hr_conv(x)))
        return ops.clamp(x, 0.0, 1.0) if self.clip else x


class PixelShuffleUpsampler(nn.Cell):
    """LR↑ plus a correction computed at LR resolution and unfolded (arXiv 1609.05158): a fast way up for CPUs.

    Input (B, features, h, w) and LR↑ (B, 3, scale·h, scale·w) in [0, 1]; output like LR↑, not clipped, so that
    no pixel's gradient is cut off. The last convolution starts at 0: training starts from bicubic.
    """

    def __init__(self, features, scale):
        super().__init__()
        self.hidden_conv = conv3x3(features, 2 * features)
        self.last_conv = nn.Conv2d(
            2 * features, 3 * scale * scale, 3, pad_mode="pad", padding=1, has_bias=True,
            weight_init="zeros", bias_init="zeros",
        )  # fmt: skip
        self.activation = nn.LeakyReLU(0.2)
        self.shuffle = nn.PixelShuffle(scale)

    def construct(self, features, lr_up):
        return lr_up + self.shuffle(self.last_conv(self.activation(self.hidden_conv(features))))


class RRDBNet(nn.Cell):
    """LR picture → HR picture and the features on the way; for a scale of 1 ("nearest" only), 2, 4 or 8.

    The arguments are the settings in ``src.families.rrdb.family.EncoderConfig``, and ``condition_every``: the condition
    has the features of every so many blocks, the paper's of every third. ``in_channels`` are more than 3 behind space
    to depth; ``clip`` is as of :class:`NearestUpsampler`.
    """

    def __init__(
        self, features=64, blocks=17, growth=0, scale=4, upsampler="nearest", condition_every=3, in_channels=3,
        clip=True,
    ):  # fmt: skip
        super().__init__()
        growth = growth or features // 2
        self.condition_every = condition_every
        self.condition_channels = features * ((blocks + 1) // condition_every)
        self.first_conv = conv3x3(in_channels, features)
        self.trunk = nn.CellList([RRDB(features, growth) for _ in range(blocks)])
        self.trunk_conv = conv3x3(features, features)
        nearest = upsampler == "nearest"
        self.upsampler = NearestUpsampler(features, scale, clip) if nearest else PixelShuffleUpsampler(features, scale)
        self.bicubic = BicubicUpscale(scale)

    def trunk_features(self, lr):
        """Every block's output and last the trunk's sum, blocks + 1 of (B, features, h, w), of lr in [−1, 1]."""
        first = x = self.first_conv((lr + 1) * 0.5)
        outputs = ()
        for block in self.trunk:
            x = block(x)
            outputs = outputs + (x,)
        return outputs + (first + self.trunk_conv(x),)

    def condition(self, lr):
        """The condition of SRDiff's U-Net, (B, condition_channels, h, w), of lr (B, 3, h, w) float32 in [−1, 1]."""
        return self._selected(self.trunk_features(lr))

    def condition_and_picture(self, lr):
        """:meth:`condition` and the picture of :meth:`construct`, from one pass through the trunk."""
        features = self.trunk_features(lr)
        return self._selected(features), self._picture(lr, features[-1])

    def construct(self, lr):
        """(B, 3, h, w) float32 in [−1, 1] → (B, 3, scale·h, scale·w) in about [−1, 1]."""
        return self._picture(lr, self.trunk_features(lr)[-1])

    def _selected(self, features):
        return ops.concat(features[self.condition_every - 1 :: self.condition_every], 1)

    def _picture(self, lr, trunk):
        return self.upsampler(trunk, self.bicubic((lr + 1) * 0.5)) * 2 - 1
