"""SR3's U-Net (arXiv 2104.07636, section 2.3 and appendix A) and DDPM's (arXiv 2006.11239, appendix B).

In the form of the widely used PyTorch port (github.com/Janspiry/Image-Super-Resolution-via-Iterative-Refinement):
GroupNorm and Swish before each convolution, zero padding, and self-attention at the levels of chosen resolutions.
"""

import itertools
import math

from mindspore import nn, ops

from ...layers.dropout import Dropout
from ...layers.layers import AddPerChannel, Fold, NearestUpsample, SinusoidalEmbedding, Unfold, conv1x1, conv3x3


class NormConv(nn.Cell):
    """GroupNorm, Swish, dropout while training, 3×3 convolution: (B, in, H, W) → (B, out, H, W), float32."""

    def __init__(self, in_channels, out_channels, groups, dropout=0.0, salt=0):
        super().__init__()
        self.norm = nn.GroupNorm(groups, in_channels)
        self.activation = nn.SiLU()
        self.dropout = Dropout(dropout, salt)
        self.conv = conv3x3(in_channels, out_channels)

    def construct(self, x, keys=None):
        return self.conv(self.dropout(self.activation(self.norm(x)), keys))


class Modulation(nn.Cell):
    """Tell each channel how noisy it is: x + b, or (1 + a)·x + b, with a and b from the embedding (B, embedding)."""

    def __init__(self, embedding_channels, channels, affine):
        super().__init__()
        self.dense = nn.Dense(embedding_channels, 2 * channels if affine else channels)
        self.affine = affine
        self.channels = channels
        self.add = AddPerChannel()

    def construct(self, x, embedding):
        shift = self.dense(embedding)
        if self.affine:
            gain, shift = shift[:, : self.channels], shift[:, self.channels :]
            x = x * (1 + gain).reshape(-1, self.channels, 1, 1)
        return self.add(x, shift)


class SelfAttention(nn.Cell):
    """Every pixel looks at every other, with one head, and a skip connection around; weights take B·(H·W)² numbers."""

    def __init__(self, channels, groups):
        super().__init__()
        self.channels = channels
        self.factor = 1 / math.sqrt(channels)
        self.norm = nn.GroupNorm(groups, channels)
        self.to_qkv = conv1x1(channels, 3 * channels, has_bias=False)
        self.to_out = conv1x1(channels, channels)
        self.softmax = nn.Softmax(axis=-1)
        self.scores_of = ops.BatchMatMul(transpose_a=True)
        self.read = ops.BatchMatMul(transpose_b=True)

    def construct(self, x):
        b, c, h, w = x.shape
        qkv = self.to_qkv(self.norm(x)).reshape(b, 3, c, h * w)
        query, key, value = qkv[:, 0], qkv[:, 1], qkv[:, 2]  # (B, C, H·W)
        weights = self.softmax(self.scores_of(query * self.factor, key))  # (B, H·W of the query, H·W of the key)
        out = self.read(value, weights)  # (B, C, H·W)
        return x + self.to_out(out.reshape(b, c, h, w))


class ResidualBlock(nn.Cell):
    """Two NormConvs with the noise level told between them, a skip connection around both, and perhaps attention."""

    def __init__(self, in_channels, out_channels, embedding_channels, groups, dropout, salt, affine, attention):
        super().__init__()
        self.block1 = NormConv(in_channels, out_channels, groups)
        self.modulation = Modulation(embedding_channels, out_channels, affine) if embedding_channels else None
        self.block2 = NormConv(out_channels, out_channels, groups, dropout, salt)
        self.skip = conv1x1(in_channels, out_channels) if in_channels != out_channels else nn.Identity()
        self.attention = SelfAttention(out_channels, groups) if attention else nn.Identity()

    def construct(self, x, embedding, keys=None):
        h = self.block1(x)
        if self.modulation is not None:
            h = self.modulation(h, embedding)
        return self.attention(self.block2(h, keys) + self.skip(x))


class SR3UNet(nn.Cell):
    """What of x_t is noise, given how much there is, and LR↑ beside it or nothing; or a picture from LR↑ alone.

    The arguments are the settings in ``src.families.sr3.family.SR3Config``. The embedding has ``width`` channels. Each
    level but the last halves the resolution. The middle always has self-attention, and pictures may have any size:
    attention stays in its levels. Folded, the first level works at 1/r of the resolution, about r² times as fast.
    """

    exact_inputs = True  # √ᾱ, t and LR↑ are not to be rounded to 16 bits

    def __init__(
        self, width=64, multipliers=(1, 2, 4, 8, 8), blocks=2, attention=(16,), image_size=128, groups=32, dropout=0.2,
        noise_level="continuous", affine=False, conditional=True, space_to_depth=1,
    ):  # fmt: skip
        super().__init__()
        self.conditional, self.told = conditional, noise_level != "none"
        self.levels, self.blocks = len(multipliers), blocks
        self.size_multiple = space_to_depth * 2 ** (self.levels - 1)
        channels = [width * m for m in multipliers]
        attends = [image_size // space_to_depth >> level in attention for level in range(self.levels)]
        embedding, salts = width if self.told else 0, itertools.count()

        def block(inputs, level, attention):
            return ResidualBlock(inputs, channels[level], embedding, groups, dropout, next(salts), affine, attention)

        if self.told:
            self.embedding = SinusoidalEmbedding(width, to_the_end=False)
            self.time_mlp = nn.SequentialCell([nn.Dense(width, 4 * width), nn.SiLU(), nn.Dense(4 * width, width)])
            self.time_activation = nn.SiLU() if noise_level == "discrete" else nn.Identity()
        self.fold, self.unfold = Fold(space_to_depth), Unfold(space_to_depth)
        picture_channels = 3 * space_to_depth**2
        self.first_conv = conv3x3(2 * picture_channels if conditional else picture_channels, width)
        downs, skips, inputs = [], [width], width
        for level in range(self.levels):
            for _ in range(blocks):
                downs.append(block(inputs, level, attends[level]))
                inputs = channels[level]
                skips.append(inputs)
            if level < self.levels - 1:
                skips.append(inputs)
        ups, last = [], self.levels - 1
        for level in range(last, -1, -1):
            for _ in range(blocks + 1):
                ups.append(block(inputs + skips.pop(), level, attends[level]))
                inputs = channels[level]
        self.down_blocks, self.up_blocks = nn.CellList(downs), nn.CellList(ups)
        self.halvings = nn.CellList([conv3x3(c, c, stride=2) for c in channels[:-1]])
        self.doublings = nn.CellList([conv3x3(c, c) for c in channels[:0:-1]])
        self.mid_block1, self.mid_block2 = block(channels[-1], last, True), block(channels[-1], last, False)
        self.double = NearestUpsample()
        self.last_block = NormConv(width, picture_channels, groups)

    def construct(self, x_t, t=None, lr_up=None, keys=None):
        """Predict the noise ε, the velocity or the picture, as the network was trained, from x_t, (B, 3, H, W) float32.

        H and W are multiples of ``size_multiple``. The noise level t (B,) is float32 √ᾱ from 0 to 1, or int32 the step;
        LR↑ is (B, 3, H, W) float32 in [−1, 1]; from keys (B,) int32 dropout makes its masks, None drops nothing.
        """
        embedding = self.time_activation(self.time_mlp(self.embedding(t))) if self.told else None
        x = self.first_conv(self.fold(ops.concat((lr_up, x_t), 1) if self.conditional else x_t))
        skips = (x,)
        for level in range(self.levels):
            for number in range(self.blocks):
                x = self.down_blocks[level * self.blocks + number](x, embedding, keys)
                skips = skips + (x,)
            if level < self.levels - 1:
                x = self.halvings[level](x)
                skips = skips + (x,)
        x = self.mid_block2(self.mid_block1(x, embedding, keys), embedding, keys)
        for number in range(self.levels * (self.blocks + 1)):
            x = self.up_blocks[number](ops.concat((x, skips[-1 - number]), 1), embedding, keys)
            level, number_in_level = number // (self.blocks + 1), number % (self.blocks + 1)
            if number_in_level == self.blocks and level < self.levels - 1:
                x = self.doublings[level](self.double(x))
        return self.unfold(self.last_block(x))


class SR3(nn.Cell):
    """SR3 or DDPM: the condition is LR↑, which the Cell ``enlarge`` makes; without one the network is unconditional."""

    exact_inputs = True

    def __init__(self, unet, enlarge=None):
        super().__init__()
        self.unet = unet
        self.enlarge = enlarge

    def features_and_base(self, lr, lr_up=None):
        """LR↑ twice, (B, 3, H, W) in [−1, 1], of lr or as given; an unconditional model gives back what it is given."""
        if lr_up is not None:
            return lr_up, lr_up
        if self.enlarge is None:
            return lr, lr
        lr_up = clipped(self.enlarge(lr))
        return lr_up, lr_up

    def project(self, features, base):
        return base

    def encode(self, lr):
        """As ``SRDiff.encode``: the condition and the base picture, both LR↑ (B, 3, H, W)."""
        return self.features_and_base(lr)

    def construct(self, x_t, t, condition=None, keys=None):
        """The network's prediction (ε or v) for x_t (B, 3, H, W) float32 at noise levels t (B,), see SR3UNet."""
        return self.unet(x_t, t, condition, keys)


class SR3Regression(nn.Cell):
    """SR3's regression baseline (arXiv 2104.07636, section 4): its U-Net makes the picture from LR↑ in one pass."""

    exact_inputs = True

    def __init__(self, unet, enlarge):
        super().__init__()
        self.unet = unet
        self.enlarge = enlarge

    def construct(self, lr, keys=None):
        """From (B, 3, h, w) float32 in [−1, 1] the picture (B, 3, H, W) in about that range; ``keys`` as in SR3."""
        return self.unet(clipped(self.enlarge(lr)), None, None, keys)


def clipped(lr_up):
    """LR↑ within [−1, 1], as in the picture files that others prepare."""
    return ops.clamp(lr_up, -1.0, 1.0)
