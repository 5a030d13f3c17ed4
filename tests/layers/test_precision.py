"""What of the real networks stays in float32 when the rest computes in 16 bits."""

import pytest
from mindspore import nn

from src.families.registry import family_of
from src.layers.layers import SinusoidalEmbedding
from src.layers.phase_upscale import BicubicUpscale
from src.layers.precision import compute_in_16_bits
from tests import tiny_sr3


def is_float32(cell):
    return (getattr(cell, "fp16", False), getattr(cell, "fp32", False)) == (False, True)


@pytest.mark.parametrize("told", ["continuous", "discrete", "none"])
def test_the_level_and_lr_up_are_exact_and_the_layers_round(told):
    """float16 would make one number of √ᾱ from 0.9998 up, which SR3's first steps have."""
    model = family_of(tiny_sr3.config(f"sr3.noise_level={told}")).model()
    compute_in_16_bits(model, "O3", "float16")
    cells = [cell for _, cell in model.cells_and_names()]
    exact = [cell for cell in cells if isinstance(cell, SinusoidalEmbedding | BicubicUpscale)]
    assert len(exact) == (1 if told == "none" else 2)
    assert all(is_float32(cell) for cell in (model, model.unet, *exact))
    assert not any(is_float32(cell) for cell in cells if isinstance(cell, nn.Conv2d | nn.Dense | nn.GroupNorm))
