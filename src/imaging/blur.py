"""Blurs of photographs as Real-ESRGAN makes them (arXiv 2107.10833, section 3), and its sharpening. NumPy and SciPy."""

import numpy as np
from scipy import fft
from scipy.special import j1

from .resize import inside

SHAPES = ("gaussian", "generalized", "plateau")  # of :func:`blur_kernel`
_USM_SIZE, _USM_SIGMA = 51, 8.0  # pixels; OpenCV's σ for that size
_USM_THRESHOLD, _USM_WEIGHT = 10 / 255, 0.5


def blur_kernel(size, sigma_x, sigma_y, theta, shape="gaussian", beta=1.0):
    """Return a blur kernel, float64 (size, size) with the sum 1, of an odd size.

    With q the squared distance from its middle in units of σ, along axes that are turned by ``theta`` (radians), it is
    exp(−q/2); generalized exp(−q^β/2); plateau 1/(1 + q^β) (arXiv 1606.05897, equations 4 and 5).
    """
    offsets = np.arange(size) - (size - 1) / 2
    x, y = offsets, offsets[:, np.newaxis]
    cos, sin = np.cos(theta), np.sin(theta)
    q = np.square((cos * x + sin * y) / sigma_x) + np.square((cos * y - sin * x) / sigma_y)
    if shape != "gaussian":
        q **= beta
    kernel = 1 / (1 + q) if shape == "plateau" else np.exp(-q / 2)
    return kernel / kernel.sum()


def sinc_kernel(size, cutoff):
    """Return an ideal low-pass filter, float64 (size, size) with the sum 1, of a cutoff in radians per pixel.

    It makes the ringing of pictures that were sharpened or compressed too much.
    """
    offsets = np.arange(size) - (size - 1) / 2
    radius = np.hypot(offsets, offsets[:, np.newaxis])
    radius[size // 2, size // 2] = 1  # its value there is set below
    kernel = cutoff * j1(cutoff * radius) / (2 * np.pi * radius)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * np.pi)
    return kernel / kernel.sum()


def filter2d(picture, kernel):
    """Correlate a picture, float32 (H, W, C), with a square kernel of an odd size; it is mirrored beyond its edges."""
    (height, width), radius = picture.shape[:2], len(kernel) // 2
    rows, columns = (inside(np.arange(-radius, side + radius), side, "reflect") for side in (height, width))
    padded = picture.transpose(2, 0, 1)[:, rows[:, np.newaxis], columns]
    size = [fft.next_fast_len(side, real=True) for side in padded.shape[1:]]
    # a product of spectra convolves, around the edges of ``size``: what that spoils lies in the padding
    spectrum = fft.rfft2(padded, size) * fft.rfft2(kernel[::-1, ::-1].astype(picture.dtype), size)
    filtered = fft.irfft2(spectrum, size)[:, 2 * radius :, 2 * radius :]
    return np.ascontiguousarray(filtered[:, :height, :width].transpose(1, 2, 0))


def sharpen(picture):
    """Sharpen a picture, float32 (H, W, 3) in [0, 1], by an unsharp mask where it differs from its blurred self."""
    kernel = blur_kernel(_USM_SIZE, _USM_SIGMA, _USM_SIGMA, 0)
    residual = picture - filter2d(picture, kernel)
    mask = filter2d((np.abs(residual) > _USM_THRESHOLD).astype(picture.dtype), kernel)
    return picture + mask * (np.clip(picture + _USM_WEIGHT * residual, 0, 1) - picture)
