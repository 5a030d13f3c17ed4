"""Batch normalisation (arXiv 1502.03167) whose statistics can be those of all ranks together."""

import mindspore as ms
from mindspore import nn, ops

from .ranks import MeanOverRanks

_EPSILON = 1e-5
_MOMENTUM = 0.1  # share of a batch in the moving statistics


class BatchNorm2d(nn.Cell):
    """Normalise each channel of (B, C, H, W) by its mean and variance, then scale it by gamma and add beta; float32.

    In training they are the batch's, and the moving ones follow them, the variance as the unbiased n/(n − 1), as in
    PyTorch; a batch whose statistics are not finite leaves these alone. Else the moving ones are used.
    """

    exact = True

    def __init__(self, channels):
        super().__init__()
        self.gamma = ms.Parameter(ops.ones((channels,), ms.float32), name="gamma")
        self.beta = ms.Parameter(ops.zeros((channels,), ms.float32), name="beta")
        self.moving_mean = ms.Parameter(ops.zeros((channels,), ms.float32), name="moving_mean", requires_grad=False)
        self.moving_variance = ms.Parameter(
            ops.ones((channels,), ms.float32), name="moving_variance", requires_grad=False
        )
        self.by_batch = _NormalizeByBatch()
        self.by_moving = ops.BatchNorm(is_training=False, epsilon=_EPSILON)
        self.ranks = 1

    def over_ranks(self, size):
        """From now on take the statistics of the batches of so many ranks together; before the first call."""
        self.ranks = size
        self.by_batch.mean_of_ranks = MeanOverRanks(size)

    def construct(self, x):
        if not self.training:
            return self.by_moving(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
        out, mean, variance = self.by_batch(x, self.gamma, self.beta)
        b, _, h, w = x.shape
        n = b * h * w * self.ranks
        self._follow(self.moving_mean, mean)
        self._follow(self.moving_variance, variance * (n / max(n - 1, 1)))
        return out

    def _follow(self, moving, now):
        moved = moving + _MOMENTUM * (ops.stop_gradient(now) - moving)
        ops.assign(moving, ops.select(ops.isfinite(moved), moved, moving))


class _NormalizeByBatch(nn.Cell):
    """Normalisation by the batch's own statistics; returns these besides.

    The gradient is written out: ops.BatchNorm hands none to mean and variance. Its own two means go over the ranks as
    well: with the parameters' gradients averaged over them, all are those of one process with the whole batch.
    """

    def __init__(self):
        super().__init__()
        self.normalize = ops.BatchNorm(is_training=False, epsilon=_EPSILON)
        self.mean_of_ranks = nn.Identity()
        self.add = ops.BiasAdd()
        self.dot = ops.BatchMatMul(transpose_b=True)

    def construct(self, x, gamma, beta):
        mean = self.mean_of_ranks(self._mean(x))
        centred = self.add(x, -mean)  # variance as E[x²] − E[x]² would lose the digits of a small one
        variance = self.mean_of_ranks(self._mean_product(centred, centred))
        return self.normalize(x, gamma, beta, mean, variance)[0], mean, variance

    def bprop(self, x, gamma, beta, out, dout):
        _, mean, variance = out
        dy = dout[0]
        b, _, h, w = x.shape
        inverse = ops.rsqrt(variance + _EPSILON)
        centred = self.add(x, -mean)
        dy_mean, dy_slope = self._mean(dy), self._mean_product(dy, centred) * inverse
        d_gamma, d_beta = dy_slope * (b * h * w), dy_mean * (b * h * w)
        factor = gamma * inverse
        dy_mean, slope = self.mean_of_ranks(dy_mean), self.mean_of_ranks(dy_slope) * inverse
        scale = -factor * slope
        dx = _scaled(dy, factor) + self.add(_scaled(centred, scale), -factor * dy_mean)
        return dx, d_gamma, d_beta

    def _mean(self, x):
        """Over pictures and pixels, (C,). The sum over rows of a matrix is three times as fast on the CPU."""
        b, c, h, w = x.shape
        return x.reshape(b * c, h * w).sum(-1).reshape(b, c).sum(0) / (b * h * w)

    def _mean_product(self, x, y):
        b, c, h, w = x.shape
        return self.dot(x.reshape(b * c, 1, h * w), y.reshape(b * c, 1, h * w)).reshape(b, c).sum(0) / (b * h * w)


def _scaled(x, factor):
    return x * factor.reshape(1, -1, 1, 1)
