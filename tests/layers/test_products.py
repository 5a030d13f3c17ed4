"""The networks as products compute what the networks compute: for inference, and for training with its gradients."""

import dataclasses

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.errors import UserError
from src.families.registry import family_of
from src.families.srdiff.network import SRDiff
from src.layers.layers import ReflectConv3x3, conv3x3
from src.layers.products import (
    NINE,
    TrainedConv,
    TrainedRRDB,
    TrainedSRDiff,
    TrainedTransposedConv,
    adjoint,
    batched,
    neighbours,
    reflected,
    symmetric,
)
from src.layers.products import supports_training as supports
from src.training.validation import Refreshed
from src.weights.checkpoint import put
from tests import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


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
def test_conditions_and_predictions_are_those_of_the_networks(unet):
    config = configuration(**unet)
    model = random_model(config)
    products, convolutions = family_of(config).product_networks(model), family_of(config).model_networks(model)
    ours, theirs = (tiny.around(config, networks) for networks in (products, convolutions))
    random = np.random.default_rng(0)
    lr = random.uniform(-1, 1, (2, 3, 8, 12)).astype(np.float32)
    found, expected = (networks.encode(lr)[0] for networks in (products, convolutions))
    assert close(np.stack([one.asnumpy().T for one in found]).ravel(), expected.asnumpy().ravel())
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
    family, model = family_of(config), random_model(config)
    before = {parameter.name: parameter.asnumpy().copy() for parameter in model.get_parameters()}
    networks = Refreshed(family, model)
    upscaler, lr = tiny.around(config, networks), np.full((8, 8, 3), 90, np.uint8)
    first = upscaler.upscale([lr], [0])[0]
    after = {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}
    assert list(before) == list(after) and all(np.array_equal(before[name], after[name]) for name in before)
    for parameter in model.get_parameters():
        put(parameter, parameter.asnumpy() * 0.5)
    networks.refresh()
    second = upscaler.upscale([lr], [0])[0].astype(int)
    assert not np.array_equal(first, second)
    expected = tiny.around(config, family.model_networks(model)).upscale([lr], [0])[0]
    assert np.abs(second - expected).max() <= 1


def test_a_model_whose_condition_has_the_base_picture_takes_no_other():
    config = configuration(space_to_depth=4, condition_every=1, add_lr_up=True)
    networks = family_of(config).product_networks(random_model(config))
    with pytest.raises(UserError, match="leave lr_up out"):
        networks.encode(np.zeros((1, 3, 8, 8), np.float32), np.ones((1, 3, 32, 32), np.float32))


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


def rows(x):
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


class Weighted(nn.Cell):
    """A scalar of a network's output, each of whose values has a weight of its own."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, x, weight):
        return (self.network(x) * weight).sum()


def compare(network, ours, x, weights):
    """Assert that both give the same outputs and gradients, by x and by the weights."""
    expected = network(ms.Tensor(x)).asnumpy()
    np.testing.assert_allclose(ours(ms.Tensor(rows(x))).asnumpy(), rows(expected), atol=2e-5)
    weight = np.random.default_rng(1).standard_normal(expected.shape).astype(np.float32)

    def gradients(net, *arrays):
        inputs = [ms.Tensor(array) for array in arrays]
        (by_x, _), by_weights = ms.value_and_grad(Weighted(net), (0, 1), weights)(*inputs)[1]
        return by_x.asnumpy(), [gradient.asnumpy() for gradient in by_weights]

    by_x, by_weights = gradients(network, x, weight)
    our_by_x, our_by_weights = gradients(ours, rows(x), rows(weight))
    np.testing.assert_allclose(our_by_x, rows(by_x), atol=2e-5)
    for mine, theirs in zip(our_by_weights, by_weights, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("size", [(2, 2), (3, 3), (4, 7), (8, 6)], ids=str)
@pytest.mark.parametrize("kind", ["mirrored", "halved", "zeros"])
def test_a_convolution_and_its_gradients(size, kind):
    ms.set_seed(1)
    stride, edges = 2 if kind == "halved" else 1, None if kind == "zeros" else reflected
    network = conv3x3(5, 4) if kind == "zeros" else ReflectConv3x3(5, 4, stride)
    conv = network if kind == "zeros" else network.conv
    ours = TrainedConv(conv, neighbours(*size, NINE, edges, stride), size[0] * size[1], 2)
    x = np.random.default_rng(0).standard_normal((2, 5, *size)).astype(np.float32)
    compare(network, ours, x, [conv.weight, conv.bias])


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("size", [(1, 1), (3, 5)], ids=str)
def test_a_transposed_convolution_and_its_gradients(size, factor):
    ms.set_seed(1)
    conv = nn.Conv2dTranspose(5, 4, 2 * factor, stride=factor, pad_mode="pad", padding=factor // 2, has_bias=True)
    x = np.random.default_rng(0).standard_normal((2, 5, *size)).astype(np.float32)
    compare(conv, TrainedTransposedConv(conv, *size, 2, factor), x, [conv.weight, conv.bias])


def test_the_adjoint_of_a_table_is_the_transposed_matrix():
    table, random = batched(neighbours(3, 4, NINE, reflected, stride=2), 12, 2), np.random.default_rng(0)
    outputs = len(table) // 9
    matrices = np.zeros((9, outputs, 24))
    matrices[np.tile(np.arange(9), outputs), np.repeat(np.arange(outputs), 9), table] = 1
    back, sums = adjoint(table, 24, 9)
    y = random.standard_normal((outputs + 1, 2))
    y[-1] = 0
    found = np.concatenate((y[:-1], y[sums].sum(1), y[-1:]))[back].reshape(24, 9, 2)
    np.testing.assert_allclose(found, np.einsum("kqp,qc->pkc", matrices, y[:-1]), atol=1e-12)


TRAINED = {
    "paper": {},
    "folded_of_encoder": {
        "unet.space_to_depth": 4, "unet.condition_every": 1, "unet.add_lr_up": "true", "train.draws": 2,
        "diffusion.residual_of": "encoder", "unet.multipliers": "[1,2,2]",
    },
    "encoder_trains_along": {"unet.space_to_depth": 2, "encoder.frozen": "false", "unet.add_lr_up": "true"},
}  # fmt: skip


@pytest.mark.parametrize("options", TRAINED.values(), ids=TRAINED)
def test_srdiffs_loss_and_gradients(options):
    config = tiny.config(
        "srdiff", None, "unet.space_to_depth=1", *(f"{name}={value}" for name, value in options.items())
    )
    model, random, draws = random_model(config), np.random.default_rng(0), config.train.draws
    names = [parameter.name for parameter in model.get_parameters()]
    assert isinstance(model, SRDiff) and supports(model)
    ours = TrainedSRDiff(model, (2, 8, 8), 4, draws)
    assert [parameter.name for parameter in model.get_parameters()] == names  # sharing them renames nothing
    hr, lr = random.uniform(-1, 1, (2, 3, 32, 32)), random.uniform(-1, 1, (2, 3, 8, 8))
    noise = random.standard_normal((2 * draws, 3, 32, 32))
    batch = [ms.Tensor(x.astype(np.float32)) for x in (hr, lr, noise)]
    batch.insert(2, ms.Tensor(np.arange(2 * draws) % 4, ms.int32))
    weights = model.trainable_params()
    results = [ms.value_and_grad(family_of(config).objectives(m)[0].loss, None, weights)(*batch) for m in (model, ours)]
    check(results, names)


def test_rrdbs_loss_and_gradients():
    config = tiny.config("rrdb")
    model, random = random_model(config), np.random.default_rng(0)
    batch = [ms.Tensor(random.uniform(-1, 1, s).astype(np.float32)) for s in ((2, 3, 24, 32), (2, 3, 6, 8))]
    weights = model.trainable_params()
    nets = (model, TrainedRRDB(model, (2, 6, 8), 4))
    check(
        [ms.value_and_grad(family_of(config).objectives(net)[0].loss, None, weights)(*batch) for net in nets],
        [p.name for p in weights],
    )


def check(results, names):
    (loss, gradients), (our_loss, our_gradients) = results
    np.testing.assert_allclose(our_loss.asnumpy(), loss.asnumpy(), rtol=1e-5)
    largest = max(np.abs(gradient.asnumpy()).max() for gradient in gradients)
    assert largest > 0
    for gradient, ours in zip(gradients, our_gradients, strict=True):
        np.testing.assert_allclose(ours.asnumpy(), gradient.asnumpy(), atol=2e-5 * largest)


def test_there_is_no_training_of_other_parts():
    config = tiny.config("srdiff")
    for change in ({"groups": 2}, {"attention": True}):
        other = dataclasses.replace(config, unet=dataclasses.replace(config.unet, **change))
        assert not supports(random_model(other))
    assert not supports(random_model(tiny.config("srdiff", None, "encoder.upsampler=nearest")))
