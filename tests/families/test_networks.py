"""Shapes, options and refusals of the networks."""

import mindspore as ms
import numpy as np
import pytest

from src.errors import UserError
from src.families.rrdb.network import RRDBNet
from src.families.srdiff.network import ConditionalUNet, SRDiff
from src.layers.layers import LinearAttention, SinusoidalEmbedding


def tensor(*shape):
    return ms.Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("upsampler", ["nearest", "pixelshuffle"])
def test_rrdb_enlarges(scale, upsampler):
    net = RRDBNet(features=8, blocks=2, scale=scale, upsampler=upsampler)
    assert net(tensor(2, 3, 5, 6)).shape == (2, 3, 5 * scale, 6 * scale)


def test_pixelshuffle_rrdb_starts_from_bicubic():
    net, lr = RRDBNet(features=8, blocks=2, scale=4, upsampler="pixelshuffle"), tensor(1, 3, 6, 6)
    bicubic = net.bicubic(lr).asnumpy()
    assert np.abs(net(lr).asnumpy() - bicubic).max() < 1e-5


@pytest.mark.parametrize("blocks", [2, 4, 5, 8])
def test_the_condition_is_every_third_feature(blocks):
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        net, lr = RRDBNet(features=8, blocks=blocks), tensor(1, 3, 4, 4)
        features = [feature.asnumpy() for feature in net.trunk_features(lr)]
        condition = net.condition(lr).asnumpy()
    finally:
        ms.set_context(mode=ms.GRAPH_MODE)
    assert len(features) == blocks + 1
    assert np.allclose(condition, np.concatenate(features[2::3], axis=1), atol=1e-6)
    assert condition.shape[1] == net.condition_channels


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attention": True},
        {"groups": 4},
        {"add_lr_up": True},
        {"space_to_depth": 2},
        {"space_to_depth": 4, "attention": True, "groups": 2, "add_lr_up": True},
        {"scale": 8},
        {"scale": 2, "multipliers": (1, 2)},
    ],
)
def test_unet_keeps_the_size_with_every_option(options):
    scale = options.get("scale", 4)
    unet = ConditionalUNet(**({"width": 8, "multipliers": (1, 2, 2), "scale": scale} | options), condition_channels=8)
    model = SRDiff(RRDBNet(features=8, blocks=2, scale=scale), unet)
    side = 2 * unet.size_multiple * scale // 2
    condition = unet.project(tensor(2, 8, side // scale, side // scale), tensor(2, 3, side, side))
    r = unet.space_to_depth
    assert condition.shape == (2, 8, side // r, side // r)
    out = model(tensor(2, 3, side, side), ms.Tensor([0, 99], ms.int32), condition)
    assert out.shape == (2, 3, side, side)
    assert np.isfinite(out.asnumpy()).all()


def test_every_parameter_of_the_unet_has_a_gradient():
    unet = ConditionalUNet(8, (1, 2), condition_channels=8, scale=4, attention=True, groups=4, add_lr_up=True)
    unet.mid_attention.gate.set_data(ms.Tensor(np.ones(1), ms.float32))
    features, x, t = tensor(1, 8, 4, 4), tensor(1, 3, 16, 16), ms.Tensor([3], ms.int32)

    def loss():
        return unet(x, t, unet.project(features, x)).sum()

    parameters = unet.trainable_params()
    _, gradients = ms.value_and_grad(loss, None, parameters)()
    untouched = [p.name for p, g in zip(parameters, gradients, strict=True) if not np.abs(g.asnumpy()).max() > 0]
    assert untouched == []


def test_attention_against_numpy():
    layer, x = LinearAttention(6, heads=2, head_channels=3), tensor(2, 6, 4, 5)
    assert np.array_equal(layer(x).asnumpy(), x.asnumpy())  # the gate starts shut
    layer.gate.set_data(ms.Tensor([0.7], ms.float32))
    weight = layer.to_qkv.weight.asnumpy()[..., 0, 0]
    q, k, v = np.einsum("oc,bcn->bon", weight, x.asnumpy().reshape(2, 6, 20)).reshape(2, 3, 2, 3, 20).swapaxes(0, 1)
    k = np.exp(k - k.max(-1, keepdims=True))
    k /= k.sum(-1, keepdims=True)
    read = np.einsum("bhde,bhdn->bhen", np.einsum("bhdn,bhen->bhde", k, v), q).reshape(2, 6, 20)
    out = np.einsum("oc,bcn->bon", layer.to_out.weight.asnumpy()[..., 0, 0], read)
    out = (out + layer.to_out.bias.asnumpy()[None, :, None]).reshape(x.shape)
    assert np.abs(layer(x).asnumpy() - (x.asnumpy() + 0.7 * out)).max() < 1e-5


def test_embedding_is_sines_then_cosines():
    found = SinusoidalEmbedding(8)(ms.Tensor([0, 7], ms.int32)).asnumpy()
    angles = 7 * 10000.0 ** (-np.arange(4) / 3)
    assert np.allclose(found[0], [0] * 4 + [1] * 4)
    assert np.allclose(found[1], np.concatenate([np.sin(angles), np.cos(angles)]), atol=1e-5)


def test_an_impossible_width_is_refused():
    with pytest.raises(UserError, match="width must be an even number"):
        ConditionalUNet(3, (1, 2), 8)
