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


def of_16_bits(scale, network, blocks):
    return {"scale": scale, "network": network, "features": 64, "blocks": blocks}


GENERATORS = {  # the full-size nets in ../shared/golden/srgan/shapes, and what is to be found in them
    "esrgan_old_arch_x4": rrdb(4),
    "realesrgan_x4plus": rrdb(4),
    "realesrgan_x2plus": rrdb(2, unshuffle=2),
    "realesrgan_x1": rrdb(1, unshuffle=4),
    "realesrgan_anime_6B": rrdb(4, blocks=6),
    "realesr_animevideov3": of_16_bits(4, "compact", 16),
    "realesr_general_x4v3": of_16_bits(4, "compact", 32),
    "msrresnet_x2": of_16_bits(2, "msrresnet", 16),
    "msrresnet_x3": of_16_bits(3, "msrresnet", 16),
    "msrresnet_x4": of_16_bits(4, "msrresnet", 16),
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
