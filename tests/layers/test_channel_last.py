"""The CPU's own form of the networks computes what the networks compute."""

import dataclasses

import mindspore as ms
import numpy as np
import pytest

from src.errors import UserError
from src.families.registry import family_of
from src.layers.products import NINE, neighbours, reflected, symmetric
from src.training.validation import Refreshed
from src.weights.checkpoint import put
from tests import tiny

pytestmark = pytest.mark.slow

VARIANTS = {  # scale / space_to_depth is the condition's enlargement
    "full": {"space_to_depth": 1},
    "half": {"space_to_depth": 2},
    "folded": {"space_to_depth": 4},
    "four_levels": {"multipliers": (1, 2, 3, 4)},
    "of_encoder": {"space_to_depth": 4, "condition_every": 1, "add_lr_up": True},
    "half_of_encoder": {"space_to_depth": 2, "condition_every": 2, "add_lr_up": True},
}


def random_model(config):
    ms.set_seed(3)
    model = family_of(config).model()
    random = np.random.default_rng(3)
    for parameter in model.get_parameters():  # those that start at 0 as well
        fan_in = np.prod(parameter.shape[1:]) if len(parameter.shape) > 1 else 25
        parameter.set_data(ms.Tensor((random.standard_normal(parameter.shape) / fan_in**0.5).astype(np.float32)))
    return model


def configuration(**unet):
    config = tiny.config("srdiff")
    of = "encoder" if unet.get("condition_every", 3) != 3 else "bicubic"
    return dataclasses.replace(
        config, unet=dataclasses.replace(config.unet, **unet),
        diffusion=dataclasses.replace(config.diffusion, residual_of=of),
    )  # fmt: skip


def close(ours, expected):
    return np.abs(ours - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("unet", VARIANTS.values(), ids=VARIANTS)
def test_samples_are_those_of_the_networks(unet):
    config = configuration(**unet)
    model = random_model(config)
    ours = tiny.around(config, family_of(config).product_networks(model))
    theirs = tiny.around(config, family_of(config).model_networks(model))
    random = np.random.default_rng(0)
    for height, width in ((16, 24), (9, 17), (1, 1)):  # one graph for all; odd sizes are padded
        lr = random.uniform(-1, 1, (2, 3, height, width)).astype(np.float32)
        conditions = [upscaler.encode(lr) for upscaler in (ours, theirs)]
        assert close(conditions[0].lr_up, conditions[1].lr_up)
        x_t = random.standard_normal(conditions[0].lr_up.shape).astype(np.float32)
        t = np.array([1, 3])
        assert close(*(u.predict(x_t, t, c) for u, c in zip((ours, theirs), conditions, strict=True)))


@pytest.mark.parametrize("unet", [{"groups": 2}, {"attention": True}], ids=str)
def test_there_is_none_for_other_parts(unet):
    config = configuration(**unet)
    assert family_of(config).product_networks(family_of(config).model()) is None


def test_there_is_none_for_the_picture_of_a_nearest_upsampler():
    config = tiny.config("srdiff", None, "encoder.upsampler=nearest", "diffusion.residual_of=encoder")
    assert family_of(config).product_networks(family_of(config).model()) is None


def test_there_is_none_for_stage_1_with_a_nearest_upsampler():
    config = tiny.config("rrdb", None, "encoder.upsampler=nearest")
    assert family_of(config).product_networks(family_of(config).model()) is None


def test_stage_1_gives_the_networks_picture():
    config = tiny.config("rrdb")
    model = random_model(config)
    family = family_of(config)
    ours, theirs = family.product_networks(model), family.model_networks(model)
    for size in ((16, 24), (9, 17), (2, 2)):
        lr = np.random.default_rng(0).uniform(-1, 1, (2, 3, *size)).astype(np.float32)
        assert close(ours.regress(lr), theirs.regress(lr))


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
def test_refreshed_networks_have_the_weights_of_now(system):
    config = tiny.config(system)
    model = random_model(config)
    networks = Refreshed(config, model)
    upscaler = tiny.around(config, networks())
    lr = np.full((8, 8, 3), 90, np.uint8)
    before = upscaler.upscale([lr], [0])[0]
    for parameter in model.get_parameters():
        put(parameter, parameter.asnumpy() * 0.5)
    assert networks() is networks()
    after = upscaler.upscale([lr], [0])[0]
    assert not np.array_equal(before, after)
    assert (
        np.abs(
            after.astype(int)
            - family_of(config)
            .upscaler(family_of(config).model_networks(model), family_of(config).tiling())
            .upscale([lr], [0])[0]
        ).max()
        <= 1
    )


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
def test_the_models_parameters_keep_their_names_and_values(system):
    config = tiny.config(system)
    model = random_model(config)
    before = {parameter.name: parameter.asnumpy().copy() for parameter in model.get_parameters()}
    Refreshed(config, model)()
    after = {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}
    assert list(before) == list(after) and all(np.array_equal(before[name], after[name]) for name in before)


def test_a_model_whose_condition_has_the_base_picture_takes_no_other():
    config = configuration(space_to_depth=4, condition_every=1, add_lr_up=True)
    networks = family_of(config).product_networks(random_model(config))
    with pytest.raises(UserError, match="leave lr_up out"):
        networks.encode(np.zeros((1, 3, 8, 8), np.float32), np.ones((1, 3, 32, 32), np.float32))


@pytest.mark.parametrize("unet", VARIANTS.values(), ids=VARIANTS)
def test_the_condition_is_that_of_the_network(unet):
    config = configuration(**unet)
    model = random_model(config)
    lr = np.random.default_rng(0).uniform(-1, 1, (2, 3, 8, 12)).astype(np.float32)
    family = family_of(config)
    ours, expected = (nets.encode(lr)[0] for nets in (family.product_networks(model), family.model_networks(model)))
    assert close(np.stack([one.asnumpy().T for one in ours]).ravel(), expected.asnumpy().ravel())


def test_a_given_lr_up_is_used():
    config = configuration()
    networks = family_of(config).product_networks(random_model(config))
    lr, lr_up = np.zeros((1, 3, 8, 8), np.float32), np.ones((1, 3, 32, 32), np.float32)
    assert networks.encode(lr, lr_up)[1] is lr_up
    with pytest.raises(UserError, match="2 pictures, the condition 1"):
        networks.denoise(np.zeros((2, 3, 32, 32), np.float32), np.zeros(2, np.int32), networks.encode(lr)[0])


def test_a_cut_is_the_condition_of_the_rectangle():
    config = configuration(space_to_depth=2)
    networks = family_of(config).product_networks(random_model(config))
    conditions = networks.encode(np.random.default_rng(0).uniform(-1, 1, (2, 3, 8, 12)).astype(np.float32))[0]
    cut = networks.cut(conditions, (8, 12), (2, 4), (4, 8))
    whole = conditions[1].asnumpy().reshape(16, 24, -1)
    assert np.array_equal(cut[1], whole[4:12, 8:24].reshape(128, -1))
    x_t, t = np.ones((2, 3, 16, 32), np.float32), np.zeros(2, np.int32)
    assert np.array_equal(networks.denoise(x_t, t, cut), networks.denoise(x_t, t, [ms.Tensor(one) for one in cut]))


@pytest.mark.parametrize(("edges", "mode"), [(reflected, "reflect"), (symmetric, "symmetric"), (None, "constant")])
def test_neighbours_are_those_of_a_padded_picture(edges, mode):
    picture = np.arange(1, 21, dtype=np.float32).reshape(4, 5)
    pixels = np.append(picture.ravel(), 0)
    padded = np.pad(picture, 1, mode=mode)
    expected = np.stack([padded[1 + y : 5 + y : 2, 1 + x : 6 + x : 2] for y, x in NINE], -1)
    assert np.array_equal(pixels[neighbours(4, 5, NINE, edges, stride=2)], expected.ravel())
