"""PReLU (arXiv 1502.01852, section 2.1) whose gradient is the same to the last bit in every run."""

import mindspore as ms
from mindspore import nn, ops


class PReLU(nn.Cell):
    """x where it is positive, else a learnt slope times x: (B, C, H, W) float32; one slope, or one for each channel.

    The gradient is written out: that of MindSpore's kernel on the CPU sums in the order in which its threads come, so
    that no training could be resumed to the bit.
    """

    def __init__(self, slopes=1):
        super().__init__()
        self.weight = ms.Parameter(ops.fill(ms.float32, (slopes,), 0.25), name="weight")
        self.apply_slope = _Slope()

    def construct(self, x):
        return self.apply_slope(x, self.weight)


class _Slope(nn.Cell):
    def construct(self, x, weight):
        return ops.prelu(x, weight)

    def bprop(self, x, weight, out, dout):
        b, c, h, w = x.shape
        negative = (x < 0).astype(x.dtype)
        slope = weight.reshape(1, -1, 1, 1).astype(x.dtype)
        products = (dout * negative * x).astype(ms.float32)  # sums of 16 bits would overflow
        sums = products.reshape(b * c, h * w).sum(-1).reshape(b, c).sum(0)  # rows are summed fast
        d_weight = sums if weight.shape[0] > 1 else sums.sum().reshape(1)
        return dout * (1 - negative + slope * negative), d_weight
