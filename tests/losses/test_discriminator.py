"""Discriminators against the PyTorch ones: logits, running statistics and vectors as recorded, from the same files."""

import mindspore as ms
import numpy as np
import pytest

from src.errors import UserError
from src.families.srgan.convert_discriminator import discriminator_settings, their_discriminator_name
from src.losses.discriminator import DISCRIMINATORS, build_discriminator
from src.weights.state_dict import find_state_dict
from src.weights.torch_file import read_torch

FOLDERS = {
    "srgan": "lornatang_netD/DiscriminatorForVGG_x4-ImageNet.pth.tar",
    "pooled": "leftthomas_netD/netD_epoch_4_100.pth",
    "esrgan": "basicsr_vgg_netD_128/net_d_400000.pth",
    "unet": "realesrgan_unet_netD/RealESRGAN_x4plus_netD.pth",
}


def loaded(shared, network):
    """Return the discriminator of a golden file, and what was recorded of it."""
    path = shared / "golden/srgan" / FOLDERS[network]
    tensors, _ = find_state_dict(read_torch(path))
    found, patch_size = discriminator_settings(tensors)
    assert found.pop("network") == network
    model = build_discriminator(network, found["features"], found.get("hidden", 0), patch_size or 96)
    used = set()
    for parameter in model.get_parameters():
        theirs = their_discriminator_name(network, parameter.name)
        assert parameter.shape == tensors[theirs].shape
        parameter.set_data(ms.Tensor(tensors[theirs]))
        used.add(theirs)
    assert all(name.endswith("num_batches_tracked") for name in tensors.keys() - used)
    return model, np.load(path.parent / "golden.npz")


def picture(golden):
    return ms.Tensor(np.ascontiguousarray(golden["image_u8"].transpose(0, 3, 1, 2)).astype(np.float32) / 255)


def check_after(model, network, golden, prefix):
    """Compare all recorded tensors with the parameters."""
    recorded = {name.removeprefix(prefix): golden[name] for name in golden.files if name.startswith(prefix)}
    ours = {their_discriminator_name(network, p.name): p.asnumpy() for p in model.get_parameters()}
    assert len(recorded) > 10
    for name, expected in recorded.items():
        np.testing.assert_allclose(ours[name], expected, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("network", DISCRIMINATORS)
def test_the_logits_in_evaluation(shared, network):
    model, golden = loaded(shared, network)
    logits = model.set_train(False)(picture(golden)).asnumpy()
    np.testing.assert_allclose(logits.reshape(golden["logits_eval"].shape), golden["logits_eval"], atol=1e-5)
    assert logits.shape == ((2, 1, 32, 40) if network == "unet" else (2, 1))


@pytest.mark.parametrize("network", ["srgan", "esrgan"])
def test_the_logits_in_training(shared, network):
    model, golden = loaded(shared, network)
    np.testing.assert_allclose(model.set_train()(picture(golden)).asnumpy(), golden["logits_train"], atol=1e-4)


def test_the_running_statistics_follow(shared):
    model, golden = loaded(shared, "pooled")
    logits = model.set_train()(picture(golden)).asnumpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, 0])), golden["probability_train"], atol=1e-5)
    check_after(model, "pooled", golden, "after_train/")


def test_the_power_iteration(shared):
    model, golden = loaded(shared, "unet")
    model.set_train()
    np.testing.assert_allclose(model(picture(golden)).asnumpy(), golden["logits_train"], atol=1e-5)
    np.testing.assert_allclose(model(picture(golden)).asnumpy(), golden["logits_train_2"], atol=1e-5)
    check_after(model, "unet", golden, "after_two_train/")


def test_patches_of_256_have_another_level():
    model = build_discriminator("esrgan", 2, 4, 256)
    assert model(ms.Tensor(np.zeros((1, 3, 256, 256), np.float32))).shape == (1, 1)
    names = [their_discriminator_name("esrgan", parameter.name) for parameter in model.get_parameters()]
    assert "conv5_1.weight" in names and "bn5_1.running_var" in names and len(set(names)) == len(names) == 61


def test_parameters_are_named_by_part_and_only_weights_are_trained():
    for network in DISCRIMINATORS:
        model = build_discriminator(network, 2, 4, 128)
        assert all(parameter.name.startswith("discriminator.") for parameter in model.get_parameters())
        kept = {parameter.name.split(".")[-1] for parameter in model.get_parameters() if not parameter.requires_grad}
        assert kept == ({"u", "v"} if network == "unet" else {"moving_mean", "moving_variance"})


@pytest.mark.parametrize(
    ("network", "count", "patch_size"),
    [("srgan", 23_563_649, 96), ("pooled", 5_215_425, 96), ("esrgan", 14_499_401, 128), ("unet", 4_376_897, 96)],
)
def test_the_published_sizes(network, count, patch_size):
    model = build_discriminator(network, patch_size=patch_size)
    assert sum(parameter.size for parameter in model.trainable_params()) == count


@pytest.mark.parametrize(
    ("network", "patch_size", "message"),
    [
        ("srgan", 100, "multiple of 16"),
        ("esrgan", 96, "128 or 256 pixels, got 96"),
        ("unet", 100, "multiple of 8"),
        ("patchgan", 96, "one of srgan, pooled, esrgan, unet"),
    ],
)
def test_patches_that_do_not_fit_are_refused(network, patch_size, message):
    with pytest.raises(UserError, match=message):
        build_discriminator(network, 2, 4, patch_size)
