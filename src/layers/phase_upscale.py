"""Enlargement by a whole factor as part of a network, bicubic and bilinear: a fixed kernel for each phase."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops


def cubic(x):
    """Keys' cubic kernel with a = −0.5 (IEEE Trans. ASSP 29(6), 1981, eq. 15), float64, any shape."""
    x = np.abs(np.asarray(x, np.float64))
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def triangle(x):
    """The kernel of linear interpolation, float64, any shape."""
    return np.maximum(1 - np.abs(np.asarray(x, np.float64)), 0)


def phase_kernels(scale, kernel=cubic, radius=2):
    """Weights of the input pixels −radius…radius around pixel ``o // scale`` for each output phase ``o % scale``.

    float64 (scale, 2·radius + 1), for a whole scale from 2 up; each row sums to 1.
    """
    centre = (np.arange(scale) + 0.5) / scale - 0.5
    weights = kernel(centre[:, None] - np.arange(-radius, radius + 1)[None, :])
    return weights / weights.sum(1, keepdims=True)


class PhaseUpscale(nn.Cell):
    """Convolve with :func:`phase_kernels` over mirrored edges, the edge repeated, then unfold channels into pixels.

    The kernels' radius is 1 or 2. Input (B, 3, h, w) float32 with h, w of it or more; output (B, 3, scale·h, scale·w)
    float32.
    """

    exact = True

    def __init__(self, kernels):
        super().__init__()
        self.scale, width = kernels.shape
        self.radius = width // 2
        # both dimensions at once: output channel i·scale + j is phase (i, j)
        weight = np.einsum("ik,jl->ijkl", kernels, kernels).reshape(self.scale**2, 1, width, width)
        self.weight = ms.Tensor(weight, ms.float32)
        self.shuffle = nn.PixelShuffle(self.scale)

    def construct(self, x):
        if self.radius == 1:
            x = ops.concat((x[:, :, 0:1], x, x[:, :, -1:]), 2)
            x = ops.concat((x[..., 0:1], x, x[..., -1:]), 3)
        else:
            x = ops.concat((x[:, :, 1:2], x[:, :, 0:1], x, x[:, :, -1:], x[:, :, -2:-1]), 2)
            x = ops.concat((x[..., 1:2], x[..., 0:1], x, x[..., -1:], x[..., -2:-1]), 3)
        b, c, h, w = x.shape
        phases = ops.conv2d(x.reshape(b * c, 1, h, w), self.weight)  # (B·3, scale², h, w)
        border = 2 * self.radius
        return self.shuffle(phases.reshape(b, c * self.scale * self.scale, h - border, w - border))


class BicubicUpscale(PhaseUpscale):
    """Enlarge as MATLAB's ``imresize`` does float pictures: ``src.imaging.resize.imresize`` to 1e−5, not clipped."""

    def __init__(self, scale):
        super().__init__(phase_kernels(scale))


class BilinearUpscale(PhaseUpscale):
    """Enlarge as PyTorch's bilinear interpolation does with ``align_corners=False``."""

    def __init__(self, scale):
        super().__init__(phase_kernels(scale, triangle, 1))
