"""MATLAB's bicubic enlargement as part of a network: fixed phase kernels over mirrored edges, then depth to space."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops


def cubic(x):
    """Keys' cubic kernel with a = −0.5 (IEEE Trans. ASSP 29(6), 1981, eq. 15), float64, any shape."""
    x = np.abs(np.asarray(x, np.float64))
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def phase_kernels(scale):
    """Weights of the five input pixels −2…2 around pixel ``o // scale`` for each output phase ``o % scale``.

    float64 (scale, 5), for a whole scale from 2 up; each row sums to 1.
    """
    centre = (np.arange(scale) + 0.5) / scale - 0.5
    weights = cubic(centre[:, None] - np.arange(-2, 3)[None, :])
    return weights / weights.sum(1, keepdims=True)


class BicubicUpscale(nn.Cell):
    """Enlarge by a whole factor as MATLAB's ``imresize`` does on float pictures (symmetric edges, no clipping).

    Input (B, 3, h, w) float32 with h, w ≥ 2; output (B, 3, scale·h, scale·w) float32, equal to
    ``src.imaging.resize.imresize`` to 1e−5 for values around 1.
    """

    exact = True

    def __init__(self, scale):
        super().__init__()
        self.scale = scale
        kernels = phase_kernels(scale)
        # both dimensions at once: output channel i·scale + j is phase (i, j)
        weight = np.einsum("ik,jl->ijkl", kernels, kernels).reshape(scale * scale, 1, 5, 5)
        self.weight = ms.Tensor(weight, ms.float32)
        self.shuffle = nn.PixelShuffle(scale)

    def construct(self, x):
        x = ops.concat((x[:, :, 1:2], x[:, :, 0:1], x, x[:, :, -1:], x[:, :, -2:-1]), 2)
        x = ops.concat((x[..., 1:2], x[..., 0:1], x, x[..., -1:], x[..., -2:-1]), 3)
        b, c, h, w = x.shape
        phases = ops.conv2d(x.reshape(b * c, 1, h, w), self.weight)  # (B·3, scale², h, w)
        phases = phases.reshape(b, c * self.scale * self.scale, h - 4, w - 4)
        return self.shuffle(phases)
