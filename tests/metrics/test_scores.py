"""The protocols against scikit-image, the literature's baseline, and the corners where a score does not exist."""

import numpy as np
import pytest

from src.errors import UserError
from src.imaging.color import rgb_to_y
from src.imaging.io import list_images, read_rgb
from src.imaging.resize import imresize
from src.metrics.scores import PROTOCOLS, lr_agreement, lr_psnr, protocol_named, psnr, ssim_gaussian, ssim_uniform

SET5_X4 = "data/val/Set5/x4"


@pytest.fixture(scope="module")
def pair(photo):
    """A photograph and what bicubic makes of its quarter, both uint8 (192, 160, 3)."""
    hr = photo[:192, 100:260]
    return imresize(imresize(hr, 1 / 4), 4), hr


def reference_ssim(image, reference, **options):
    metrics = pytest.importorskip("skimage.metrics")
    return metrics.structural_similarity(image, reference, data_range=255, **options)


def reference_gaussian_ssim(image, reference, **options):
    """The valid region of scikit-image's Gaussian SSIM with the settings that its manual gives for Wang et al."""
    options.update(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True)
    full = reference_ssim(image.astype(float), reference.astype(float), **options)[1]
    return full[5:-5, 5:-5].mean()


def test_psnr_of_a_known_error():
    image = np.full((4, 5, 3), 100, np.uint8)
    assert psnr(image + np.uint8(1), image) == pytest.approx(20 * np.log10(255), abs=1e-12)
    assert psnr(image, image + np.uint8(1)) == psnr(image + np.uint8(1), image)  # uint8 does not wrap around


def test_psnr_equals_scikit_image(pair):
    metrics = pytest.importorskip("skimage.metrics")
    assert psnr(*pair) == pytest.approx(metrics.peak_signal_noise_ratio(pair[1], pair[0]), abs=1e-10)


def test_uniform_ssim_is_that_of_scikit_image_by_default(pair):
    assert ssim_uniform(*pair) == reference_ssim(*pair, channel_axis=2)


def test_gaussian_ssim_equals_scikit_image_over_the_valid_region(pair):
    luma = [rgb_to_y(picture) for picture in pair]
    assert ssim_gaussian(*luma) == pytest.approx(reference_gaussian_ssim(*luma), abs=1e-12)
    assert ssim_gaussian(*pair) == pytest.approx(reference_gaussian_ssim(*pair, channel_axis=2), abs=1e-12)


def test_srdiff_is_rgb_without_crop(pair):
    assert PROTOCOLS["srdiff"](*pair, 4) == (psnr(*pair), ssim_uniform(*pair))


def test_sr3_is_rgb_with_gaussian_ssim(pair):
    assert PROTOCOLS["sr3"](*pair, 4) == (psnr(*pair), ssim_gaussian(*pair))


def test_y_is_rounded_luma_and_classic_crops_it_by_the_scale(pair):
    luma = [rgb_to_y(picture, rounded=True) for picture in pair]
    assert PROTOCOLS["y"](*pair, 3) == (psnr(*luma), ssim_gaussian(*luma))
    inner = [picture[3:-3, 3:-3] for picture in luma]
    assert PROTOCOLS["classic"](*pair, 3) == (psnr(*inner), ssim_gaussian(*inner))


def test_classic_gives_the_published_bicubic_of_set5(shared):
    """28.42 dB / 0.8104 of the papers: LR made from the HR's luma and kept in floating point, as VDSR's code did."""
    scores = []
    for path in list_images(shared / SET5_X4 / "HR"):
        luma = rgb_to_y(read_rgb(path), rounded=True)
        upscaled = np.clip(np.floor(imresize(imresize(luma, 1 / 4), 4) + 0.5), 0, 255)
        inner = [picture[4:-4, 4:-4] for picture in (upscaled, luma)]
        scores.append((psnr(*inner), ssim_gaussian(*inner)))
    assert len(scores) == 5
    assert [f"{mean:.{digits}f}" for mean, digits in zip(np.mean(scores, 0), (2, 4), strict=True)] == [
        "28.42",
        "0.8104",
    ]


@pytest.mark.parametrize("edges", ["symmetric", "replicate"])
def test_classic_on_the_lr_files_of_set5(shared, edges):
    """28.42 dB as published; SSIM 0.8101, since the files' LR is rounded to 8 bits in RGB."""
    scores = []
    for path in list_images(shared / SET5_X4 / "HR"):
        sr = imresize(read_rgb(shared / SET5_X4 / "LR" / path.name), 4, edges)
        scores.append(PROTOCOLS["classic"](sr, read_rgb(path), 4))
    assert np.mean(scores, 0) == pytest.approx([28.417669, 0.810082], abs=1e-6)


def test_lr_psnr_reduces_the_result_and_compares_it_with_the_input(pair):
    sr, hr = pair
    lr = imresize(hr, 1 / 4)
    assert lr_psnr(sr, lr) == psnr(imresize(sr, 1 / 4), lr)
    assert lr_psnr(hr, lr) == np.inf


@pytest.mark.parametrize("name", PROTOCOLS)
def test_identical_pictures(pair, name):
    assert PROTOCOLS[name](pair[1], pair[1], 4) == (np.inf, pytest.approx(1, abs=1e-12))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_black_against_white(name):
    black, white = np.zeros((24, 24, 3), np.uint8), np.full((24, 24, 3), 255, np.uint8)
    low, high = (0, 255) if name in ("srdiff", "sr3") else (16, 235)
    c1 = (0.01 * 255) ** 2
    expected = (20 * np.log10(255 / (high - low)), (2 * low * high + c1) / (low**2 + high**2 + c1))
    assert PROTOCOLS[name](black, white, 4) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "side", "has_psnr", "has_ssim"),
    [
        *[("srdiff", 1, True, False), ("srdiff", 6, True, False), ("srdiff", 7, True, True)],
        *[("sr3", 10, True, False), ("sr3", 11, True, True)],
        *[("y", 10, True, False), ("y", 11, True, True)],
        *[("classic", 1, False, False), ("classic", 8, False, False), ("classic", 9, True, False)],
        *[("classic", 18, True, False), ("classic", 19, True, True)],
    ],
)
def test_a_picture_too_small_for_a_score_has_none(name, side, has_psnr, has_ssim):
    rng = np.random.default_rng(0)
    image, reference = rng.integers(0, 256, (2, side, side, 3), np.uint8)
    value, similarity = PROTOCOLS[name](image, reference, 4)
    assert (value is not None, similarity is not None) == (has_psnr, has_ssim)


@pytest.mark.parametrize("score", [psnr, ssim_gaussian, ssim_uniform, lambda a, b: PROTOCOLS["classic"](a, b, 4)])
def test_different_shapes_are_refused(score):
    with pytest.raises(UserError, match=r"one shape, got \(20, 20, 3\) and \(20, 24, 3\)"):
        score(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 24, 3), np.uint8))


def test_an_unknown_protocol_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="srdiff, classic, y, sr3, not 'psnr'"):
        protocol_named("psnr")


def test_consistency_is_the_error_of_levels_from_0_to_1_in_units_of_1e_5(pair):
    sr, hr = pair
    lr = imresize(hr, 1 / 4)
    decibels, consistency = lr_agreement(sr, lr)
    reduced = imresize(sr, 1 / 4)
    assert consistency == pytest.approx(1e5 * np.mean((reduced / 255 - lr / 255) ** 2), rel=1e-12)
    assert consistency == pytest.approx(1e5 * 10 ** (-decibels / 10), rel=1e-9)
    assert decibels == lr_psnr(sr, lr)
    assert lr_agreement(hr, lr) == (np.inf, 0.0)
