"""Shapes, options and refusals of the SR3 and DDPM U-Net."""

import mindspore as ms
import numpy as np
import pytest

from src.errors import UserError
from src.export.mindir import read_mindir
from src.families.sr3.network import Modulation, SelfAttention, SR3UNet
from src.layers.dropout import Dropout
from src.layers.layers import SinusoidalEmbedding
from tests.training.conftest import graph_mode

__all__ = ["graph_mode"]  # an autouse fixture, for this module too

SIZES = {"width": 8, "multipliers": (1, 2, 2), "blocks": 1, "attention": (4,), "image_size": 16, "groups": 4}
ONE_LEVEL = SIZES | {"multipliers": (1,), "attention": ()}  # for what is no matter of levels


def tensor(*shape):
    return ms.Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def free(*shape, dtype=ms.float32):
    return ms.Tensor(shape=list(shape), dtype=dtype)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"noise_level": "discrete"},
        {"conditional": False},
        {"affine": True, "dropout": 0.0, "blocks": 2},
        {"multipliers": (1,), "attention": ()},
        {"attention": (16, 8)},
        {"multipliers": (1, 2), "space_to_depth": 2, "attention": (4,)},
    ],
    ids=str,
)
def test_it_keeps_every_size_that_the_levels_divide(options):
    net = SR3UNet(**(SIZES | options))
    discrete, picture = options.get("noise_level") == "discrete", free(None, 3, None, None)
    level = free(None, dtype=ms.int32 if discrete else ms.float32)
    net.set_inputs(picture, level, *[picture] * net.conditional)  # one graph for all sizes
    for batch, height, width in ((2, 8, 8), (1, 12, 20), (3, 4, 4)):
        x = tensor(batch, 3, height, width)
        t = ms.Tensor([3] * batch, ms.int32) if discrete else ms.Tensor([0.7] * batch, ms.float32)
        found = net(x, t, *[x] * net.conditional).asnumpy()
        assert found.shape == (batch, 3, height, width) and np.isfinite(found).all()


def test_pictures_of_a_batch_do_not_meet():
    net, x, lr_up = SR3UNet(**SIZES), tensor(2, 3, 8, 8), tensor(2, 3, 8, 8)
    level = ms.Tensor([0.2, 0.9], ms.float32)
    together = net(x, level, lr_up).asnumpy()
    for i in range(2):
        alone = net(x[i : i + 1], level[i : i + 1], lr_up[i : i + 1]).asnumpy()
        np.testing.assert_allclose(alone, together[i : i + 1], atol=1e-5)


def test_lr_up_and_the_noise_level_matter():
    net, x = SR3UNet(**SIZES), tensor(1, 3, 8, 8)
    first = net(x, ms.Tensor([0.2], ms.float32), x).asnumpy()
    assert np.abs(net(x, ms.Tensor([0.9], ms.float32), x).asnumpy() - first).max() > 1e-5
    assert np.abs(net(x, ms.Tensor([0.2], ms.float32), -x).asnumpy() - first).max() > 1e-3


def test_attention_sits_in_the_levels_of_the_nominal_resolutions():
    def attended(**options):
        net = SR3UNet(**(SIZES | options))
        blocks = [*net.down_blocks, *net.up_blocks]
        return [isinstance(block.attention, SelfAttention) for block in blocks]

    assert attended(attention=()) == [False] * 9
    assert attended(attention=(8,)) == [False, True, False] + [False, False, True, True, False, False]
    assert attended(attention=(4, 16)) == [True, False, True] + [True, True, False, False, True, True]
    assert attended(attention=(64,), image_size=64) == attended(attention=(16,))


def test_dropout_is_of_training_alone(tmp_path):
    cells = [cell for _, cell in SR3UNet(**(SIZES | {"dropout": 0.5})).cells_and_names()]
    salts = [cell.salt for cell in cells if isinstance(cell, Dropout) and cell.rate]
    assert len(salts) == len(set(salts)) == 11
    net, x, level = SR3UNet(**(ONE_LEVEL | {"dropout": 0.5})), tensor(1, 3, 8, 8), ms.Tensor([0.5], ms.float32)
    first, again, other = (net(x, level, x, ms.Tensor([key], ms.int32)).asnumpy() for key in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3

    ms.export(net, x, level, x, file_name=str(tmp_path / "net"), file_format="MINDIR")
    kinds = {operator.kind for operator in read_mindir(tmp_path / "net.mindir").operators}
    assert "Conv2D" in kinds and not kinds & {"BitwiseXor", "BitwiseAnd", "BitwiseOr", "RightShift", "Less"}


def test_a_network_that_is_told_nothing():
    net, x = SR3UNet(**(ONE_LEVEL | {"noise_level": "none", "conditional": False})), tensor(2, 3, 8, 8)
    assert net(x).shape == x.shape
    assert not any("modulation" in parameter.name or "time" in parameter.name for parameter in net.get_parameters())


def test_every_parameter_has_a_gradient():
    net = SR3UNet(**(SIZES | {"affine": True, "dropout": 0.0}))
    x, level = tensor(2, 3, 8, 8), ms.Tensor([0.3, 0.8], ms.float32)

    def loss():
        return (net(x, level, x) * x).sum()

    parameters = net.trainable_params()
    _, gradients = ms.value_and_grad(loss, None, parameters)()
    untouched = [p.name for p, g in zip(parameters, gradients, strict=True) if not np.abs(g.asnumpy()).max() > 0]
    assert untouched == []


def test_attention_against_numpy():
    layer, x = SelfAttention(6, groups=2), tensor(2, 6, 4, 5)
    grouped = x.asnumpy().reshape(2, 2, -1).astype(np.float64)
    mean, variance = grouped.mean(-1, keepdims=True), grouped.var(-1, keepdims=True)
    normed = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(2, 6, 20)
    weight = layer.to_qkv.weight.asnumpy()[..., 0, 0]
    q, k, v = np.einsum("oc,bcn->bon", weight, normed).reshape(2, 3, 6, 20).swapaxes(0, 1)
    scores = np.einsum("bcn,bcm->bnm", q, k) / np.sqrt(6)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = np.einsum("oc,bcn->bon", layer.to_out.weight.asnumpy()[..., 0, 0], np.einsum("bnm,bcm->bcn", weights, v))
    expected = x.asnumpy() + (out + layer.to_out.bias.asnumpy()[None, :, None]).reshape(x.shape)
    np.testing.assert_allclose(layer(x).asnumpy(), expected, atol=1e-5)


@pytest.mark.parametrize("affine", [False, True])
def test_modulation_against_numpy(affine):
    layer, x, embedding = Modulation(4, 6, affine), tensor(2, 6, 3, 5), tensor(2, 4)
    numbers = embedding.asnumpy() @ layer.dense.weight.asnumpy().T + layer.dense.bias.asnumpy()
    gain, shift = (1 + numbers[:, :6], numbers[:, 6:]) if affine else (np.ones((2, 6)), numbers)
    expected = x.asnumpy() * gain[..., None, None] + shift[..., None, None]
    np.testing.assert_allclose(layer(x, embedding).asnumpy(), expected, atol=1e-5)


def test_the_embedding_ends_before_the_last_frequency():
    found = SinusoidalEmbedding(8, to_the_end=False)(ms.Tensor([0.25], ms.float32)).asnumpy()
    angles = 0.25 * 10000.0 ** (-np.arange(4) / 4)
    np.testing.assert_allclose(found[0], np.concatenate([np.sin(angles), np.cos(angles)]), atol=1e-6)


def test_an_impossible_width_is_refused():
    with pytest.raises(UserError, match="width must be an even number"):
        SR3UNet(**(SIZES | {"width": 3, "groups": 1}))
