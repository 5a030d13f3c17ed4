"""Mean, deviation and the best of several samples."""

import numpy as np
import pytest

from src.imaging.resize import imresize
from src.inference.sample_statistics import HOTTEST, SampleStatistics, heat_map
from src.inference.upscaler import to_pixels

RNG = np.random.default_rng(0)


def test_mean_and_deviation_are_those_of_the_samples():
    samples = RNG.uniform(-1, 1, (5, 3, 8, 12)).astype(np.float32)
    statistics = SampleStatistics((8, 12))
    for sample in samples:
        for rows in (slice(0, 5), slice(5, 8)):
            statistics.see(rows, sample[:, rows])
        statistics.add(to_pixels(sample[None])[0], np.zeros((2, 3, 3), np.uint8))
    np.testing.assert_allclose(statistics.mean.swapaxes(0, 1), samples.mean(0), atol=1e-6)
    expected = np.sqrt(samples.var(0, ddof=1, dtype=np.float64).mean(0)) * 127.5
    np.testing.assert_allclose(statistics.deviation(), expected, rtol=1e-5)


def test_the_best_reduces_to_the_lr_picture(photo):
    hr = photo[:64, :64]
    lr = imresize(hr, 0.25)
    statistics = SampleStatistics(hr.shape[:2])
    for noise in (20, 0, 10):
        sample = np.clip(hr + RNG.normal(0, 1, hr.shape) * noise, 0, 255).astype(np.uint8)
        statistics.add(sample, lr)
    assert statistics.best_number == 1 and statistics.best_lr_psnr == float("inf")
    np.testing.assert_array_equal(statistics.best, hr)


def test_the_heat_map_is_black_at_0_and_rises_in_lightness():
    colours = heat_map(np.linspace(0, HOTTEST, 33)[None])[0].astype(float)
    lightness = colours @ [0.299, 0.587, 0.114]
    assert lightness[0] == 0 and (np.diff(lightness) > 0).all() and lightness[-1] > 240
    np.testing.assert_array_equal(heat_map(np.array([[HOTTEST, 1000.0]])), heat_map(np.array([[1000.0, HOTTEST]])))


@pytest.mark.parametrize("batch", [1, 2])
def test_pixels_round_and_saturate(batch):
    pictures = RNG.uniform(-1.5, 1.5, (batch, 3, 130, 7)).astype(np.float32)
    expected = np.clip(np.rint((pictures.transpose(0, 2, 3, 1) + 1) * 127.5), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(to_pixels(pictures), expected)
