"""The public files of generators and discriminators: what is found in each, under whatever it is wrapped in."""

import re

import numpy as np
import pytest

from src.commands.convert import converted, shapes_of
from src.errors import UserError
from src.weights.conversion import arrays_for
from src.weights.torch_file import read_torch


def rrdb(scale, blocks=23, unshuffle=1):
    return {
        "scale": scale, "network": "rrdb", "features": 64, "blocks": blocks, "growth": 32, "upsampler": "nearest",
        "unshuffle": unshuffle,
    }  # fmt: skip


def srresnet(scale, blocks, biases, trunk_end, output):
    return {
        "scale": scale, "network": "srresnet", "features": 64, "blocks": blocks, "biases": biases,
        "trunk_end": trunk_end, "output": output,
    }  # fmt: skip


def sizes(scale, network, blocks):
    return {"scale": scale, "network": network, "features": 64, "blocks": blocks}


GENERATORS = {  # the full-size nets in ../shared/golden/srgan/shapes, and what is to be found in them
    "esrgan_old_arch_x4": rrdb(4),
    "realesrgan_x4plus": rrdb(4),
    "realesrgan_x2plus": rrdb(2, unshuffle=2),
    "realesrgan_x1": rrdb(1, unshuffle=4),
    "realesrgan_anime_6B": rrdb(4, blocks=6),
    "realesr_animevideov3": sizes(4, "compact", 16),
    "realesr_general_x4v3": sizes(4, "compact", 32),
    "msrresnet_x2": sizes(2, "msrresnet", 16),
    "msrresnet_x3": sizes(3, "msrresnet", 16),
    "msrresnet_x4": sizes(4, "msrresnet", 16),
    "leftthomas_netG_x2_head": srresnet(2, 5, True, "batchnorm", "tanh"),
    "leftthomas_netG_x4_head": srresnet(4, 5, True, "batchnorm", "tanh"),
    "leftthomas_netG_x4_published": srresnet(4, 5, True, "prelu", "tanh"),
    "leftthomas_netG_x8_head": srresnet(8, 5, True, "batchnorm", "tanh"),
    "lornatang_2022_srresnet_x4": srresnet(4, 16, False, "batchnorm", "clamp"),
    "lornatang_srresnet_x2": srresnet(2, 16, False, "batchnorm", "clamp"),
    "lornatang_srresnet_x4": srresnet(4, 16, False, "batchnorm", "clamp"),
    "lornatang_srresnet_x8": srresnet(8, 16, False, "batchnorm", "clamp"),
}
DISCRIMINATORS = {  # and the side of the patches that they take, where that is told
    "leftthomas_netD": ({"network": "pooled", "features": 64, "hidden": 1024}, None),
    "lornatang_netD": ({"network": "srgan", "features": 64, "hidden": 1024}, 96),
    "basicsr_vgg_netD_128": ({"network": "esrgan", "features": 64, "hidden": 100}, 128),
    "basicsr_vgg_netD_256": ({"network": "esrgan", "features": 64, "hidden": 100}, 256),
    "realesrgan_unet_netD": ({"network": "unet", "features": 64}, None),
}


def full_size(shared, name):
    """The tensors of a full-size net, all zeros, which take no memory; of one element each where they are counters."""
    tensors = {}
    for line in (shared / f"golden/srgan/shapes/{name}.txt").read_text().splitlines():
        if found := re.fullmatch(r"(\S+) \[(.*)\]", line):
            shape = tuple(int(side) for side in found[2].split(",") if side)
            dtype = np.int64 if found[1].endswith("num_batches_tracked") else np.float32
            tensors[found[1]] = np.broadcast_to(np.zeros((), dtype), shape)
    return tensors


def check_shapes(conversion, config, tensors):
    """Every tensor but the counters is a parameter of ours, of its shape."""
    shapes = shapes_of(config, conversion.part)
    counters = [name for name in tensors if name.endswith("num_batches_tracked")]
    assert len(shapes) == len(tensors) - len(counters)
    assert ("*.num_batches_tracked" in conversion.unused) == bool(counters)
    assert arrays_for(conversion, shapes).keys() == shapes.keys()


@pytest.mark.parametrize("name", GENERATORS)
def test_full_size_generators(shared, name):
    tensors = full_size(shared, name)
    config, _, conversion = converted(tensors)
    expected = dict(GENERATORS[name])
    assert conversion.found == {"system": "srgan", "data": {"scale": expected.pop("scale")}, "generator": expected}
    check_shapes(conversion, config, tensors)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_full_size_discriminators(shared, name):
    tensors = full_size(shared, name)
    config, arrays, conversion = converted(tensors)
    expected, patch_size = DISCRIMINATORS[name]
    assert conversion.found["discriminator"] == expected
    assert config.data.patch_size == (patch_size or 96)
    assert all(name.startswith("discriminator.") for name in arrays)
    check_shapes(conversion, config, tensors)


def test_the_released_esrgan_stays_an_rrdb(shared):
    config, *_ = converted(full_size(shared, "esrgan_new_arch_x4"))
    assert (config.system, config.encoder.features, config.encoder.blocks, config.data.scale) == ("rrdb", 64, 23, 4)


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_a_classifier_is_none(shared, name):
    with pytest.raises(UserError, match="a classification network"):
        converted(full_size(shared, name))


def golden(shared, file):
    return read_torch(shared / "golden/srgan" / file)


@pytest.mark.parametrize(
    ("file", "form"),
    [
        ("esrgan_old_arch_x4/RRDB_ESRGAN_x4_old_arch.pth", "bare: ESRGAN's RRDBNet of 2018"),
        ("esrgan_official_params/ESRGAN_SRx4_DF2KOST_official-ff704c30.pth", "params: BasicSR's and Real-ESRGAN's"),
        ("realesrgan_x2plus/RealESRGAN_x2plus.pth", "params_ema: BasicSR's and Real-ESRGAN's RRDBNet"),
        ("realesr_general_x4v3/realesr-general-x4v3.pth", "params: Real-ESRGAN's SRVGGNetCompact"),
        ("msrresnet_x4/net_g_1000000.pth", "params: BasicSR's MSRResNet"),
        ("msrresnet_mmsr_x4/MSRResNetx4.pth", "bare: mmsr's MSRResNet"),
        ("leftthomas_x4_head/netG_epoch_4_100.pth", "bare: leftthomas' SRResNet"),
        ("lornatang_srresnet_x4/SRResNet_x4-ImageNet.pth.tar", "state_dict: Lornatang's SRResNet"),
        ("lornatang_training_x2/g_last.pth.tar", "ema_state_dict: Lornatang's SRResNet"),
        ("lornatang_netD/DiscriminatorForVGG_x4-ImageNet.pth.tar", "state_dict: a discriminator, Lornatang's"),
        ("realesrgan_unet_netD/RealESRGAN_x4plus_netD.pth", "params: a discriminator, Real-ESRGAN's UNet"),
    ],
)
def test_it_says_what_it_found(shared, file, form):
    assert converted(golden(shared, file))[2].form.startswith(form)


def test_the_weights_beside_the_average_and_training_s_are_unused(shared):
    *_, conversion = converted(golden(shared, "lornatang_training_x2/g_last.pth.tar"))
    assert conversion.unused == ["state_dict", "optimizer", "_orig_mod.n_averaged", "*.num_batches_tracked"]


def bare(shared, file="realesrgan_x4plus/RealESRGAN_x4plus.pth", container="params_ema"):
    return golden(shared, file)[container]


WRAPPINGS = {
    "bare": lambda tensors: tensors,
    "DataParallel": lambda tensors: {f"module.{name}": value for name, value in tensors.items()},
    "compiled": lambda tensors: {"state_dict": {f"_orig_mod.{name}": value for name, value in tensors.items()}},
    "beside the weights": lambda tensors: {
        "params": {name: 0 * value for name, value in tensors.items()},
        "params_ema": tensors,
    },
    "mmagic": lambda tensors: {
        "meta": {"iter": 5},
        "state_dict": {f"generator.{name}": value for name, value in tensors.items()}
        | {
            "discriminator.conv0_0.weight": np.ones(1),
            "perceptual_loss.vgg.mean": np.ones(3),
            "step_counter": np.ones(1),
        },
    },
    "mmagic's average": lambda tensors: {
        "state_dict": {f"generator.{name}": 0 * value for name, value in tensors.items()}
        | {f"generator_ema.{name}": value for name, value in tensors.items()}
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrappings(shared, wrapping):
    tensors = bare(shared)
    config, arrays, conversion = converted(WRAPPINGS[wrapping](tensors))
    assert (config.system, config.data.scale, config.generator.blocks) == ("srgan", 4, 2)
    np.testing.assert_array_equal(arrays["generator.trunk_conv.weight"], tensors["conv_body.weight"])
    if wrapping == "mmagic":
        assert conversion.unused == ["discriminator.*", "perceptual_loss.*", "step_counter"]


def test_mmagic_s_msrresnet(shared):
    tensors = bare(shared, "msrresnet_x4/net_g_1000000.pth", "params")
    rules = (r"^body\.", "trunk_net."), (r"^upconv(\d)\.", r"upsample\1.upsample_conv.")
    renamed = {re.sub(*rules[1], re.sub(*rules[0], name)): value for name, value in tensors.items()}
    config, arrays, conversion = converted({"state_dict": {f"generator.{n}": v for n, v in renamed.items()}})
    assert (config.generator.network, config.generator.blocks, config.data.scale) == ("msrresnet", 3, 4)
    np.testing.assert_array_equal(arrays["generator.up_convs.1.bias"], tensors["upconv2.bias"])
    assert "mmagic" in conversion.form


@pytest.mark.parametrize("octaves", [0, 1, 2, 3])
def test_the_length_of_the_first_architecture_s_list_tells_the_scale(octaves):
    tensors = {"model.0.weight": np.ones((8, 3, 3, 3)), "model.0.bias": np.ones(8)}
    widths = {1: 8, 2: 12, 3: 16, 4: 20, 5: 24}
    for block in range(3):
        for dense in (1, 2, 3):
            for conv, width in widths.items():
                name, out = f"model.1.sub.{block}.RDB{dense}.conv{conv}.0", 8 if conv == 5 else 4
                tensors |= {f"{name}.weight": np.ones((out, width, 3, 3)), f"{name}.bias": np.ones(out)}
    layers = {"1.sub.3": 8} | {f"{3 * n + 3}": 8 for n in range(octaves)}
    layers |= {f"{3 * octaves + 2}": 8, f"{3 * octaves + 4}": 3}
    for name, out in layers.items():
        tensors |= {f"model.{name}.weight": np.ones((out, 8, 3, 3)), f"model.{name}.bias": np.ones(out)}
    config, *_ = converted(tensors)
    assert (config.data.scale, config.generator.blocks, config.generator.unshuffle) == (2**octaves, 3, 1)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"model.1.sub.0.res.0.weight": 1}, "BasicSR's SRResNet of 2018 .* take MSRResNet's"),
        ({"body.0.rdb1.conv1.weight": (4, 8, 3, 3), "conv_first.weight": (8, 5, 3, 3)}, "takes 5 channels"),
        ({"body.0.weight": (8, 3, 3, 3), "body.2.weight": (8, 8, 3, 3), "body.4.weight": 1}, "with PReLU alone"),
        ({"trunk.0.rcb.0.weight": 1}, "'conv1.0.weight' is missing"),
        (
            {"body.0.conv1.weight": 1, "upconv1.weight": (9, 8, 3, 3), "conv_first.weight": (8, 3, 3, 3)},
            "'upconv1.weight' gives 9 channels: expected 8 times 1, 4, 9 or 16",
        ),
        ({f"upsampling.{n}.x": 1 for n in range(4)} | {"trunk.0.rcb.0.weight": 1}, "up to 3 doublings .* got 4"),
        ({"0.weight": (8, 3, 3, 3), "1.sub.0.RDB1.conv1.0.weight": (4, 8, 3, 3), "5.weight": 1}, "5 layers .* got 6"),
    ],
)
def test_what_looks_like_one_and_is_not_is_refused(shapes, message):
    with pytest.raises(UserError, match=message):
        converted({name: np.ones(shape) for name, shape in shapes.items()})


def test_a_configuration_that_contradicts_is_refused(shared):
    with pytest.raises(UserError, match="generator.features is 64 in the configuration, 8 in the checkpoint"):
        converted(bare(shared), {"generator": {"features": 64}})
    config, *_ = converted(bare(shared), {"name": "mine", "generator": {"growth": 0}})
    assert (config.name, config.generator.growth) == ("mine", 4)
