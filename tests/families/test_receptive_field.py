"""The radii against the networks: how far a pixel that is not a number spreads."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.families.registry import family_of
from src.families.rrdb.family import radius as rrdb_radius
from src.families.rrdb.network import RRDBNet
from src.families.sr3.family import unet_radius as sr3_radius
from src.families.sr3.network import SR3UNet
from src.families.srdiff.family import condition_radius, unet_radius
from src.families.srdiff.network import ConditionalUNet
from src.inference.upscaler import to_network
from tests import tiny, tiny_sr3, tiny_srgan

RNG = np.random.default_rng(0)


def reach(network, size, cell=1, factor=1):
    """The largest distance, in input pixels, from an input pixel that is not a number to an output that it changes.

    Args:
        network: NumPy to NumPy.
        size: of the picture; ``factor`` times that is the result's.
        cell: strides make the reach depend on where in a cell of so many pixels the pixel lies: all are tried.
    """
    far = 0
    for row in range(size[0] // 2, size[0] // 2 + cell):
        x = RNG.uniform(-1, 1, (1, 3, *size)).astype(np.float32)
        before = network(x)
        x[0, :, row, size[1] // 2] = np.nan
        same = np.isclose(network(x), before, rtol=1e-3, atol=1e-5)  # clipped, NaN is 0 or 1
        rows = np.flatnonzero(~same.all(axis=(0, 1, 3))) // factor
        far = max(far, row - rows.min(), rows.max() - row)
    return far


@pytest.mark.parametrize(("levels", "fold"), [(1, 1), (2, 1), (3, 1), (2, 4), (3, 2)])
def test_unet(levels, fold):
    ms.set_context(mode=ms.GRAPH_MODE)
    net = ConditionalUNet(4, (1,) * levels, 4, 4, space_to_depth=fold)
    radius = unet_radius(levels, fold)
    side = 2 ** (levels - 1) * fold
    size = ((2 * radius // side + 4) * side, 2 * side)
    condition = ms.Tensor(np.zeros((1, 4, size[0] // fold, size[1] // fold)), ms.float32)
    t = ms.Tensor([1], ms.int32)
    found = reach(lambda x: net(ms.Tensor(x), t, condition).asnumpy(), size, side)
    assert 0.75 * radius - side < found <= radius


@pytest.mark.parametrize(("scale", "upsampler"), [(4, "pixelshuffle"), (2, "nearest"), (8, "nearest")])
def test_rrdb(scale, upsampler):
    ms.set_context(mode=ms.GRAPH_MODE)
    net = RRDBNet(4, 2, 2, scale, upsampler)
    if upsampler == "nearest":
        net.upsampler.last_conv.bias.set_data(ms.Tensor([0.4, 0.5, 0.6], ms.float32))  # inside the clipping
    radius = rrdb_radius(2, scale, upsampler)
    size = (2 * radius + 8, 4)
    whole = reach(lambda x: net(ms.Tensor(x)).asnumpy(), size, factor=scale)
    assert 0.75 * radius < whole <= radius


@pytest.mark.parametrize(
    ("form", "more"),
    [
        ("srresnet", ()),
        ("srresnet", ("data.scale=2",)),
        ("srresnet", ("data.scale=8", "generator.blocks=1")),
        ("x2plus", ()),
        ("x1", ()),
        ("rrdb", ("data.scale=1",)),
        ("msrresnet", ()),
        ("msrresnet", ("data.scale=2", "data.patch_size=32")),
        ("msrresnet", ("data.scale=4", "data.patch_size=32")),
        ("compact", ()),
        ("compact", ("data.scale=1", "generator.blocks=5")),
    ],
)
def test_generators(form, more):
    ms.set_context(mode=ms.GRAPH_MODE)
    family = family_of(tiny_srgan.config(form, *more))
    net, radius = family.model(), family.reach().network // family.scale
    size = ((2 * radius + 16) // 4 * 4, 8)
    found = reach(lambda x: net(ms.Tensor(x)).asnumpy(), size, family.unshuffle, family.scale)
    assert 0.75 * radius - family.unshuffle < found <= radius


@pytest.mark.parametrize("form", ["srresnet", "x2plus", "x1", "msrresnet", "compact"])
def test_tiles_of_generators_give_the_whole_picture(form, photo):
    made = tiny_srgan.config(form, "generator.blocks=1")
    nets, lr = tiny.networks(made), to_network([photo[:31, :301]])
    whole = tiny.around(made, nets, tile=0).sample(lr)
    reach = family_of(made).reach().network
    tiled = tiny.around(made, nets, tile=2 * reach + 64, halo=reach)
    assert len(tiled.tiling.grid(1, 31, 301).windows) > 1
    np.testing.assert_allclose(tiled.sample(lr), whole, atol=2e-5)


def test_condition():
    ms.set_context(mode=ms.GRAPH_MODE)
    encoder = RRDBNet(4, 5, 2, 4, "pixelshuffle")
    net = ConditionalUNet(4, (1,), encoder.condition_channels, 4, add_lr_up=True)
    radius = condition_radius(5)

    def condition(lr):
        lr = ms.Tensor(lr)
        return net.project(encoder.condition(lr), encoder.bicubic(lr)).asnumpy()

    found = reach(condition, (2 * radius + 8, 4), factor=4)
    assert 0.75 * radius < found <= radius


@pytest.mark.parametrize(("levels", "blocks", "fold"), [(1, 1, 1), (2, 1, 1), (3, 2, 1), (2, 1, 2)])
def test_sr3(levels, blocks, fold):
    ms.set_context(mode=ms.GRAPH_MODE)
    net = SR3UNet(4, (1,) * levels, blocks, (), groups=1, conditional=False, dropout=0.0, space_to_depth=fold)
    for _, cell in net.cells_and_names():
        if hasattr(cell, "norm"):  # it sees everything, and so does the attention in the middle
            cell.norm = nn.Identity()
    net.mid_block1.attention = nn.Identity()
    radius, side = sr3_radius(levels, blocks, fold), fold * 2 ** (levels - 1)
    size = ((2 * radius // side + 4) * side, 2 * side)
    level = ms.Tensor([0.5], ms.float32)
    found = reach(lambda x: net(ms.Tensor(x), level).asnumpy(), size, side)
    assert 0.75 * radius - side < found <= radius


def test_attention_s_memory_grows_with_the_square():
    sizes = "sr3.width=64", "sr3.multipliers=[1,2,4,8,8]", "sr3.blocks=2", "sr3.attention=[16]", "sr3.image_size=128"
    family = family_of(tiny_sr3.config("data.scale=8", "data.patch_size=128", "sr3.groups=32", *sizes))
    tiling, pixels = family.tiling(), 512**2
    once, twice = (tiling.memory(tiling.grid(1, side, 64), 1) for side in (64, 128))
    four_times = tiling.memory(tiling.grid(1, 256, 64), 1)
    matrices = 2 * 4 * (pixels / 4**3) ** 2  # two, of float32, at the fourth level
    # a constant, and what grows with the pixels, cancel
    assert four_times - 3 * twice + 2 * once == pytest.approx(matrices * (16 - 3 * 4 + 2))
