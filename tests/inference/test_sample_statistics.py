"""Mean, deviation and the best of several samples."""

import numpy as np
import pytest

from src.inference.sample_statistics import HOTTEST, SampleStatistics, heat_map
from src.inference.upscaler import to_pixels

RNG = np.random.default_rng(0)


def seen(samples, dtype=np.uint8):
    """The statistics of (K, 3, H, W) float32 in about [−1, 1]."""
    statistics = SampleStatistics(samples.shape[2:], len(samples), dtype)
    for sample in samples:
        for rows in (slice(0, 5), slice(5, sample.shape[1])):
            statistics.see(rows, sample[:, rows])
        statistics.add(to_pixels(sample[None], dtype)[0])
    return statistics


def test_mean_and_deviation_are_those_of_the_samples():
    samples = RNG.uniform(-1, 1, (5, 3, 8, 12)).astype(np.float32)
    statistics = seen(samples)
    np.testing.assert_allclose(statistics.mean.swapaxes(0, 1), samples.mean(0), atol=1e-6)
    expected = np.sqrt(samples.var(0, ddof=1, dtype=np.float64).mean(0)) * 127.5
    np.testing.assert_allclose(statistics.deviation(), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_nearest_to_the_mean_is_the_medoid(photo, dtype):
    hr = photo[:70, :64].transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    noise = RNG.normal(0, 1, (4, *hr.shape)).astype(np.float32) * np.float32([0.4, 0.2, 0.05, 0.3])[:, None, None, None]
    statistics = seen(samples := (hr + noise).clip(-1, 1), dtype)
    apart = np.square(samples[:, None] - samples).sum((1, 2, 3, 4))  # summed over the others
    assert statistics.distances().argmin() == apart.argmin() == 2
    expected = np.sqrt(np.square(samples - samples.mean(0)).mean((1, 2, 3))) * 127.5
    np.testing.assert_allclose(statistics.distances(), expected, atol=0.3)  # of pixels, which are rounded
    np.testing.assert_array_equal(statistics.sample(2), to_pixels(samples[2:3], dtype)[0])


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
