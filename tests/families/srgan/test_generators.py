"""Generators against the PyTorch ones: the same files give the recorded pictures."""

import mindspore as ms
import numpy as np
import pytest

from src.commands.convert import converted
from src.families.registry import family_of
from src.inference.upscaler import to_pixels
from src.layers.graph import Graph, Whole
from src.weights.checkpoint import Checkpoint, config_json, load_into
from src.weights.torch_file import read_torch
from tests import tiny_srgan

FILES = {  # file: the recorded picture
    "esrgan_old_arch_x4/RRDB_ESRGAN_x4_old_arch.pth": "sr",
    "esrgan_official_params/ESRGAN_SRx4_DF2KOST_official-ff704c30.pth": "sr_params",
    "realesrgan_x4plus/RealESRGAN_x4plus.pth": "sr_params_ema",
    "realesrgan_x2plus/RealESRGAN_x2plus.pth": "sr_params_ema",
    "realesrgan_anime_6B/RealESRGAN_x4plus_anime_6B.pth": "sr_params_ema",
    "realesr_animevideov3/realesr-animevideov3.pth": "sr_realesr-animevideov3",
    "realesr_general_x4v3/realesr-general-x4v3.pth": "sr_realesr-general-x4v3",
    "realesr_general_x4v3/realesr-general-wdn-x4v3.pth": "sr_realesr-general-wdn-x4v3",
    "msrresnet_x4/net_g_1000000.pth": "sr_params",
    "msrresnet_mmsr_x4/MSRResNetx4.pth": "sr_params",
    "leftthomas_x4_head/netG_epoch_4_100.pth": "sr",
    "leftthomas_x4_published/netG_epoch_4_100.pth": "sr",
    "lornatang_srresnet_x4/SRResNet_x4-ImageNet.pth.tar": "sr",
    "lornatang_training_x2/g_last.pth.tar": "sr_ema",
}


def loaded(path, obj=None):
    """Return the family of a file's network, or of what was read of it, and its model."""
    config, arrays, _ = converted(obj or read_torch(path))
    family = family_of(config)
    model = family.model()
    load_into(model, arrays, path)
    return family, model


def upscaled(family, model, lr):
    """Pictures in [0, 1], through the upscaler, which pads what the network cannot take."""
    return (family.model_upscaler(model, "CPU").sample(lr * 2 - 1) + 1) / 2


@pytest.mark.parametrize("file", FILES)
def test_the_recorded_pictures(shared, file):
    path = shared / "golden/srgan" / file
    golden = np.load(path.parent / "golden.npz")
    sr = upscaled(*loaded(path), golden["lr"])
    assert np.abs(sr - golden[FILES[file]]).max() <= 1e-4
    levels = np.abs(to_pixels(sr * 2 - 1).astype(int) - golden.get(f"{FILES[file]}_u8", to_pixels(sr * 2 - 1)))
    assert levels.max() <= 1  # leftthomas' program cuts off where we round


def test_the_weights_beside_the_average(shared):
    path = shared / "golden/srgan/lornatang_training_x2/g_last.pth.tar"
    golden, file = np.load(path.parent / "golden.npz"), read_torch(path)
    for obj in (file | {"ema_state_dict": None}, {"state_dict": file["state_dict"]}):
        assert np.abs(upscaled(*loaded(path, obj), golden["lr"]) - golden["sr"]).max() <= 1e-4


def test_odd_sizes_are_padded_by_reflection(shared):
    """x2plus folds 2×2 pixels: 13 × 15 is padded to 14 × 16, and the result cut to 26 × 30."""
    path = shared / "golden/srgan/realesrgan_x2plus/RealESRGAN_x2plus.pth"
    golden = np.load(path.parent / "golden.npz")
    sr = upscaled(*loaded(path), golden["odd_lr"])
    assert sr.shape == golden["odd_sr"].shape
    assert np.abs(sr - golden["odd_sr"]).max() <= 1e-4


def test_the_released_esrgan_clips_as_an_rrdb_and_not_as_a_generator(shared):
    path = shared / "golden/srgan/esrgan_new_arch_x4/RRDB_ESRGAN_x4.pth"
    golden = np.load(path.parent / "golden.npz")
    rrdb, model = loaded(path)
    assert np.abs(upscaled(rrdb, model, golden["lr"]) - golden["sr_esrgan"].clip(0, 1)).max() <= 1e-4
    family = family_of(tiny_srgan.config("rrdb", "generator.features=8", "generator.growth=4"))
    family.check_pretrained("generator", rrdb.config, path)
    generator = family.model()
    arrays = {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}
    checkpoint = Checkpoint(path, arrays, config_json(rrdb.config), 0)
    load_into(generator.generator, family.pretrained_arrays("generator", checkpoint), path)
    assert np.abs(upscaled(family, generator, golden["lr"]) - golden["sr_esrgan"]).max() <= 1e-4
    assert golden["sr_esrgan"].min() < 0


def test_a_published_discriminator_has_its_logits(shared):
    path = shared / "golden/srgan/leftthomas_netD/netD_epoch_4_100.pth"
    golden = np.load(path.parent / "golden.npz")
    config, arrays, _ = converted(read_torch(path))
    model = family_of(config).discriminator()
    load_into(model, arrays, path)
    logits = model(ms.Tensor(golden["image"])).asnumpy()
    np.testing.assert_allclose(logits[:, 0], golden["logits_eval"], atol=1e-4)


def test_a_graph_of_free_sizes(shared):
    """What is exported takes any size, and gives what the pictures' own size gives."""
    path = shared / "golden/srgan/msrresnet_x4/net_g_1000000.pth"
    _, model = loaded(path)
    lr = np.load(path.parent / "golden.npz")["lr"] * 2 - 1
    free = Graph(Whole(model), [ms.Tensor(shape=[None, 3, None, None], dtype=ms.float32)])
    for picture in (lr, lr[:1, :, :7, :5]):
        np.testing.assert_allclose(free(picture)[0].asnumpy(), model(ms.Tensor(picture)).asnumpy(), atol=1e-5)
