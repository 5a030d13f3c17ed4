"""Blur kernels, filtering and sharpening: the published values, and what each means."""

import json

import numpy as np
import pytest

from src.imaging.blur import SHAPES, blur_kernel, filter2d, sharpen, sinc_kernel


@pytest.fixture(scope="module")
def golden(shared):
    """Return config.json and golden.npz of Real-ESRGAN's own code."""
    folder = shared / "golden/srgan/degradations"
    return json.loads((folder / "config.json").read_text()), dict(np.load(folder / "golden.npz"))


def pictures(golden):
    return [picture.astype(np.float32) / 255 for picture in golden["image_u8"]]


@pytest.mark.parametrize("size", [7, 13, 21])
@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_are_the_published_ones(golden, size, shape):
    given, arrays = golden[0]["kernels"][f"k{size}"], golden[1]
    beta, prefix = given.get(f"beta_{shape}", 1.0), "" if shape == "gaussian" else f"{shape}_"
    same, turned = (given["sigma_x"], given["sigma_x"], 0), (given["sigma_x"], given["sigma_y"], given["theta"])
    for name, widths in (("iso", same), ("aniso", turned)):
        made = blur_kernel(size, *widths, shape, beta)
        np.testing.assert_allclose(made, arrays[f"k{size}/{prefix}{name}"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [7, 13, 21])
def test_sinc_kernels_are_the_published_ones(golden, size):
    made = np.pad(sinc_kernel(size, golden[0]["kernels"][f"k{size}"]["omega_c"]), (21 - size) // 2)
    np.testing.assert_allclose(made, golden[1][f"k{size}/sinc_pad21"], rtol=0, atol=1e-12)


def test_filtering_is_the_published_one(golden):
    first, second = pictures(golden[1])
    for picture, kernel, expected in zip(
        (first, second), (golden[1]["k13/aniso"], golden[1]["k21/sinc_pad21"]), golden[1]["filter2d"], strict=True
    ):
        made = filter2d(picture, kernel)
        assert made.dtype == np.float32
        np.testing.assert_allclose(made, expected.transpose(1, 2, 0), rtol=0, atol=1e-5)


def test_sharpening_is_the_published_one(golden):
    for picture, expected in zip(pictures(golden[1]), golden[1]["usm"], strict=True):
        np.testing.assert_allclose(sharpen(picture), expected.transpose(1, 2, 0), rtol=0, atol=1e-5)


def test_a_gaussian_is_as_wide_as_its_sigmas_along_its_axes():
    kernel = blur_kernel(21, 3, 1, 0)
    offsets = np.arange(21) - 10
    across, along = (np.sqrt((kernel.sum(axis) * offsets**2).sum()) for axis in (0, 1))
    assert across == pytest.approx(3, rel=0.02) and along == pytest.approx(1, rel=0.02)  # x is along the rows
    np.testing.assert_allclose(blur_kernel(21, 3, 1, np.pi / 2), kernel.T, atol=1e-15)


@pytest.mark.parametrize("shape", ["generalized", "plateau"])
def test_a_larger_exponent_has_a_flatter_middle(shape):
    flat, peaked = (blur_kernel(21, 3, 3, 0, shape, beta)[10] for beta in (4, 0.5))
    assert flat[12] / flat[10] > 0.95 > 0.8 > peaked[12] / peaked[10]


def test_a_sinc_rings_and_passes_what_is_below_its_cutoff():
    kernel = sinc_kernel(21, np.pi / 2)
    assert kernel.min() < 0 and kernel.sum() == pytest.approx(1)
    rows = np.arange(64, dtype=np.float32)[:, np.newaxis, np.newaxis]
    for frequency, low, high in ((np.pi / 4, 0.85, 1.15), (3 * np.pi / 4, 0, 0.15)):
        wave = np.broadcast_to(np.cos(frequency * rows), (64, 64, 1)).astype(np.float32)
        assert low <= filter2d(wave, kernel)[16:48, 32, 0].std() / wave[16:48, 32, 0].std() <= high


@pytest.mark.parametrize("shape", [(40, 27), (9, 30), (3, 3), (1, 5)])
def test_filtering_is_a_correlation_that_mirrors_edges(photo, shape):
    picture = photo[100:, 100:][: shape[0], : shape[1]].astype(np.float32) / 255
    kernel = np.random.default_rng(0).random((7, 7))  # of no symmetry
    rows, columns = (np.pad(np.arange(side), 3, mode="reflect") for side in shape)
    padded, expected = picture[rows][:, columns].astype(float), np.zeros(picture.shape)
    for y, x in np.ndindex(kernel.shape):
        expected += kernel[y, x] * padded[y : y + shape[0], x : x + shape[1]]
    np.testing.assert_allclose(filter2d(picture, kernel), expected, atol=1e-4)


def test_sharpening_leaves_what_is_flat_and_steepens_edges():
    picture = np.full((64, 64, 3), 0.4, np.float32)
    np.testing.assert_allclose(sharpen(picture), picture, atol=1e-6)
    picture[:, 32:] = 0.6
    made = sharpen(picture)[32, :, 0]
    assert made[31] < 0.38 and made[32] > 0.62 and made.min() >= 0 and made.max() <= 1
