"""RRDBNet from ``src.models.trained_products``: the same function, for batches of one size."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from src.models.bicubic import phase_kernels
from src.models.pixel_tables import NINE, batched, neighbours, symmetric
from src.models.trained_products import TrainedConv, constant


class TrainedDenseBlock(nn.Cell):
    """``rrdb.ResidualDenseBlock``: (P, features) → (P, features)."""

    def __init__(self, block, conv):
        super().__init__(auto_prefix=False)
        self.convs = nn.CellList(
            [conv(c) for c in (block.conv1, block.conv2, block.conv3, block.conv4, block.conv5)], auto_prefix=False
        )
        self.activation = nn.LeakyReLU(0.2)

    def construct(self, x):
        found = x
        for i in range(4):
            found = ops.concat((found, self.activation(self.convs[i](found))), 1)
        return self.convs[4](found) * 0.2 + x


class TrainedRRDB(nn.Cell):
    """RRDBNet with its own parameters: (B, 3, h, w) float32 in [−1, 1] → (B, 3, H, W).

    Args:
        encoder: an ``RRDBNet``; see ``src.models.channel_last_encode.supports``.
        size: (B, h, w).
        scale: HR size / LR size.
    """

    def __init__(self, encoder, size, scale):
        super().__init__(auto_prefix=False)
        count, height, width = self.size = size
        self.scale, self.every = scale, encoder.condition_every
        table = neighbours(height, width, NINE)

        def conv(cell):
            return TrainedConv(cell, table, height * width, count)

        kernels = phase_kernels(scale)
        phases = np.einsum("ik,jl,cd->klcdij", kernels, kernels, np.eye(3)).reshape(75, -1)
        self.phases = ms.Tensor(phases, ms.float32)  # one row: 25 pixels of 3 channels, one column: a channel's phase
        square = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
        self.square = constant(batched(neighbours(height, width, square, symmetric), height * width, count))
        self.first_conv, self.trunk_conv = conv(encoder.first_conv), conv(encoder.trunk_conv)
        blocks = [b for rrdb in encoder.trunk for b in (rrdb.dense1, rrdb.dense2, rrdb.dense3)]
        self.trunk = nn.CellList([TrainedDenseBlock(block, conv) for block in blocks], auto_prefix=False)
        self.hidden_conv, self.last_conv = conv(encoder.upsampler.hidden_conv), conv(encoder.upsampler.last_conv)
        self.activation = nn.LeakyReLU(0.2)
        self.gather, self.product = ops.Gather(), ops.MatMul()

    def trunk_features(self, lr):
        """Every block's output and last the trunk's sum, blocks + 1 of (B·h·w, features)."""
        first = x = self.first_conv((_rows(lr) + 1) * 0.5)
        kept = ()
        for i in range(len(self.trunk) // 3):
            y = x
            for j in range(3):
                y = self.trunk[3 * i + j](y)
            x = y * 0.2 + x
            kept = kept + (x,)
        return kept + (first + self.trunk_conv(x),)

    def condition(self, lr):
        """``RRDBNet.condition`` as rows (B·h·w, condition_channels)."""
        return self._selected(self.trunk_features(lr))

    def condition_and_picture(self, lr):
        """:meth:`condition` and the picture, from one pass through the trunk."""
        features = self.trunk_features(lr)
        return self._selected(features), self._picture(lr, features[-1])

    def construct(self, lr):
        return self._picture(lr, self.trunk_features(lr)[-1])

    def bicubic(self, x):
        """MATLAB's bicubic: (B, 3, h, w) → (B, 3, H, W)."""
        return self._unfold(self._phases(_rows(x)))

    def _selected(self, features):
        return ops.concat(features[self.every - 1 :: self.every], 1)

    def _picture(self, lr, trunk):
        correction = self.last_conv(self.activation(self.hidden_conv(trunk)))
        return self._unfold(self._phases((_rows(lr) + 1) * 0.5) + correction) * 2 - 1

    def _phases(self, rows):
        return self.product(self.gather(rows, self.square, 0).reshape(-1, 75), self.phases)

    def _unfold(self, rows):
        count, height, width = self.size
        s = self.scale
        rows = rows.reshape(count, height, width, 3, s, s).transpose(0, 3, 1, 4, 2, 5)
        return rows.reshape(count, 3, height * s, width * s)


def _rows(x):
    """(B, C, H, W) → (B·H·W, C)."""
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
