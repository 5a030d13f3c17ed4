"""Names, shapes and settings of the PyTorch SRDiff's checkpoints."""

import json
import logging

import numpy as np
import pytest

from src.commands.convert import converted
from src.errors import UserError
from src.families.srdiff.convert import RULES, their_name
from src.weights.conversion import renamed
from src.weights.schedule_tables import TABLES
from src.weights.torch_file import read_torch
from tests.weights.checkpoints import encoder_tensors, srdiff_tensors


def test_the_golden_checkpoint(shared):
    folder = shared / "golden/srdiff_x4"
    checkpoint = read_torch(folder / "model_ckpt_steps_1234.ckpt")
    config, arrays, conversion = converted(checkpoint)
    theirs = json.loads((folder / "config.json").read_text())
    assert conversion.found == {
        "system": "srdiff",
        "data": {"scale": theirs["sr_scale"]},
        "encoder": {
            "features": theirs["rrdb_num_feat"],
            "growth": theirs["rrdb_num_feat"] // 2,
            "blocks": theirs["rrdb_num_block"],
            "upsampler": "nearest",
        },
        "unet": {
            "width": theirs["hidden_size"],
            "multipliers": theirs["unet_dim_mults"],
            "attention": theirs["use_attn"],
            "add_lr_up": theirs["up_input"],
            "groups": 0,
            "space_to_depth": 1,
        },
        "diffusion": {
            "lr_divisor": 256,
            "prediction": "noise",
            "steps": theirs["timesteps"],
            "schedule": theirs["beta_schedule"],
            "cosine_offset": theirs["beta_s"],
        },
    }
    assert conversion.assumed["diffusion"] == {
        "residual_scale": theirs["res_rescale"],
        "clip": theirs["clip_input"],
        "loss": theirs["loss_type"],
    }
    assert conversion.step == 1234 and config.diffusion.residual_scale == theirs["res_rescale"]
    tensors = checkpoint["state_dict"]["model"]
    assert len(arrays) + len(TABLES) == len(tensors)
    assert sorted(conversion.unused) == sorted(["optimizer_states", *TABLES])
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, tensors[their_name(name)])


@pytest.mark.parametrize(
    ("scale", "options"),
    [
        (4, {}),
        (2, {"attention": True, "add_lr_up": True, "normalised": True}),
        (8, {"multipliers": [1, 2, 2, 4]}),
        (4, {"multipliers": [1]}),
        (2, {"multipliers": [2, 1, 1], "width": 4, "encoder": {"features": 6, "growth": 5, "blocks": 5}}),
    ],
    ids=str,
)
def test_sizes_and_options_are_those_of_our_cells(scale, options):
    tensors = srdiff_tensors(scale, **options)
    _, arrays, conversion = converted(tensors)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert len(arrays) + len(conversion.unused) == len(tensors)


def test_weight_norm_is_folded():
    tensors = srdiff_tensors()
    name = "denoise_fn.mid_block1.block1.block.1.weight"
    weight = tensors.pop(name)
    tensors[name + "_g"] = np.sqrt((weight.astype(np.float64) ** 2).sum((1, 2, 3), keepdims=True))
    tensors[name + "_v"] = 3 * weight
    np.testing.assert_allclose(converted(tensors)[1]["unet.mid_block1.block1.conv.conv.weight"], weight, rtol=1e-6)


def test_the_window_of_the_ssim_loss_is_unused():
    window = {"ssim_loss.window": np.ones((3, 1, 11, 11))}
    assert "ssim_loss.window" in converted(srdiff_tensors() | window)[2].unused


def test_groups_are_8_unless_given(caplog):
    tensors = srdiff_tensors(normalised=True)
    with caplog.at_level(logging.INFO):
        assert converted(tensors)[0].unet.groups == 8
    assert "GroupNorm" in caplog.text
    assert converted(tensors, {"unet": {"groups": 4}})[0].unet.groups == 4
    with pytest.raises(UserError, match="unet.groups is 4 in the configuration, 0 in the checkpoint"):
        converted(srdiff_tensors(), {"unet": {"groups": 4}})


def test_a_short_schedule_limits_the_sampling_steps():
    assert converted(srdiff_tensors())[0].eval.steps == 20


def test_every_tensor_and_every_shape_counts():
    """One missing, under another name or of another shape is refused; only the schedule's tables may be absent."""
    tensors = srdiff_tensors(attention=True, add_lr_up=True, normalised=True)
    for name, value in tensors.items():
        others = {other: array for other, array in tensors.items() if other != name}
        if name not in TABLES:
            with pytest.raises(UserError):
                converted(others)
        with pytest.raises(UserError):
            converted(others | {name + "_renamed": value})
        with pytest.raises(UserError):
            converted(others | {name: np.concatenate((value, value))})


def test_names_are_listed_in_one_short_line():
    tensors = srdiff_tensors()
    for name in [name for name in tensors if name.startswith("denoise_fn.mid_block2")]:
        del tensors[name]
    tensors["denoise_fn.new\x1b[2J" + "x" * 500] = np.ones(1)
    with pytest.raises(
        UserError, match=r"missing: denoise_fn\.mid_block2.* and 1 more; and unknown: denoise_fn\.new"
    ) as e:
        converted(tensors)
    assert str(e.value).isprintable() and len(str(e.value)) < 600


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    tensors = srdiff_tensors()
    tensors["rrdb.HRconv.bias"][3] = value
    with pytest.raises(UserError, match="rrdb.HRconv.bias.*NaN or infinity"):
        converted(tensors)


def test_integer_weights_are_refused():
    tensors = srdiff_tensors()
    tensors["rrdb.HRconv.bias"] = tensors["rrdb.HRconv.bias"].astype(np.int8)
    with pytest.raises(UserError, match="int8"):
        converted(tensors)


def test_an_encoder_of_another_scale_is_refused():
    with pytest.raises(UserError, match="x8.*x4"):
        converted(srdiff_tensors(4) | encoder_tensors(8))


def test_a_unet_without_encoder_is_refused():
    tensors = {name: value for name, value in srdiff_tensors().items() if not name.startswith("rrdb.")}
    with pytest.raises(UserError, match=r"rrdb\.conv_first\.weight' is missing"):
        converted(tensors)


def test_every_rule_is_needed():
    names = converted(srdiff_tensors(8, attention=True, add_lr_up=True, normalised=True))[1]
    for skipped in RULES:
        rules = [rule for rule in RULES if rule is not skipped]
        assert any(renamed(name, rules) != their_name(name) for name in names), skipped
