"""Names, shapes and settings of the PyTorch SRDiff's checkpoints."""

import json
import logging

import numpy as np
import pytest

from src.errors import UserError
from src.families.srdiff.convert import RULES, from_srdiff, rename
from src.weights.schedule_tables import TABLES
from src.weights.torch_file import read_torch
from tests.weights.checkpoints import encoder_tensors, srdiff_tensors


def parameters_of(found):
    """Return {name: shape} of the Cells that the settings describe."""
    from src.families.rrdb.network import RRDBNet
    from src.families.srdiff.network import ConditionalUNet

    scale = found["data"]["scale"]
    encoder = RRDBNet(**found["encoder"], scale=scale)
    expected = {f"encoder.{p.name}": tuple(p.shape) for p in encoder.get_parameters()}
    if found["system"] == "srdiff":
        unet = ConditionalUNet(**found["unet"], condition_channels=encoder.condition_channels, scale=scale)
        expected |= {f"unet.{p.name}": tuple(p.shape) for p in unet.get_parameters()}
    return expected


def shapes_of(arrays):
    return {name: array.shape for name, array in arrays.items()}


def test_the_golden_checkpoint(shared):
    folder = shared / "golden/srdiff_x4"
    checkpoint = read_torch(folder / "model_ckpt_steps_1234.ckpt")
    converted = from_srdiff(checkpoint)
    config = json.loads((folder / "config.json").read_text())
    assert converted.found == {
        "system": "srdiff",
        "data": {"scale": config["sr_scale"]},
        "encoder": {
            "features": config["rrdb_num_feat"],
            "growth": config["rrdb_num_feat"] // 2,
            "blocks": config["rrdb_num_block"],
            "upsampler": "nearest",
        },
        "unet": {
            "width": config["hidden_size"],
            "multipliers": config["unet_dim_mults"],
            "attention": config["use_attn"],
            "add_lr_up": config["up_input"],
            "groups": 0,
            "space_to_depth": 1,
        },
        "diffusion": {
            "lr_divisor": 256,
            "prediction": "noise",
            "steps": config["timesteps"],
            "schedule": config["beta_schedule"],
            "cosine_offset": config["beta_s"],
        },
    }
    assert converted.assumed["diffusion"] == {
        "residual_scale": config["res_rescale"],
        "clip": config["clip_input"],
        "loss": config["loss_type"],
    }
    assert converted.step == 1234
    tensors = checkpoint["state_dict"]["model"]
    assert len(converted.arrays) + len(TABLES) == len(tensors)
    assert sorted(converted.unused) == sorted(["optimizer_states", *TABLES])
    used = {rename(name): value for name, value in tensors.items() if name not in TABLES}
    assert used.keys() == converted.arrays.keys()
    for name, array in converted.arrays.items():
        np.testing.assert_array_equal(array, used[name])
    assert shapes_of(converted.arrays) == parameters_of(converted.found)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attention": True, "add_lr_up": True, "normalised": True},
        {"multipliers": [1, 2, 2, 4]},
        {"multipliers": [1]},
        {"multipliers": [2, 1, 1], "width": 4, "encoder": {"features": 6, "growth": 5, "blocks": 5}},
    ],
    ids=str,
)
def test_sizes_and_options_are_those_of_our_cells(scale, options):
    tensors = srdiff_tensors(scale, **options)
    converted = from_srdiff(tensors)
    assert shapes_of(converted.arrays) == parameters_of(converted.found)
    assert {array.dtype for array in converted.arrays.values()} == {np.dtype(np.float32)}
    assert len(converted.arrays) + len(converted.unused) == len(tensors)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("prefix", ["", "rrdb.", "model.", "module.rrdb."])
def test_an_encoder_alone(scale, prefix):
    tensors = {prefix + name.removeprefix("rrdb."): value for name, value in encoder_tensors(scale).items()}
    converted = from_srdiff({"state_dict": {"model": tensors}, "global_step": 100})
    assert converted.found == {
        "system": "rrdb",
        "data": {"scale": scale},
        "encoder": {"features": 8, "growth": 4, "blocks": 2, "upsampler": "nearest"},
    }
    assert shapes_of(converted.arrays) == parameters_of(converted.found)
    assert converted.unused == [] and converted.step == 100


def test_weight_norm_is_folded():
    tensors = srdiff_tensors()
    name = "denoise_fn.mid_block1.block1.block.1.weight"
    weight = tensors.pop(name)
    tensors[name + "_g"] = np.sqrt((weight.astype(np.float64) ** 2).sum((1, 2, 3), keepdims=True))
    tensors[name + "_v"] = 3 * weight
    np.testing.assert_allclose(from_srdiff(tensors).arrays[rename(name)], weight, rtol=1e-6)


def test_the_window_of_the_ssim_loss_is_unused():
    window = {"ssim_loss.window": np.ones((3, 1, 11, 11))}
    assert "ssim_loss.window" in from_srdiff(srdiff_tensors() | window).unused
    without_prefix = {name.removeprefix("rrdb."): value for name, value in encoder_tensors().items()}
    assert from_srdiff(without_prefix | window).unused == ["ssim_loss.window"]


def test_half_precision_becomes_float32():
    tensors = {name: value.astype(np.float16) for name, value in encoder_tensors().items()}
    array = from_srdiff(tensors).arrays["encoder.first_conv.weight"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, tensors["rrdb.conv_first.weight"])


def test_groups_are_8_unless_given(caplog):
    tensors = srdiff_tensors(normalised=True)
    with caplog.at_level(logging.INFO):
        assert from_srdiff(tensors).found["unet"]["groups"] == 8
    assert "GroupNorm" in caplog.text
    assert from_srdiff(tensors, groups=4).found["unet"]["groups"] == 4
    assert from_srdiff(srdiff_tensors(), groups=4).found["unet"]["groups"] == 0


def test_a_short_schedule_limits_the_sampling_steps():
    assert from_srdiff(srdiff_tensors()).assumed["eval"] == {"steps": 20}


@pytest.mark.parametrize("name", sorted(srdiff_tensors(attention=True, add_lr_up=True, normalised=True)))
def test_every_tensor_counts(name):
    """Without it, or under another name, the file is refused; only the schedule's tables may be absent."""
    tensors = srdiff_tensors(attention=True, add_lr_up=True, normalised=True)
    value = tensors.pop(name)
    if name not in TABLES:
        with pytest.raises(UserError):
            from_srdiff(tensors)
    with pytest.raises(UserError):
        from_srdiff(tensors | {name + "_renamed": value})


@pytest.mark.parametrize("name", sorted(set(srdiff_tensors(attention=True)) - TABLES))
def test_every_shape_counts(name):
    tensors = srdiff_tensors(attention=True)
    tensors[name] = np.concatenate((tensors[name], tensors[name]))
    with pytest.raises(UserError):
        from_srdiff(tensors)


def test_names_are_listed_in_one_short_line():
    tensors = srdiff_tensors()
    for name in [name for name in tensors if name.startswith("denoise_fn.mid_block2")]:
        del tensors[name]
    tensors["denoise_fn.new\x1b[2J" + "x" * 500] = np.ones(1)
    with pytest.raises(
        UserError, match=r"missing: denoise_fn\.mid_block2.* and 1 more; and unknown: denoise_fn\.new"
    ) as e:
        from_srdiff(tensors)
    assert str(e.value).isprintable() and len(str(e.value)) < 600


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    tensors = srdiff_tensors()
    tensors["rrdb.HRconv.bias"][3] = value
    with pytest.raises(UserError, match="rrdb.HRconv.bias.*NaN or infinity"):
        from_srdiff(tensors)


def test_integer_weights_are_refused():
    tensors = encoder_tensors()
    tensors["rrdb.HRconv.bias"] = tensors["rrdb.HRconv.bias"].astype(np.int8)
    with pytest.raises(UserError, match="int8"):
        from_srdiff(tensors)


def test_an_encoder_of_another_scale_is_refused():
    tensors = srdiff_tensors(4) | encoder_tensors(8)
    with pytest.raises(UserError, match="x8.*x4"):
        from_srdiff(tensors)


def test_a_unet_without_encoder_is_refused():
    tensors = {name: value for name, value in srdiff_tensors().items() if not name.startswith("rrdb.")}
    with pytest.raises(UserError, match=r"rrdb\.conv_first\.weight' is missing"):
        from_srdiff(tensors)


@pytest.mark.parametrize("count", [0, 4, 20_000])
def test_scales_beyond_the_three_are_refused(count):
    tensors = {name: value for name, value in encoder_tensors().items() if "upconv" not in name}
    tensors |= {f"rrdb.upconv{i + 1}.weight": np.ones((8, 8, 3, 3)) for i in range(count)}
    with pytest.raises(UserError, match=f"got {count}"):
        from_srdiff(tensors)


@pytest.mark.parametrize(
    "name, message",
    [
        ("model.1.sub.0.RDB1.conv1.0.weight", "names of 2018"),
        ("body.0.rdb1.conv1.weight", "Real-ESRGAN"),
        ("lin0.model.1.weight", "LPIPS"),
        ("features.0.weight", "classification"),
        ("anything.weight", "anything.weight"),
    ],
)
def test_other_networks_say_what_they_look_like(name, message):
    with pytest.raises(UserError, match=message):
        from_srdiff({name: np.ones(3)})


def test_every_rule_is_needed():
    names = set(srdiff_tensors(8, attention=True, add_lr_up=True, normalised=True)) - TABLES
    for skipped in RULES:
        rules = [rule for rule in RULES if rule is not skipped]
        assert any(_apply(rules, name) != rename(name) for name in names), skipped


def _apply(rules, name):
    import re

    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
