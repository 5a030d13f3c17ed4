"""``conditional_unet`` for inference on the CPU: the same function, from ``src.models.channel_last``."""

from mindspore import nn, ops

from src.models.channel_last import GatheredConv, ShiftedConv, TransposedConv, dense, pointwise
from src.models.layers import Mish


def supports(unet):
    """Whether a ConditionalUNet has no part that is missing here: normalisation, attention."""
    return isinstance(unet.last_block.norm, nn.Identity) and isinstance(unet.mid_attention, nn.Identity)


class ResnetBlock(nn.Cell):
    """``conditional_unet.ResnetBlock``: (P, in), the activated embedding (1, embedding), tables → (P, out).

    Args:
        block: the one whose weights are copied.
        few: it has few input channels, and its first convolution takes a table of its own.
    """

    def __init__(self, block, few=False):
        super().__init__()
        first = block.block1.conv.conv
        self.conv1 = GatheredConv(first) if few else ShiftedConv(first)
        self.conv2 = ShiftedConv(block.block2.conv.conv)
        self.time_dense = dense(block.time_dense)
        self.skip = block.skip if isinstance(block.skip, nn.Identity) else pointwise(block.skip)
        self.activation = Mish()
        self.bias_add = ops.BiasAdd()

    def construct(self, x, embedding, tables, first_table=None):
        h = self.activation(self.conv1(x, tables if first_table is None else first_table))
        h = self.bias_add(h, self.time_dense(embedding).reshape(-1))
        return self.activation(self.conv2(h, tables)) + self.skip(x)


class ChannelLastUNet(nn.Cell):
    """``ConditionalUNet`` for one picture.

    Args:
        unet: the network; its weights are copied. See :func:`supports`.
    """

    def __init__(self, unet):
        super().__init__()
        self.r, self.levels = unet.space_to_depth, unet.levels
        first, _, last = unet.time_mlp
        self.time_mlp = nn.SequentialCell([dense(first), Mish(), dense(last)])
        self.embedding, self.activation = unet.embedding, Mish()
        blocks = [b for level in unet.downs for b in (level.block1, level.block2)]
        self.downs = nn.CellList([ResnetBlock(blocks[0], few=True), *(ResnetBlock(b) for b in blocks[1:])])
        self.halvings = nn.CellList([GatheredConv(halving.conv) for halving in unet.halvings])
        self.mids = nn.CellList([ResnetBlock(unet.mid_block1), ResnetBlock(unet.mid_block2)])
        self.ups = nn.CellList([ResnetBlock(b) for level in unet.ups for b in (level.block1, level.block2)])
        self.transposed = nn.CellList([TransposedConv(level.up, 2) for level in unet.ups])
        self.last_block = ShiftedConv(unet.last_block.conv.conv)
        self.last_conv = pointwise(unet.last_conv)

    def construct(self, x_t, t, condition, *tables):
        """x_t (1, 3, H, W), t (1,) int32, condition (P, width), tables → (1, 3, H, W)."""
        first_nine, reflect, halve, double = self._sorted(tables)
        embedding = self.activation(self.time_mlp(self.embedding(t)))
        r, h, w = self.r, x_t.shape[2] // self.r, x_t.shape[3] // self.r
        x = x_t.reshape(3, h, r, w, r).transpose(1, 3, 0, 2, 4).reshape(-1, 3 * r * r)
        skips = ()
        for level in range(self.levels):
            x = self.downs[2 * level](x, embedding, reflect[level], first_nine if level == 0 else None)
            x = self.downs[2 * level + 1](x, embedding, reflect[level])
            if level == 0:
                x = x + condition
            skips = skips + (x,)
            if level < self.levels - 1:
                x = self.halvings[level](x, halve[level])
        for i in range(2):
            x = self.mids[i](x, embedding, reflect[self.levels - 1])
        for i in range(self.levels - 1):
            level = self.levels - 1 - i
            x = ops.concat((x, skips[level]), 1)
            x = self.ups[2 * i](x, embedding, reflect[level])
            x = self.ups[2 * i + 1](x, embedding, reflect[level])
            x = self.transposed[i](x, double[level - 1])
        x = self.last_conv(self.activation(self.last_block(x, reflect[0])))
        return x.reshape(h, w, 3, r, r).transpose(2, 0, 3, 1, 4).reshape(1, 3, h * r, w * r)

    def _sorted(self, tables):
        """The tables of each level, from the flat list that a graph with free sizes takes."""
        reflect, halve, double = (), (), ()
        n = self.levels
        for i in range(n):
            reflect = reflect + (tables[1 + 3 * i : 4 + 3 * i],)
        for i in range(n - 1):
            halve = halve + (tables[1 + 3 * n + i],)
            double = double + (tables[4 * n + 5 * i : 4 * n + 5 * i + 5],)
        return tables[0], reflect, halve, double
