"""Bilinear enlargement as part of a network: fixed phase kernels over repeated edges, then depth to space."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops


def phase_kernels(scale):
    """Weights of the three input pixels −1…1 around pixel ``o // scale`` for each output phase ``o % scale``.

    float64 (scale, 3), for a whole scale; each row sums to 1.
    """
    centre = (np.arange(scale) + 0.5) / scale - 0.5
    return np.maximum(1 - np.abs(centre[:, None] - np.arange(-1, 2)[None, :]), 0)


class BilinearUpscale(nn.Cell):
    """Enlarge by a whole factor as PyTorch's bilinear interpolation does with ``align_corners=False``.

    Input (B, 3, h, w) float32; output (B, 3, scale·h, scale·w) float32.
    """

    exact = True

    def __init__(self, scale):
        super().__init__()
        self.scale = scale
        kernels = phase_kernels(scale)
        # both dimensions at once: output channel i·scale + j is phase (i, j)
        weight = np.einsum("ik,jl->ijkl", kernels, kernels).reshape(scale * scale, 1, 3, 3)
        self.weight = ms.Tensor(weight, ms.float32)
        self.shuffle = nn.PixelShuffle(scale)

    def construct(self, x):
        x = ops.concat((x[:, :, 0:1], x, x[:, :, -1:]), 2)
        x = ops.concat((x[..., 0:1], x, x[..., -1:]), 3)
        b, c, h, w = x.shape
        phases = ops.conv2d(x.reshape(b * c, 1, h, w), self.weight)  # (B·3, scale², h, w)
        return self.shuffle(phases.reshape(b, c * self.scale * self.scale, h - 2, w - 2))
