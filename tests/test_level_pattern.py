"""A generator loses the pattern that it adds to flat pictures."""

import re

import numpy as np
import pytest

from src.build import load_upscaler
from src.families.registry import family_of
from src.imaging.io import write_image
from tests import tiny, tiny_srgan

BIAS = "generator.upsampler.last_conv.bias"


@pytest.fixture
def woven(tmp_path):
    """A checkpoint whose last bias is a pattern."""
    from src.weights.checkpoint import config_json, save_model

    config = tiny_srgan.config("rrdb", "generator.upsampler=pixelshuffle")
    arrays = {p.name: p.asnumpy() for p in family_of(config).model().get_parameters()}
    arrays[BIAS] = np.random.default_rng(0).normal(0, 0.02, arrays[BIAS].shape).astype(np.float32)
    save_model(tmp_path / "w.ckpt", arrays, config_json(config), 1)
    return tmp_path / "w.ckpt"


def test_it_is_taken_off_the_last_bias(woven, photo, tmp_path):
    write_image(tmp_path / "colours" / "a.png", photo[:40, :40])
    write_image(tmp_path / "colours" / "b.png", photo[-40:, -40:])
    options = ("--checkpoint", woven, "--colours", "colours")
    status, out, lines = tiny.run("scripts/level_pattern.py", *options, "--output", "l.ckpt", cwd=tmp_path)
    assert status == 0, lines
    after, before = map(float, re.findall(r"(\d+\.\d+) levels, was (\d+\.\d+)", out)[0])
    assert before > 2 and after == 0
    flat = np.full((1, 3, 24, 24), 0.2, np.float32)
    assert np.ptp(load_upscaler(woven, "CPU").sample(flat)[0, 0, 40:56, 40:56]) > 0.05
    assert np.ptp(load_upscaler(tmp_path / "l.ckpt", "CPU").sample(flat)[0, 0, 40:56, 40:56]) < 1e-5
    status, _, lines = tiny.run("scripts/level_pattern.py", *options, "--output", woven, cwd=tmp_path)
    assert (status, lines) == (2, [f"error: {woven} is read, too: name another --output"])
