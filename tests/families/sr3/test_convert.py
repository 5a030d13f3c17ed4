"""Names, shapes and settings of the PyTorch SR3's and DDPM's checkpoints."""

import json
import logging
import math

import numpy as np
import pytest

from src.commands.convert import converted
from src.errors import UserError
from src.families.registry import convert
from src.families.sr3.convert import FREQUENCIES
from src.weights.schedule_tables import TABLES
from src.weights.torch_file import read_torch
from tests.weights.checkpoints import SR3, encoder_tensors, sr3_shapes, sr3_tensors, srdiff_tensors

TABLES = TABLES | {FREQUENCIES}
GIVEN = {"sr3": {"image_size": 128}, "data": {"scale": 8}}


@pytest.mark.parametrize("model", ["sr3_8_32", "ddpm_8_32", "sr3_uncond_32"])
def test_the_golden_checkpoints(shared, model):
    folder = shared / "golden" / model
    config = json.loads((folder / "config.json").read_text())
    tensors = read_torch(folder / "I100_E1_gen.pth")
    _, arrays, conversion = converted(tensors, {"sr3": {"image_size": config["image_size"]}})
    schedule = config["beta_schedule"]
    assert conversion.found == {
        "system": "sr3",
        "sr3": {
            "width": config["inner_channel"],
            "multipliers": config["channel_multiplier"],
            "blocks": config["res_blocks"],
            "attention": config["attn_res"],
            "noise_level": {"sr3": "continuous", "ddpm": "discrete"}[config["which_model_G"]],
            "affine": False,
            "conditional": config["conditional"],
        },
        "diffusion": {
            "prediction": "noise",
            "steps": schedule["n_timestep"],
            "schedule": schedule["schedule"],
            "beta_start": schedule["linear_start"],
            "beta_end": schedule["linear_end"],
        },
    } | ({} if config["conditional"] else {"data": {"scale": 1}})
    assert conversion.assumed["sr3"] == {"image_size": config["image_size"], "groups": config["norm_groups"]}
    assert len(arrays) + len(conversion.unused) == len(tensors)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, tensors[conversion.their_name(name)])


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"noise_level": "discrete"},
        {"conditional": False},
        {"affine": True},
        {"blocks": 3, "multipliers": [1, 2, 3], "attends": [True, False, False]},
        {"multipliers": [2], "attends": [False]},
        {"width": 64, "multipliers": [1, 2], "attends": [True, True]},
    ],
    ids=str,
)
def test_sizes_and_options_are_those_of_our_cell(sizes):
    tensors = sr3_tensors(**sizes)
    obj = {"module." + name: value for name, value in tensors.items()}  # as DataParallel saves it
    _, arrays, conversion = converted(obj)
    names = SR3.keys() - {"attends"}
    assert {name: conversion.found["sr3"][name] for name in names} == {name: (SR3 | sizes)[name] for name in names}
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert len(arrays) + len(conversion.unused) == len(tensors)


def test_what_halves_and_doubles_is_counted_along_with_the_blocks():
    their_name = converted(sr3_tensors(blocks=3, multipliers=[1, 2, 3], attends=[False] * 3))[2].their_name
    pairs = {
        "down_blocks.0.skip": "downs.1.res_block.res_conv", "down_blocks.3.skip": "downs.5.res_block.res_conv",
        "halvings.0": "downs.4.conv", "halvings.1": "downs.8.conv", "up_blocks.3.skip": "ups.3.res_block.res_conv",
        "up_blocks.4.skip": "ups.5.res_block.res_conv", "doublings.0": "ups.4.conv", "doublings.1": "ups.9.conv",
    }  # fmt: skip
    for ours, theirs in pairs.items():
        assert their_name(f"unet.{ours}.weight") == f"denoise_fn.{theirs}.weight"


def test_attention_is_told_by_resolutions_of_the_image_size():
    tensors = sr3_tensors(multipliers=[1, 1, 1], attends=[True, False, True])
    assert convert(tensors, {}).found["sr3"]["attention"] == [128, 32]
    assert convert(tensors, {"sr3": {"image_size": 40}}).found["sr3"]["attention"] == [40, 10]


def test_what_no_tensor_tells_is_said_unless_it_is_given(caplog):
    with caplog.at_level(logging.INFO):
        conversion = convert(sr3_tensors(tables=False), {})
    assert "taking sr3.groups=4, sr3.image_size=128, data.scale=8, which no tensor tells" in caplog.text
    assert "no table 'betas': taking its program's default, 2000 steps of the linear schedule" in caplog.text
    assert conversion.assumed["data"] == {"scale": 8, "patch_size": 128}
    assert conversion.assumed["eval"]["steps"] == 2000
    caplog.clear()
    with caplog.at_level(logging.INFO):
        given = {"sr3": {"groups": 2, "image_size": 64}, "data": {"scale": 4}}
        assert convert(sr3_tensors(), given).assumed["sr3"] == {"groups": 2, "image_size": 64}
        assert convert(sr3_tensors(conditional=False), given).found["data"] == {"scale": 1}
    assert caplog.text == ""


def test_groups_are_the_program_s_own_where_they_divide():
    assert convert(sr3_tensors(width=64), {}).assumed["sr3"]["groups"] == 32
    assert convert(sr3_tensors(width=48), {}).assumed["sr3"]["groups"] == 24


def test_the_model_for_16_to_128_has_as_many_weights_as_the_port_says_of_its_own():
    sizes = {"width": 64, "multipliers": [1, 2, 4, 8, 8], "blocks": 2, "attends": [False] * 3 + [True, False]}
    shapes = sr3_shapes(**(SR3 | sizes)).values()
    assert sum(math.prod(shape) for shape in shapes) == 97_807_491


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_every_tensor_and_every_shape_counts(kind):
    """One missing, under another name or of another shape is refused; only the tables may be absent."""
    tensors = sr3_tensors(noise_level=kind)
    for name, value in tensors.items():
        others = {other: array for other, array in tensors.items() if other != name}
        if name not in TABLES:
            with pytest.raises(UserError):
                converted(others, GIVEN)
        with pytest.raises(UserError):
            converted(others | {name + "_renamed": value}, GIVEN)
        with pytest.raises(UserError):
            converted(others | {name: np.concatenate((value, value))}, GIVEN)


def test_values_that_are_not_finite_are_refused():
    tensors = sr3_tensors()
    tensors["denoise_fn.final_conv.block.3.bias"][1] = np.nan
    with pytest.raises(UserError, match="final_conv.block.3.bias.*NaN or infinity"):
        converted(tensors)


def test_other_frequencies_are_refused():
    tensors = sr3_tensors(noise_level="discrete")
    tensors[FREQUENCIES] *= 2
    with pytest.raises(UserError, match="inv_freq.*not supported"):
        converted(tensors)


def test_another_number_of_channels_is_refused():
    tensors = sr3_tensors()
    tensors["denoise_fn.downs.0.weight"] = np.ones((8, 4, 3, 3), np.float32)
    with pytest.raises(UserError, match="takes 4 channels: expected 3 .* or 6"):
        converted(tensors)


def test_programs_are_told_apart():
    files = (sr3_tensors(), sr3_tensors(noise_level="discrete"), srdiff_tensors(), encoder_tensors())
    assert [convert(tensors, {}).found["system"] for tensors in files] == ["sr3", "sr3", "srdiff", "rrdb"]
    with pytest.raises(UserError, match="expected an SRDiff, .* or Real-ESRGAN network, got a file with anything"):
        convert({"anything": np.ones(3)}, {})
