"""How long a picture takes, told before it begins."""

import logging

import numpy as np
import pytest

from src.imaging.io import write_image
from src.inference import estimate
from src.inference.cascade import Cascade
from src.inference.estimate import estimated_seconds
from src.inference.files import upscale_files
from src.inference.jobs import plan_jobs
from src.inference.tile_size import TileOptions
from tests.inference.fake_networks import enlarger, unconditional

PIXEL = 1e-6  # seconds of a pass


@pytest.fixture
def clock(monkeypatch):
    """Seconds and passes, of networks that take their time by the pixel, and if they compile an hour more at first."""
    clock = {"now": 0.0, "passes": 0}
    monkeypatch.setattr(estimate, "SIDE", 8)
    monkeypatch.setattr(estimate, "SHARE", 0.02)
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: clock["now"])
    return clock


def slow(clock, scale=4):
    up = enlarger(scale, "diffusion.steps=5", tile_options=TileOptions(tile=64, halo=8))
    denoise = up.networks.denoise

    def timed(x_t, *others):
        compiles = not up.any_size and clock["passes"] == 0
        clock["now"] += x_t.shape[0] * x_t.shape[2] * x_t.shape[3] * PIXEL + 3600 * compiles
        clock["passes"] += 1
        return denoise(x_t, *others)

    up.networks.denoise = timed
    return up


@pytest.mark.parametrize(("any_size", "samples"), [(True, 1), (False, 2)])
def test_it_is_the_time_that_the_passes_take(clock, any_size, samples):
    up, shape = slow(clock), (2, 90, 120)
    up.any_size = any_size
    sampling = up.resolve(steps=5)
    told = estimated_seconds(up, shape, sampling, samples)
    assert clock["passes"] == estimate.STEPS * (1 if any_size else 2)
    begun = clock["now"]
    condition = up.encode(np.zeros((2, 3, 90, 120), np.float32))
    for seed in range(samples):
        up.draw(condition, sampling, seed)
    assert told == pytest.approx(clock["now"] - begun)


def test_a_small_picture_is_not_tried(clock):
    up = slow(clock)
    up.any_size = True
    assert estimated_seconds(up, (1, 20, 20), up.resolve(steps=1)) is None
    assert clock["passes"] == 0


def test_a_cascade_takes_the_sum(clock):
    both = Cascade([slow(clock), slow(clock, 2)])
    parts = both.parts((1, 90, 90), both.resolve(steps=2))
    assert [part[1] for part in parts] == [(1, 90, 90), (1, 360, 360)]
    assert estimated_seconds(both, (1, 90, 90), both.resolve(steps=2)) == pytest.approx(
        sum(estimated_seconds(*part) for part in parts)
    )
    up = unconditional()
    assert estimated_seconds(up, (1, 300, 300), up.resolve()) is None


def test_a_cascade_with_an_unknown_part_is_told_no_time(clock):
    both = Cascade([unconditional(), slow(clock, 2)])
    assert estimated_seconds(both, (1, 300, 300), both.resolve(steps=2)) is None
    assert clock["passes"] == 0


def test_a_long_picture_is_told_before_it_begins(clock, photo, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("tests.inference.test_estimate.PIXEL", 3e-4)
    write_image(tmp_path / "a.png", photo[:90, :120])
    jobs = plan_jobs(tmp_path / "a.png", tmp_path / "out.png")
    up = slow(clock)
    upscale_files(up, jobs, up.resolve(steps=1))
    words = [record.getMessage() for record in caplog.records]
    assert words[1].startswith("a.png: 80 tiles") and words[2:] == ["a.png: about 2 min"]
