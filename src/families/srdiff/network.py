"""SRDiff: its conditional noise predictor (arXiv 2104.14951, section 3.3 and figure 3), and the encoder before it."""

from mindspore import nn, ops

from ...layers.layers import (
    AddPerChannel,
    Fold,
    LinearAttention,
    Mish,
    ReflectConv3x3,
    SinusoidalEmbedding,
    Unfold,
    conv1x1,
    conv3x3,
)


class ConvBlock(nn.Cell):
    """Reflection-padded 3×3 convolution, GroupNorm if groups > 0, Mish: (B, in, H, W) → (B, out, H, W)."""

    def __init__(self, in_channels, out_channels, groups):
        super().__init__()
        self.conv = ReflectConv3x3(in_channels, out_channels)
        self.norm = nn.GroupNorm(groups, out_channels) if groups else nn.Identity()
        self.activation = Mish()

    def construct(self, x):
        return self.activation(self.norm(self.conv(x)))


class ResnetBlock(nn.Cell):
    """Two ConvBlocks, the activated embedding (B, embedding) added between them, and a skip connection around both."""

    def __init__(self, in_channels, out_channels, embedding_channels, groups):
        super().__init__()
        self.time_dense = nn.Dense(embedding_channels, out_channels)
        self.block1 = ConvBlock(in_channels, out_channels, groups)
        self.add = AddPerChannel()
        self.block2 = ConvBlock(out_channels, out_channels, groups)
        self.skip = conv1x1(in_channels, out_channels) if in_channels != out_channels else nn.Identity()

    def construct(self, x, embedding):
        h = self.add(self.block1(x), self.time_dense(embedding))
        return self.block2(h) + self.skip(x)


class DownLevel(nn.Cell):
    def __init__(self, in_channels, out_channels, embedding_channels, groups):
        super().__init__()
        self.block1 = ResnetBlock(in_channels, out_channels, embedding_channels, groups)
        self.block2 = ResnetBlock(out_channels, out_channels, embedding_channels, groups)

    def construct(self, x, embedding):
        return self.block2(self.block1(x, embedding), embedding)


class UpLevel(nn.Cell):
    """Concatenate the skip, two ResnetBlocks, then a transposed convolution to twice the size."""

    def __init__(self, in_channels, out_channels, embedding_channels, groups):
        super().__init__()
        self.block1 = ResnetBlock(2 * in_channels, out_channels, embedding_channels, groups)
        self.block2 = ResnetBlock(out_channels, out_channels, embedding_channels, groups)
        self.up = nn.Conv2dTranspose(out_channels, out_channels, 4, stride=2, pad_mode="pad", padding=1, has_bias=True)

    def construct(self, x, skip, embedding):
        x = ops.concat((x, skip), 1)
        return self.up(self.block2(self.block1(x, embedding), embedding))


class ConditionalUNet(nn.Cell):
    """The network that SRDiff trains: what of x_t is noise, given the time step and the encoder's features.

    The arguments are the settings in ``src.families.srdiff.family.UNetConfig``, the channels of the encoder's features
    (``RRDBNet.condition_channels``), and the scale. The time embedding has ``width`` channels. Each level but the last
    halves the resolution. Folded, the network works at 1/r of it, about r² times as fast, and hides this from everybody
    else.
    """

    def __init__(
        self, width=64, multipliers=(1, 2, 3, 4), condition_channels=384, scale=4,
        groups=0, attention=False, add_lr_up=False, space_to_depth=1,
    ):  # fmt: skip
        super().__init__()
        channels = [width * m for m in multipliers]
        picture_channels = 3 * space_to_depth**2
        self.space_to_depth = space_to_depth
        self.add_lr_up = add_lr_up
        self.levels = len(channels)
        self.fold, self.unfold = Fold(space_to_depth), Unfold(space_to_depth)
        self.size_multiple = space_to_depth * 2 ** (self.levels - 1)

        factor = scale // space_to_depth  # from the encoder's features to the resolution of the first level
        self.condition_conv = conv3x3(condition_channels, width) if factor == 1 else nn.Conv2dTranspose(
            condition_channels, width, 2 * factor, stride=factor, pad_mode="pad", padding=factor // 2, has_bias=True
        )  # fmt: skip
        self.lr_up_conv = ReflectConv3x3(picture_channels, width) if add_lr_up else nn.Identity()
        self.embedding = SinusoidalEmbedding(width)
        self.time_mlp = nn.SequentialCell([nn.Dense(width, 4 * width), Mish(), nn.Dense(4 * width, width)])
        self.time_activation = Mish()

        ins = [picture_channels] + channels[:-1]
        self.downs = nn.CellList([DownLevel(i, o, width, groups) for i, o in zip(ins, channels, strict=True)])
        self.halvings = nn.CellList([ReflectConv3x3(c, c, stride=2) for c in channels[:-1]])
        self.mid_block1 = ResnetBlock(channels[-1], channels[-1], width, groups)
        self.mid_attention = LinearAttention(channels[-1]) if attention else nn.Identity()
        self.mid_block2 = ResnetBlock(channels[-1], channels[-1], width, groups)
        ups = list(zip(channels[:0:-1], channels[-2::-1], strict=True))
        self.ups = nn.CellList([UpLevel(i, o, width, groups) for i, o in ups])
        self.last_block = ConvBlock(width, width, groups)
        self.last_conv = conv1x1(width, picture_channels)

    def project(self, features, lr_up):
        """What the first level adds to its output: all of the condition that does not depend on x_t.

        The encoder's features (B, condition_channels, h, w) and LR↑ (B, 3, H, W) in [−1, 1] → (B, width, H/r, W/r),
        float32, where pixels are folded r×r.
        """
        condition = self.condition_conv(features)
        if self.add_lr_up:
            condition = condition + self.lr_up_conv(self.fold(lr_up))
        return condition

    def construct(self, x_t, t, condition):
        """Predict the noise ε or the velocity, as the network was trained, from x_t: both (B, 3, H, W) float32.

        H and W are multiples of ``size_multiple`` and at least twice that; t (B,) int32 is the step; the condition is
        from :meth:`project`.
        """
        embedding = self.time_activation(self.time_mlp(self.embedding(t)))
        x = self.fold(x_t)
        skips = ()
        for level in range(self.levels):
            x = self.downs[level](x, embedding)
            if level == 0:
                x = x + condition
            skips = skips + (x,)
            if level < self.levels - 1:
                x = self.halvings[level](x)
        x = self.mid_block2(self.mid_attention(self.mid_block1(x, embedding)), embedding)
        for level in range(self.levels - 1):
            x = self.ups[level](x, skips[self.levels - 1 - level], embedding)
        return self.unfold(self.last_conv(self.last_block(x)))


class SRDiff(nn.Cell):
    """The encoder and the U-Net together.

    LR↑ is the bicubic of lr_uint8 / ``lr_divisor``. The public PyTorch checkpoints were trained with 256, where 255
    maps white to white. The base picture, which the residual is added to, is LR↑ ("bicubic") or the "encoder"'s own
    picture.
    """

    def __init__(self, encoder, unet, lr_divisor=255, residual_of="bicubic"):
        super().__init__()
        self.encoder = encoder
        self.unet = unet
        self.to_unit = 127.5 / lr_divisor
        self.of_encoder = residual_of == "encoder"

    def features_and_base(self, lr):
        """From (B, 3, h, w) float32 in [−1, 1], the encoder's features and the base picture (B, 3, H, W)."""
        if self.of_encoder:
            return self.encoder.condition_and_picture(lr)
        return self.encoder.condition(lr), self.encoder.bicubic((lr + 1) * self.to_unit) * 2 - 1

    def project(self, features, base):
        return self.unet.project(features, base)

    def encode(self, lr):
        """All that does not depend on x_t: (B, 3, h, w) in [−1, 1] → the condition and the base picture, float32."""
        features, base = self.features_and_base(lr)
        return self.unet.project(features, base), base

    def construct(self, x_t, t, condition):
        """The network's prediction (ε or v) for x_t (B, 3, H, W) float32 at steps t (B,) int32."""
        return self.unet(x_t, t, condition)
