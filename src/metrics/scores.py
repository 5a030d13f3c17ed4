"""PSNR, SSIM, agreement with the LR picture, and the four protocols under which super-resolution papers report them.

The same pictures score differently by protocol (classic luma numbers are about 1.4 dB above RGB ones), so a
number means something only with its protocol's name beside it. Pictures are uint8 (H, W, 3) RGB.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..imaging.color import rgb_to_y
from ..imaging.resize import imresize

PEAK = 255.0
_C1 = (0.01 * PEAK) ** 2
_C2 = (0.03 * PEAK) ** 2
_GAUSSIAN_WINDOW = 11
_GAUSSIAN_SIGMA = 1.5
_UNIFORM_WINDOW = 7


def psnr(image, reference):
    """PSNR in dB, over all pixels and channels, values in 0..255; infinity where equal, None where empty."""
    _check_shapes(image, reference)
    return _decibels(_squared_error(image, reference)) if image.size else None


def ssim_gaussian(image, reference):
    """Structural similarity of its authors, of (H, W) or (H, W, C): Gaussian window, only where it lies inside.

    Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural
    Similarity", IEEE TIP 13(4), 2004, equations 13 to 17: window 11×11, σ = 1.5, K1 = 0.01, K2 = 0.03. Channels are
    scored apart and averaged. None where a side is shorter than the window.
    """
    _check_shapes(image, reference)
    if min(image.shape[:2]) < _GAUSSIAN_WINDOW:
        return None
    x, y = (np.moveaxis(np.atleast_3d(picture).astype(np.float64), 2, 0) for picture in (image, reference))
    mean_x, mean_y = _gaussian_mean(x), _gaussian_mean(y)
    product_of_means = mean_x * mean_y
    sum_of_squared_means = mean_x * mean_x + mean_y * mean_y
    # The formula needs the variances only as their sum: one filtered map instead of two.
    sum_of_variances = _gaussian_mean(x * x + y * y) - sum_of_squared_means
    covariance = _gaussian_mean(x * y) - product_of_means
    numerator = (2 * product_of_means + _C1) * (2 * covariance + _C2)
    return float(np.mean(numerator / ((sum_of_squared_means + _C1) * (sum_of_variances + _C2))))


def ssim_uniform(image, reference):
    """scikit-image's structural similarity of (H, W, C) with its defaults: uniform 7×7 window, sample covariance."""
    from skimage.metrics import structural_similarity  # half a second: not for every import of this module

    _check_shapes(image, reference)
    if min(image.shape[:2]) < _UNIFORM_WINDOW:
        return None
    return float(structural_similarity(image, reference, channel_axis=2, data_range=PEAK))


def lr_agreement(image, lr):
    """How an upscaled picture, reduced by MATLAB's bicubic, agrees with the LR it came from, both uint8: two numbers.

    LR-PSNR is in dB, in RGB (SRDiff, arXiv 2104.14951, section 4.1); infinity where the two are equal. Consistency is
    the mean squared error in units of 1e−5, as SR3 prints it (arXiv 2104.07636, table 1). The paper does not say in
    which range it takes the values: here it is [0, 1], and both pictures are rounded to 256 levels, so that
    consistency = 1e5·10^(−LR-PSNR/10).
    """
    error = _squared_error(imresize(image, size=lr.shape[:2]), lr)
    return _decibels(error), 1e5 * error / PEAK**2


def lr_psnr(image, lr):
    return lr_agreement(image, lr)[0]


@dataclass(frozen=True)
class Protocol:
    description: str  # for the head of a table
    luma: bool  # compare the BT.601 luma, rounded to whole numbers as MATLAB's rgb2ycbcr gives it for uint8
    crop: bool  # leave out as many pixels at each edge as the scale
    ssim: Callable

    def __call__(self, image, reference, scale):
        """(PSNR in dB, SSIM) of two uint8 (H, W, 3) pictures; None for what a picture is too small for."""
        _check_shapes(image, reference)
        if self.luma:
            image, reference = (rgb_to_y(picture, rounded=True) for picture in (image, reference))
        if self.crop:
            image, reference = (picture[scale:-scale, scale:-scale] for picture in (image, reference))
        return psnr(image, reference), self.ssim(image, reference)


PROTOCOLS = {
    "srdiff": Protocol("RGB, no crop, uniform SSIM", luma=False, crop=False, ssim=ssim_uniform),
    "classic": Protocol("luma, edges cropped by the scale, Gaussian SSIM", luma=True, crop=True, ssim=ssim_gaussian),
    "y": Protocol("luma, no crop, Gaussian SSIM", luma=True, crop=False, ssim=ssim_gaussian),
    "sr3": Protocol("RGB, no crop, Gaussian SSIM", luma=False, crop=False, ssim=ssim_gaussian),
}


def protocol_named(name):
    if name not in PROTOCOLS:
        raise UserError(f"the protocol must be one of {', '.join(PROTOCOLS)}, not {name!r}")
    return PROTOCOLS[name]


def _squared_error(image, reference):
    difference = image.astype(np.float64) - reference
    return float(np.mean(difference * difference))


def _decibels(error):
    return float(10 * np.log10(PEAK * PEAK / error)) if error > 0 else float("inf")


def _gaussian_mean(stack):
    """The weighted mean around each pixel whose window lies inside: (C, H, W) → (C, H − 10, W − 10)."""
    from scipy.ndimage import correlate1d

    radius = _GAUSSIAN_WINDOW // 2
    window = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * _GAUSSIAN_SIGMA**2))
    window /= window.sum()
    rows = correlate1d(stack, window, axis=1)[:, radius:-radius]
    return correlate1d(rows, window, axis=2)[:, :, radius:-radius]


def _check_shapes(image, reference):
    if image.shape != reference.shape:
        raise UserError(
            f"the pictures to compare must have one shape, got {image.shape} and {reference.shape}: "
            "give each picture its own original"
        )
