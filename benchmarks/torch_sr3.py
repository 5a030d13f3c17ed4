"""SR3's U-Net in plain PyTorch, the yardstick of ``engines.py``.

Written from the architecture (arXiv 2104.07636, appendix A), for a conditional network that is told √ᾱ as a shift, as
one would write it in PyTorch without measuring: every layer is PyTorch's own, run eagerly. The parameters have the
names and shapes of this project's, so that weights are copied by name.
"""

import math

import torch
from torch import nn
from torch.nn import functional


class NormConv(nn.Module):
    """GroupNorm, Swish, 3×3 convolution."""

    def __init__(self, in_channels, out_channels, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, in_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x):
        return self.conv(functional.silu(self.norm(x)))


class Modulation(nn.Module):
    """Shift each channel by what the noise level says."""

    def __init__(self, embedding_channels, channels):
        super().__init__()
        self.dense = nn.Linear(embedding_channels, channels)

    def forward(self, x, embedding):
        return x + self.dense(embedding)[:, :, None, None]


class SelfAttention(nn.Module):
    """Every pixel looks at every other, with one head, and a skip connection around it."""

    def __init__(self, channels, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.to_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        query, key, value = self.to_qkv(self.norm(x)).reshape(b, 3, c, h * w).unbind(1)
        weights = torch.softmax(query.transpose(1, 2) @ key / math.sqrt(c), -1)
        return x + self.to_out((value @ weights.transpose(1, 2)).reshape(b, c, h, w))


class ResidualBlock(nn.Module):
    """Two NormConvs with the noise level told between them, a skip connection around both, and perhaps attention."""

    def __init__(self, in_channels, out_channels, embedding_channels, groups, attention):
        super().__init__()
        self.block1 = NormConv(in_channels, out_channels, groups)
        self.modulation = Modulation(embedding_channels, out_channels)
        self.block2 = NormConv(out_channels, out_channels, groups)
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()
        self.attention = SelfAttention(out_channels, groups) if attention else nn.Identity()

    def forward(self, x, embedding):
        return self.attention(self.block2(self.modulation(self.block1(x), embedding)) + self.skip(x))


class SR3UNet(nn.Module):
    """The U-Net of a configuration's section ``sr3``."""

    def __init__(self, sr3):
        super().__init__()
        if sr3.noise_level != "continuous" or not sr3.conditional or sr3.affine:
            raise SystemExit("torch_sr3.py has the conditional network alone that is told √ᾱ as a shift")
        width, self.blocks, levels = sr3.width, sr3.blocks, len(sr3.multipliers)
        self.levels, channels = levels, [width * multiplier for multiplier in sr3.multipliers]
        self.fold = sr3.space_to_depth
        attends = [sr3.image_size // self.fold >> level in sr3.attention for level in range(levels)]

        def block(inputs, level, attention):
            return ResidualBlock(inputs, channels[level], width, sr3.groups, attention)

        self.time_mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))
        self.first_conv = nn.Conv2d(6 * self.fold**2, width, 3, padding=1)
        self.down_blocks, self.up_blocks, skips, inputs = nn.ModuleList(), nn.ModuleList(), [width], width
        for level in range(levels):
            for _ in range(self.blocks):
                self.down_blocks.append(block(inputs, level, attends[level]))
                inputs = channels[level]
                skips.append(inputs)
            if level < levels - 1:
                skips.append(inputs)
        for level in range(levels - 1, -1, -1):
            for _ in range(self.blocks + 1):
                self.up_blocks.append(block(inputs + skips.pop(), level, attends[level]))
                inputs = channels[level]
        self.halvings = nn.ModuleList(nn.Conv2d(c, c, 3, stride=2, padding=1) for c in channels[:-1])
        self.doublings = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for c in channels[:0:-1])
        self.mid_block1 = block(channels[-1], levels - 1, True)
        self.mid_block2 = block(channels[-1], levels - 1, False)
        self.last_block = NormConv(width, 3 * self.fold**2, sr3.groups)
        self.register_buffer("frequencies", torch.exp(-math.log(1e4) / (width // 2) * torch.arange(width // 2)), False)

    def forward(self, x_t, t, lr_up):
        angles = t[:, None] * self.frequencies
        embedding = self.time_mlp(torch.cat((angles.sin(), angles.cos()), 1))
        x = self.first_conv(functional.pixel_unshuffle(torch.cat((lr_up, x_t), 1), self.fold))
        skips = [x]
        for level in range(self.levels):
            for number in range(self.blocks):
                x = self.down_blocks[level * self.blocks + number](x, embedding)
                skips.append(x)
            if level < self.levels - 1:
                x = self.halvings[level](x)
                skips.append(x)
        x = self.mid_block2(self.mid_block1(x, embedding), embedding)
        for number, block in enumerate(self.up_blocks):
            x = block(torch.cat((x, skips.pop()), 1), embedding)
            level, in_level = divmod(number, self.blocks + 1)
            if in_level == self.blocks and level < self.levels - 1:
                x = self.doublings[level](functional.interpolate(x, scale_factor=2))
        return functional.pixel_shuffle(self.last_block(x), self.fold)
