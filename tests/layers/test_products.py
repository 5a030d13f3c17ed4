"""The form of the networks that training on the CPU takes: the same loss and the same gradients."""

import dataclasses

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

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
)
from src.layers.products import supports_training as supports
from tests import tiny
from tests.layers.test_channel_last import random_model

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


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


VARIANTS = {
    "paper": {},
    "folded_of_encoder": {
        "unet.space_to_depth": 4, "unet.condition_every": 1, "unet.add_lr_up": "true", "train.draws": 2,
        "diffusion.residual_of": "encoder", "unet.multipliers": "[1,2,2]",
    },
    "encoder_trains_along": {"unet.space_to_depth": 2, "encoder.frozen": "false", "unet.add_lr_up": "true"},
}  # fmt: skip


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
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


def test_there_is_none_for_other_parts():
    config = tiny.config("srdiff")
    for change in ({"groups": 2}, {"attention": True}):
        other = dataclasses.replace(config, unet=dataclasses.replace(config.unet, **change))
        assert not supports(random_model(other))
    assert not supports(random_model(tiny.config("srdiff", None, "encoder.upsampler=nearest")))
