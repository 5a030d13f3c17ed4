"""NIQE: how far a picture's statistics are from those of natural pictures, without its original; less is better.

Mittal, Soundararajan, Bovik, "Making a 'Completely Blind' Image Quality Analyzer", IEEE Signal Processing Letters
20(3), 2013. The natural pictures are this project's own choice: scripts/fit_niqe.py makes niqe_parameters.npz of 291
training pictures (BSD200, T91). The authors chose others: compare scores only with scores by the same parameters.
"""

import math
from functools import cache
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..imaging.color import rgb_to_y
from ..imaging.resize import imresize
from .fid import Gaussian, read_statistics

PARAMETERS = Path(__file__).with_name("niqe_parameters.npz")
PATCH = 96  # side of a patch at the first scale; at the second, 48 pixels of the half-size picture
_SHARP = 0.75  # of the sharpest patch of its picture, for patches that the natural statistics are made of
_FEATURES = 36
_NEIGHBOURS = (0, 1), (1, 0), (1, 1), (1, -1)
_gamma = np.vectorize(math.gamma)


def niqe(image):
    """NIQE of a uint8 (H, W, 3) RGB picture, from 0; None with fewer than two patches that are not flat (equation 10).

    The covariance of fewer says nothing. Pixels right of and below the last whole patch do not count.
    """
    features = patch_features(image)[0]
    if len(features) < 2:
        return None
    natural = _natural()
    difference = natural.mean - features.mean(0)
    covariance = (natural.covariance + np.cov(features, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(covariance) @ difference))


def natural_statistics(pictures):
    """Return the :class:`Gaussian` of the sharp patches of uint8 (H, W, 3) pictures, and how many patches these are."""
    sharp = []
    for image in pictures:
        features, sharpness = patch_features(image)
        sharp.extend(features[sharpness > _SHARP * sharpness.max(initial=0)])
    if len(sharp) <= _FEATURES:
        raise UserError(
            f"NIQE's statistics need more than {_FEATURES} sharp patches of natural pictures, got {len(sharp)}: "
            f"give more pictures of at least {PATCH}x{PATCH}"
        )
    return Gaussian(np.mean(sharp, 0), np.cov(sharp, rowvar=False)), len(sharp)


def patch_features(image):
    """The features float64 (N, 36) and the sharpness (N,) of the patches of a uint8 (H, W, 3) picture, N ≥ 0.

    Luma as MATLAB's rgb2gray makes it, in the authors' program: BT.601, full range 0..255, rounded. Flat patches, which
    have no statistics, are left out.
    """
    height, width = (side - side % PATCH for side in image.shape[:2])
    if not height * width:
        return np.empty((0, _FEATURES)), np.empty(0)
    luma = np.floor((rgb_to_y(image[:height, :width]) - 16) * (255 / 219) + 0.5)
    coefficients, deviation = mscn(luma)
    half, _ = mscn(imresize(luma, 0.5))
    features = np.hstack([_scale_features(_patches(coefficients, PATCH)), _scale_features(_patches(half, PATCH // 2))])
    textured = np.isfinite(features).all(1)
    return features[textured], _patches(deviation, PATCH).mean((1, 2))[textured]


def mscn(luma):
    """Mean-subtracted contrast-normalised coefficients of (H, W), and the local deviation: equations 1 to 3."""
    mean = _local_mean(luma)
    deviation = np.sqrt(np.abs(_local_mean(luma * luma) - mean * mean))
    # Rounded, so that flat parts are 0: else the signs of their round-off would count, and so the order of sums.
    return np.round(luma - mean, 9) / (deviation + 1), deviation


def fit_aggd(samples):
    """Asymmetric generalised Gaussians of samples (N, count): shape α, scales β left and right, each (N,).

    By moments: Lasmar, Stitou, Berthoumieu, "Multiscale skewed heavy tailed model for texture analysis", ICIP 2009.
    NaN without a sample on either side of 0.
    """
    squares = samples * samples
    negative, positive = samples < 0, samples > 0
    with np.errstate(invalid="ignore"):
        left = np.sqrt((squares * negative).sum(1) / negative.sum(1))
        right = np.sqrt((squares * positive).sum(1) / positive.sum(1))
        skew = left / right
        ratio = np.abs(samples).mean(1) ** 2 / squares.mean(1)
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = np.round(np.interp(ratio, *_shapes()), 3)  # in steps of 0.001, as in the authors' program
    scale = np.sqrt(_gamma(1 / shape) / _gamma(3 / shape))
    return shape, left * scale, right * scale


def _scale_features(patches):
    """The 18 features of one scale, of MSCN coefficients (N, side, side): (N, 18)."""
    shape, left, right = fit_aggd(patches.reshape(len(patches), -1))
    columns = [shape, (left + right) / 2]
    for neighbour in _NEIGHBOURS:  # which lies on the other side of the patch where there is none, as in that program
        products = patches * np.roll(patches, neighbour, (1, 2))
        shape, left, right = fit_aggd(products.reshape(len(patches), -1))
        columns += [shape, (right - left) * _gamma(2 / shape) / _gamma(1 / shape), left, right]  # mean: equation 8
    return np.stack(columns, 1)


def _patches(picture, side):
    """(H, W) of multiples of ``side`` → (N, side, side)."""
    height, width = picture.shape
    return picture.reshape(height // side, side, width // side, side).swapaxes(1, 2).reshape(-1, side, side)


def _local_mean(picture):
    """Weighted by a Gaussian of σ = 7/6 over 7×7 pixels; edge pixels repeated."""
    from scipy.ndimage import correlate1d  # not for every import of this module

    window = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    return correlate1d(correlate1d(picture, window, axis=0, mode="nearest"), window, axis=1, mode="nearest")


@cache
def _shapes():
    """Γ(2/α)² / (Γ(1/α)·Γ(3/α)), which grows with α, and α itself, from 0.2 to 10."""
    shapes = np.arange(200, 10001) / 1000
    return _gamma(2 / shapes) ** 2 / (_gamma(1 / shapes) * _gamma(3 / shapes)), shapes


@cache
def _natural():
    return read_statistics(PARAMETERS)
