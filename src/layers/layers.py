"""Small layers that the networks share; all work with dynamic heights and widths."""

import math

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from ..errors import UserError


def conv3x3(in_channels, out_channels, stride=1, padding=1):
    """A 3×3 convolution with bias; ``padding`` is filled with zeros, 0 where the caller pads."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, pad_mode="pad", padding=padding, has_bias=True)


def conv1x1(in_channels, out_channels, has_bias=True):
    """A 1×1 convolution."""
    return nn.Conv2d(in_channels, out_channels, 1, pad_mode="valid", has_bias=has_bias)


class Mish(nn.Cell):
    """x · tanh(softplus(x)) (arXiv 1908.08681, eq. 1); input and output of any shape, float32.

    MindSpore's own, alone, is NaN on the CPU from x = 44.4 up, where it overflows; in float32 the function is x itself
    from about 10 up. Its gradient is written out, since that of the selection would cost three more passes over memory.
    """

    def __init__(self):
        super().__init__()
        self.mish = ops.Mish()

    def construct(self, x):
        return ops.select(x > 20.0, x, self.mish(x))

    def bprop(self, x, out, dout):
        t = ops.tanh(ops.softplus(x))
        return (dout * (t + x * ops.sigmoid(x) * (1 - t * t)),)


class AddPerChannel(nn.Cell):
    """Add one number to each channel: (B, C, H, W) and (B, C) → (B, C, H, W).

    As a bias of B·C channels, since MindSpore's CPU kernel takes seven times as long for a sum with broadcasting
    (``docs/inference_speed.md``). Its gradient is summed over the rows of a matrix: these it sums ten times as fast as
    the last two of four axes (``docs/training_speed.md``).
    """

    def __init__(self):
        super().__init__()
        self.bias_add = ops.BiasAdd()

    def construct(self, x, number):
        b, c, h, w = x.shape
        return self.bias_add(x.reshape(1, b * c, h, w), number.reshape(b * c)).reshape(b, c, h, w)

    def bprop(self, x, number, out, dout):
        b, c = number.shape
        return dout, dout.reshape(b * c, -1).sum(-1).reshape(b, c)


class ReflectConv3x3(nn.Cell):
    """A 3×3 convolution over reflected edges (the edge pixel itself is not repeated).

    Input (B, in, H, W) with H, W ≥ 2; output (B, out, ⌈H/stride⌉, ⌈W/stride⌉), float32.
    """

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.pad = nn.ReflectionPad2d(1)
        self.conv = conv3x3(in_channels, out_channels, stride, padding=0)

    def construct(self, x):
        return self.conv(self.pad(x))


class SinusoidalEmbedding(nn.Cell):
    """Sinusoidal embedding of the time step or of a noise level ("Attention Is All You Need", section 3.5).

    All sines come first, then all cosines. Input (B,) any real dtype; output (B, channels) float32. Frequencies go
    from 1 down ``to_the_end``, 1/10000, as in SRDiff, or end one before it (SR3, DDPM): 10000^(−i / (channels/2 − 1)),
    or 10000^(−i / (channels/2)).
    """

    exact = True  # rounded to 16 bits, √ᾱ of SR3's first dozen steps would be one and the same number

    def __init__(self, channels, to_the_end=True):
        super().__init__()
        if channels < 4 or channels % 2:
            raise UserError(f"the U-Net's width must be an even number of at least 4, not {channels}: try 32 or 64")
        half = channels // 2
        frequencies = np.exp(np.arange(half) * (-math.log(10000.0) / (half - to_the_end)))
        self.frequencies = ms.Tensor(frequencies[None, :], ms.float32)

    def construct(self, t):
        angles = t.astype(ms.float32).reshape(-1, 1) * self.frequencies
        return ops.concat((ops.sin(angles), ops.cos(angles)), 1)


class NearestUpsample(nn.Cell):
    """Repeat every pixel r×r: (B, C, H, W) → (B, C, r·H, r·W).

    Broadcasting instead of ``ops.interpolate``, which breaks dynamic shapes and takes four times as long on CPU.
    """

    def __init__(self, r=2):
        super().__init__()
        self.r = r

    def construct(self, x):
        if self.r == 1:
            return x
        b, c, h, w = x.shape
        x = ops.broadcast_to(x.reshape(b, c, h, 1, w, 1), (b, c, h, self.r, w, self.r))
        return x.reshape(b, c, self.r * h, self.r * w)


class Fold(nn.Cell):
    """Space to depth: r×r pixels into channels, (B, C, H, W) → (B, C·r², H/r, W/r); r = 1 changes nothing."""

    def __init__(self, r):
        super().__init__()
        self.r = r

    def construct(self, x):
        if self.r == 1:
            return x
        # ops.pixel_unshuffle checks its sizes inside the graph, and MindIR with free sizes cannot be loaded then
        b, c, h, w = x.shape
        x = x.reshape(b, c, h // self.r, self.r, w // self.r, self.r).transpose(0, 1, 3, 5, 2, 4)
        return x.reshape(b, c * self.r * self.r, h // self.r, w // self.r)


class Unfold(nn.Cell):
    """Depth to space, the inverse of :class:`Fold`: (B, C·r², h, w) → (B, C, h·r, w·r)."""

    def __init__(self, r):
        super().__init__()
        self.r = r

    def construct(self, x):
        return x if self.r == 1 else ops.pixel_shuffle(x, self.r)


class LinearAttention(nn.Cell):
    """Self-attention that is linear in the number of pixels ("Efficient Attention", arXiv 1812.01243).

    Keys are normalised over the pixels, queries are not. With ReZero's learnt gate (arXiv 2003.04887), which
    starts at 0, and a skip connection around it. Input and output (B, channels, H, W) float32.
    """

    def __init__(self, channels, heads=4, head_channels=32):
        super().__init__()
        self.heads = heads
        self.head_channels = head_channels
        self.to_qkv = conv1x1(channels, 3 * heads * head_channels, has_bias=False)
        self.to_out = conv1x1(heads * head_channels, channels)
        self.gate = ms.Parameter(ms.Tensor(np.zeros(1), ms.float32), name="gate")
        self.softmax = nn.Softmax(axis=-1)
        self.context_of = ops.BatchMatMul(transpose_b=True)
        self.read = ops.BatchMatMul(transpose_a=True)

    def construct(self, x):
        b, _, h, w = x.shape
        qkv = self.to_qkv(x).reshape(b, 3, self.heads, self.head_channels, h * w)
        query, key, value = qkv[:, 0], qkv[:, 1], qkv[:, 2]  # (B, heads, head_channels, H·W)
        context = self.context_of(self.softmax(key), value)  # (B, heads, head_channels, head_channels)
        out = self.read(context, query)  # (B, heads, head_channels, H·W)
        out = out.reshape(b, self.heads * self.head_channels, h, w)
        return x + self.gate * self.to_out(out)
