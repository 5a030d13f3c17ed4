"""NIQE: its parts against their formulas, and its order of a photograph and of what spoils it."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from src.errors import UserError
from src.metrics.fid import read_statistics
from src.metrics.niqe import PARAMETERS, fit_aggd, mscn, natural_statistics, niqe, patch_features


def aggd_samples(shape, left, right, count=200_000):
    rng = np.random.default_rng(0)
    magnitude = rng.gamma(1 / shape, size=count) ** (1 / shape)
    return np.where(rng.random(count) < left / (left + right), -left * magnitude, right * magnitude)


@pytest.mark.parametrize("truth", [(2.0, 1.0, 1.0), (1.0, 0.5, 0.5), (0.6, 0.2, 0.4), (3.0, 2.0, 1.0)])
def test_the_fit_finds_the_shape_and_both_scales(truth):
    found = fit_aggd(aggd_samples(*truth)[np.newaxis])
    np.testing.assert_allclose(np.ravel(found), truth, rtol=0.03)


def test_samples_on_one_side_of_zero_have_no_fit():
    shape, left, right = fit_aggd(np.array([[0.0, 1.0, 2.0], [-1.0, 1.0, 2.0]]))
    assert np.isnan(shape[0]) and np.isnan(left[0])
    assert np.isfinite([shape[1], left[1], right[1]]).all()


def test_mscn_is_the_formula_of_the_paper(photo):
    luma = photo[:40, 200:250, 1].astype(float)
    coefficients, deviation = mscn(luma)
    padded = np.pad(luma, 3, mode="edge")
    y, x = np.mgrid[-3:4, -3:4]
    window = np.exp(-(x * x + y * y) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    for row, column in ((0, 0), (39, 49), (20, 7), (3, 30)):
        around = padded[row : row + 7, column : column + 7]
        mean = (window * around).sum()
        sigma = np.sqrt((window * (around - mean) ** 2).sum())
        assert deviation[row, column] == pytest.approx(sigma, abs=1e-5)
        assert coefficients[row, column] == pytest.approx((luma[row, column] - mean) / (sigma + 1), abs=1e-5)


def test_flat_parts_have_coefficients_of_exactly_zero():
    coefficients, _ = mscn(np.full((50, 60), 201.0 / 7))
    assert not coefficients.any()


def test_each_whole_patch_has_36_features(photo):
    features, sharpness = patch_features(photo[:200, :300])
    assert features.shape == (2 * 3, 36) and sharpness.shape == (6,)
    np.testing.assert_array_equal(features, patch_features(photo[:192, :288])[0])


def test_the_second_half_is_of_the_half_size_picture():
    noise = np.random.default_rng(1).normal(128, 30, (192, 192, 1)).clip(0, 255).astype(np.uint8).repeat(3, 2)
    features = patch_features(noise.repeat(2, 0).repeat(2, 1))[0].mean(0)
    for product in (3, 7):  # the mean product with the neighbour beside and below
        assert features[product] > 0.05  # equal pixels; of white noise, less its local mean, it is below 0
        assert features[18 + product] < 0


def noised(photo):
    return (photo + np.random.default_rng(0).normal(0, 20, photo.shape)).clip(0, 255).astype(np.uint8)


def blurred(photo):
    return gaussian_filter(photo, (1.5, 1.5, 0))


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
@pytest.mark.parametrize("spoil", [noised, blurred])
def test_a_spoilt_photograph_scores_worse(name, spoil):
    photo = getattr(pytest.importorskip("skimage.data"), name)()
    assert niqe(spoil(photo)) > niqe(photo) + 0.5


def test_a_score_by_the_shipped_parameters(photo):
    assert niqe(photo) == pytest.approx(2.539, abs=0.01)


def test_pictures_with_fewer_than_two_patches_have_no_score(photo):
    assert niqe(photo[:95, :400]) is None
    assert niqe(photo[:191, :191]) is None
    assert niqe(photo[:96, :192]) > 0
    assert niqe(np.zeros((300, 300, 3), np.uint8)) is None
    half = photo.copy()
    half[:, :300] = 255
    assert niqe(half) > 0


def test_natural_statistics_are_of_sharp_patches_alone():
    texture = np.random.default_rng(0).integers(0, 256, (96 * 7, 96 * 12, 3), np.uint8)
    dull = texture.copy()
    dull[:, : 96 * 6] //= 8
    natural, patches = natural_statistics([texture[:, 96 * 6 :], dull])
    assert patches == 2 * 7 * 6
    np.testing.assert_allclose(natural.mean, patch_features(texture[:, 96 * 6 :])[0].mean(0), rtol=0.05, atol=0.02)


def test_too_few_patches_have_no_statistics(photo):
    for pictures in ([], [photo[:50]], [photo]):
        with pytest.raises(UserError, match="more than 36 sharp patches of natural pictures, got .* 96x96"):
            natural_statistics(pictures)


def test_the_shipped_parameters_are_a_gaussian_of_36_features():
    natural = read_statistics(PARAMETERS)
    assert natural.mean.shape == (36,)
    assert np.linalg.eigvalsh(natural.covariance).min() > 0
