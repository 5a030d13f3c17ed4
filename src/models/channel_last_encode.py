"""RRDBNet and ``SRDiff.encode`` for inference on the CPU: the same functions, from ``src.models.channel_last``."""

import numpy as np
from mindspore import nn, ops

from src.models.bicubic import phase_kernels
from src.models.channel_last import GatheredConv, Product, TransposedConv, with_zeros, zero_pixel
from src.models.rrdb import PixelShuffleUpsampler


class DenseBlock(nn.Cell):
    """``rrdb.ResidualDenseBlock``: (P, features) → (P, features)."""

    def __init__(self, block):
        super().__init__()
        convs = (block.conv1, block.conv2, block.conv3, block.conv4, block.conv5)
        self.convs = nn.CellList([GatheredConv(conv) for conv in convs])
        self.activation = nn.LeakyReLU(0.2)
        growth, features = block.conv1.weight.shape[:2]
        self.input_zero, self.zero = zero_pixel(features), zero_pixel(growth)

    def construct(self, x, nine):
        found = with_zeros(x, self.input_zero)
        for i in range(4):
            y = self.activation(self.convs[i](found, nine))
            found = ops.concat((found, with_zeros(y, self.zero)), 1)
        return self.convs[4](found, nine) * 0.2 + x


def supports(encoder):
    """Whether an RRDBNet's own picture can be had here: with a PixelShuffleUpsampler."""
    return isinstance(encoder.upsampler, PixelShuffleUpsampler)


class _Trunk(nn.Cell):
    """What ``RRDBNet`` and ``SRDiff.encode`` share, for one picture.

    Args:
        encoder: an ``RRDBNet``; its weights are copied.
        scale: HR size / LR size.
        to_unit: LR in [0, 2] times this is what the bicubic takes.
        own_picture: the base picture is the encoder's, not LR↑; see :func:`supports`.
    """

    def __init__(self, encoder, scale, to_unit, own_picture):
        super().__init__()
        self.scale, self.to_unit, self.own_picture = scale, to_unit, own_picture
        self.every, features = encoder.condition_every, encoder.trunk_conv.weight.shape[0]
        kernels = phase_kernels(scale)
        phases = np.einsum("ik,jl,cd->klcdij", kernels, kernels, np.eye(3)).reshape(75, -1)
        self.bicubic = Product(phases)  # one row: 25 pixels of 3 channels, one column: a channel's phase
        self.first_conv, self.trunk_conv = GatheredConv(encoder.first_conv), GatheredConv(encoder.trunk_conv)
        blocks = [b for rrdb in encoder.trunk for b in (rrdb.dense1, rrdb.dense2, rrdb.dense3)]
        self.trunk = nn.CellList([DenseBlock(block) for block in blocks])
        up = encoder.upsampler
        self.hidden_conv = GatheredConv(up.hidden_conv) if own_picture else nn.Identity()
        self.last_conv = GatheredConv(up.last_conv) if own_picture else nn.Identity()
        self.activation, self.gather = nn.LeakyReLU(0.2), ops.Gather()
        self.picture_zero, self.zero, self.hidden_zero = (zero_pixel(n) for n in (3, features, 2 * features))

    def base(self, lr, trunk, nine, bicubic):
        """LR↑ or the encoder's picture: (1, 3, H, W)."""
        h, w, s = lr.shape[2], lr.shape[3], self.scale
        unit = ((lr + 1) * self.to_unit).reshape(3, -1).transpose(1, 0)
        rows = self.bicubic(self.gather(unit, bicubic, 0))
        if self.own_picture:
            hidden = self.activation(self.hidden_conv(with_zeros(trunk, self.zero), nine))
            rows = rows + self.last_conv(with_zeros(hidden, self.hidden_zero), nine)
        return (rows * 2 - 1).reshape(h, w, 3, s, s).transpose(2, 0, 3, 1, 4).reshape(1, 3, h * s, w * s)

    def features(self, lr, nine):
        """Every block's output that the condition takes, a tuple, and the trunk's result (P, features)."""
        first = x = self.first_conv(
            with_zeros(((lr + 1) * 0.5).reshape(3, -1).transpose(1, 0), self.picture_zero), nine
        )
        kept = ()
        for i in range(len(self.trunk) // 3):
            y = x
            for j in range(3):
                y = self.trunk[3 * i + j](y, nine)
            x = y * 0.2 + x
            if (i + 1) % self.every == 0:
                kept = kept + (x,)
        trunk = first + self.trunk_conv(with_zeros(x, self.zero), nine)
        if (len(self.trunk) // 3 + 1) % self.every == 0:
            kept = kept + (trunk,)
        return kept, trunk


class ChannelLastRRDB(_Trunk):
    """``RRDBNet`` for one picture: (1, 3, H, W).

    Args:
        encoder, scale: as in :class:`_Trunk`; see :func:`supports`.
    """

    def __init__(self, encoder, scale):
        super().__init__(encoder, scale, 0.5, own_picture=True)

    def construct(self, lr, nine, bicubic):
        """lr (1, 3, h, w) float32 in [−1, 1] and tables."""
        return self.base(lr, self.features(lr, nine)[1], nine, bicubic)


class ChannelLastEncode(_Trunk):
    """``SRDiff.encode`` for one picture: the condition (P, width) and the base picture (1, 3, H, W).

    Args:
        model: an ``SRDiff``; its weights are copied. If its base picture is the encoder's, see :func:`supports`.
        scale: HR size / LR size.
    """

    def __init__(self, model, scale):
        super().__init__(model.encoder, scale, model.to_unit, model.of_encoder)
        unet = model.unet
        factor = scale // unet.space_to_depth
        self.direct, self.add_base, self.fold = factor == 1, unet.add_lr_up, unet.space_to_depth
        conv = unet.condition_conv
        self.condition_conv = GatheredConv(conv) if self.direct else TransposedConv(conv, factor)
        self.base_conv = GatheredConv(unet.lr_up_conv.conv) if self.add_base else nn.Identity()
        self.condition_zero = zero_pixel(model.encoder.condition_channels)

    def construct(self, lr, nine, bicubic, *rest):
        """lr (1, 3, h, w) float32 in [−1, 1] and tables."""
        kept, trunk = self.features(lr, nine)
        base, features = self.base(lr, trunk, nine, bicubic), ops.concat(kept, 1)
        if self.direct:
            condition = self.condition_conv(with_zeros(features, self.condition_zero), nine)
        else:
            condition = self.condition_conv(features, rest[-5:])
        if self.add_base:
            r, h, w = self.fold, base.shape[2] // self.fold, base.shape[3] // self.fold
            rows = base.reshape(3, h, r, w, r).transpose(1, 3, 0, 2, 4).reshape(-1, 3 * r * r)
            condition = condition + self.base_conv(rows, rest[0])
        return condition, base
