"""An RRDB alone: the pre-training of the PyTorch SRDiff, and ESRGAN's own."""

import numpy as np
import pytest

from src.commands.convert import converted
from src.errors import UserError
from tests.weights.checkpoints import encoder_tensors


@pytest.mark.parametrize(("scale", "prefix"), [(2, ""), (4, "rrdb."), (8, "model."), (4, "module.rrdb.")])
def test_an_encoder_alone(scale, prefix):
    tensors = {prefix + name.removeprefix("rrdb."): value for name, value in encoder_tensors(scale).items()}
    config, arrays, conversion = converted({"state_dict": {"model": tensors}, "global_step": 100})
    assert conversion.found == {
        "system": "rrdb",
        "data": {"scale": scale},
        "encoder": {"features": 8, "growth": 4, "blocks": 2, "upsampler": "nearest"},
    }
    assert config.name == f"rrdb_x{scale}_converted" and conversion.unused == [] and conversion.step == 100
    assert len(arrays) == len(tensors)
    pairs = (("encoder.trunk.1.dense3.conv5.bias", "RRDB_trunk.1.RDB3.conv5.bias"),)
    pairs += (("encoder.upsampler.up_convs.0.weight", "upconv1.weight"), ("encoder.first_conv.bias", "conv_first.bias"))
    for ours, theirs in pairs:
        np.testing.assert_array_equal(arrays[ours], tensors[prefix + theirs])


def test_the_published_esrgan_generators(shared):
    from src.weights.torch_file import read_torch

    folder = shared / "golden/srgan/esrgan_new_arch_x4"
    config, arrays, _ = converted(read_torch(folder / "RRDB_ESRGAN_x4.pth"))
    assert config.system == "rrdb" and config.data.scale == 4 and len(arrays) == 72


def test_the_window_of_the_ssim_loss_is_unused():
    tensors = {name.removeprefix("rrdb."): value for name, value in encoder_tensors().items()}
    window = {"ssim_loss.window": np.ones((3, 1, 11, 11))}
    assert converted(tensors | window)[2].unused == ["ssim_loss.window"]


def test_half_precision_becomes_float32():
    tensors = {name: value.astype(np.float16) for name, value in encoder_tensors().items()}
    array = converted(tensors)[1]["encoder.first_conv.weight"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, tensors["rrdb.conv_first.weight"])


@pytest.mark.parametrize("count", [0, 4, 20_000])
def test_scales_beyond_the_three_are_refused(count):
    tensors = {name: value for name, value in encoder_tensors().items() if "upconv" not in name}
    tensors |= {f"rrdb.upconv{i + 1}.weight": np.ones((8, 8, 3, 3)) for i in range(count)}
    with pytest.raises(UserError, match=f"got {count}"):
        converted(tensors)


def test_more_blocks_than_any_network_has_are_refused():
    tensors = encoder_tensors() | {f"rrdb.RRDB_trunk.{i}.x": np.ones(1) for i in range(2000)}
    with pytest.raises(UserError, match="at most 1000 blocks or levels, got 2000"):
        converted(tensors)


def test_channels_that_would_fill_the_memory_are_refused():
    """A tensor of 5 MB claims 400,000 channels: the convolutions between them would take 5 TB."""
    tensors = encoder_tensors() | {"rrdb.conv_first.weight": np.ones((400_000, 1, 1, 1), np.float32)}
    with pytest.raises(UserError, match="'rrdb.conv_first.weight' has the shape"):
        converted(tensors)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lin0.model.1.weight", "LPIPS"),
        ("features.0.weight", "classification"),
        ("anything.weight", "anything.weight"),
    ],
)
def test_other_networks_say_what_they_look_like(name, message):
    with pytest.raises(UserError, match=f"{message}.*") as caught:
        converted({name: np.ones(3), "conv_first.weight": np.ones(3)})
    assert "expected an SRDiff, RRDB, SR3, DDPM, SRGAN, ESRGAN or Real-ESRGAN network" in str(caught.value)
