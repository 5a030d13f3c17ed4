"""SRDiff from ``src.models.trained_products``: the same function, for batches of one size."""

from mindspore import nn, ops

from src.models.channel_last_encode import supports as supports_encoder
from src.models.channel_last_unet import supports as supports_unet
from src.models.layers import Mish
from src.models.pixel_tables import NINE, neighbours, reflected
from src.models.trained_products import AddPerPicture, TrainedConv, TrainedPointwise, TrainedTransposedConv
from src.models.trained_rrdb import TrainedRRDB


def supports(model):
    """Whether an SRDiff has no part that is missing here."""
    return supports_unet(model.unet) and supports_encoder(model.encoder)


class Level:
    """One resolution of a batch: what makes the Cells for it."""

    def __init__(self, count, height, width):
        self.count, self.height, self.width = count, height, width

    def conv(self, conv, stride=1):
        """A 3×3 convolution over mirrored edges."""
        table = neighbours(self.height, self.width, NINE, reflected, stride)
        return TrainedConv(conv, table, self.height * self.width, self.count)

    def doubled(self, conv):
        """A transposed convolution to twice the size."""
        return TrainedTransposedConv(conv, self.height, self.width, self.count, 2)


class TrainedResnetBlock(nn.Cell):
    """``conditional_unet.ResnetBlock``: (B·P, in) and the activated embedding (B, embedding) → (B·P, out)."""

    def __init__(self, block, level):
        super().__init__(auto_prefix=False)
        self.conv1, self.conv2 = level.conv(block.block1.conv.conv), level.conv(block.block2.conv.conv)
        self.time_dense, self.activation = block.time_dense, Mish()
        self.add = AddPerPicture(level.height * level.width, level.count)
        self.skip = block.skip if isinstance(block.skip, nn.Identity) else TrainedPointwise(block.skip)

    def construct(self, x, embedding):
        h = self.add(self.activation(self.conv1(x)), self.time_dense(embedding))
        return self.activation(self.conv2(h)) + self.skip(x)


class TrainedUNet(nn.Cell):
    """``ConditionalUNet`` with its own parameters.

    Args:
        unet: the network; see :func:`supports`.
        size: (B, H, W) of x_t.
    """

    def __init__(self, unet, size):
        super().__init__(auto_prefix=False)
        self.r, self.levels = unet.space_to_depth, unet.levels
        self.count, self.height, self.width = size[0], size[1] // self.r, size[2] // self.r
        level = [Level(self.count, self.height >> n, self.width >> n) for n in range(self.levels)]
        self.embedding, self.time_mlp, self.activation = unet.embedding, unet.time_mlp, Mish()
        self.downs = nn.CellList([TrainedResnetBlock(b, at) for down, at in zip(unet.downs, level, strict=True)
                                  for b in (down.block1, down.block2)], auto_prefix=False)  # fmt: skip
        self.halvings = nn.CellList(
            [at.conv(c.conv, 2) for c, at in zip(unet.halvings, level[:-1], strict=True)], auto_prefix=False
        )
        self.mids = nn.CellList(
            [TrainedResnetBlock(b, level[-1]) for b in (unet.mid_block1, unet.mid_block2)], auto_prefix=False
        )
        ups = list(zip(unet.ups, level[:0:-1], strict=True))
        self.ups = nn.CellList(
            [TrainedResnetBlock(b, at) for up, at in ups for b in (up.block1, up.block2)], auto_prefix=False
        )
        self.transposed = nn.CellList([at.doubled(up.up) for up, at in ups], auto_prefix=False)
        self.last_block, self.last_conv = level[0].conv(unet.last_block.conv.conv), TrainedPointwise(unet.last_conv)

    def construct(self, x_t, t, condition):
        """x_t (B, 3, H, W), t (B,) int32, condition (B, P, width) → (B, 3, H, W)."""
        embedding = self.activation(self.time_mlp(self.embedding(t)))
        x = folded_rows(x_t, self.r)
        skips = ()
        for n in range(self.levels):
            x = self.downs[2 * n + 1](self.downs[2 * n](x, embedding), embedding)
            if n == 0:
                x = x + condition.reshape(x.shape)
            skips = skips + (x,)
            if n < self.levels - 1:
                x = self.halvings[n](x)
        x = self.mids[1](self.mids[0](x, embedding), embedding)
        for i in range(self.levels - 1):
            x = ops.concat((x, skips[self.levels - 1 - i]), 1)
            x = self.transposed[i](self.ups[2 * i + 1](self.ups[2 * i](x, embedding), embedding))
        x = self.last_conv(self.activation(self.last_block(x)))
        x = x.reshape(self.count, self.height, self.width, 3, self.r, self.r).transpose(0, 3, 1, 4, 2, 5)
        return x.reshape(x_t.shape)


class TrainedCondition(nn.Cell):
    """``ConditionalUNet.project``: features (B·h·w, channels) and the base picture (B, 3, H, W) → (B, P, width).

    Args:
        unet: the network.
        size: (B, h, w) of LR.
        scale: HR size / LR size.
    """

    def __init__(self, unet, size, scale):
        super().__init__(auto_prefix=False)
        count, height, width = size
        factor, conv = scale // unet.space_to_depth, unet.condition_conv
        self.count, self.fold, self.add_base = count, unet.space_to_depth, unet.add_lr_up
        if factor == 1:
            self.condition_conv = TrainedConv(conv, neighbours(height, width, NINE), height * width, count)
        else:
            self.condition_conv = TrainedTransposedConv(conv, height, width, count, factor)
        level = Level(count, height * factor, width * factor)
        self.base_conv = level.conv(unet.lr_up_conv.conv) if self.add_base else nn.Identity()

    def construct(self, features, base):
        condition = self.condition_conv(features)
        if self.add_base:
            condition = condition + self.base_conv(folded_rows(base, self.fold))
        return condition.reshape(self.count, -1, condition.shape[1])


class TrainedSRDiff(nn.Cell):
    """``SRDiff`` with its own parameters, as ``DiffusionLoss`` takes it.

    Args:
        model: an ``SRDiff``; see :func:`supports`.
        size: (B, h, w) of LR.
        scale: HR size / LR size.
        draws: x_t for each picture of the batch.
    """

    def __init__(self, model, size, scale, draws=1):
        super().__init__(auto_prefix=False)
        self.encoder = TrainedRRDB(model.encoder, size, scale)
        self.condition = TrainedCondition(model.unet, size, scale)
        count, height, width = size
        self.unet = TrainedUNet(model.unet, (count * draws, height * scale, width * scale))
        self.to_unit, self.of_encoder = model.to_unit, model.of_encoder

    def given(self, lr):
        """See ``SRDiff.given``; the features are rows."""
        if self.of_encoder:
            return self.encoder.condition_and_picture(lr)
        return self.encoder.condition(lr), self.encoder.bicubic((lr + 1) * self.to_unit) * 2 - 1

    def project(self, features, base):
        """The condition (B, P, width)."""
        return self.condition(features, base)

    def construct(self, x_t, t, condition):
        return self.unet(x_t, t, condition)


def folded_rows(x, r):
    """(B, 3, H, W) → (B·H/r·W/r, 3·r²)."""
    b, c, h, w = x.shape
    x = x.reshape(b, c, h // r, r, w // r, r).transpose(0, 2, 4, 1, 3, 5)
    return x.reshape(-1, c * r * r)
