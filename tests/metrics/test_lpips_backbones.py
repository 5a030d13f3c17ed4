"""The feature networks of LPIPS: sizes, the smallest picture, and torch's ceil_mode pooling."""

import mindspore as ms
import numpy as np
import pytest

from src.metrics.lpips import BACKBONES, _CeilMaxPool


@pytest.mark.parametrize("net", BACKBONES)
def test_features_have_the_channels_that_are_announced(net):
    features = BACKBONES[net]()
    outputs = features(ms.Tensor(np.zeros((2, 3, 67, 40), np.float32)))
    assert tuple(output.shape[1] for output in outputs) == features.channels
    assert all(output.shape[0] == 2 for output in outputs)


@pytest.mark.parametrize("net", BACKBONES)
def test_the_smallest_picture_leaves_one_pixel(net):
    features = BACKBONES[net]()
    side = features.min_side
    assert features(ms.Tensor(np.zeros((1, 3, side, side), np.float32)))[-1].shape[2:] == (1, 1)


def test_the_numbers_of_the_layers_are_those_of_torchvision():
    expected = {
        "alex": {"0", "3", "6", "8", "10"},
        "vgg": {"0", "2", "5", "7", "10", "12", "14", "17", "19", "21", "24", "26", "28"},
        "squeeze": {"0", "3", "4", "6", "7", "9", "10", "11", "12"},
    }
    for net, numbers in expected.items():
        names = [name for name, _ in BACKBONES[net]().parameters_and_names()]
        assert {name.split(".")[1] for name in names} == numbers
        assert len(names) == {"alex": 10, "vgg": 26, "squeeze": 50}[net]


@pytest.mark.parametrize("side", range(2, 10))
def test_pooling_equals_ceil_mode_of_torch(side):
    torch = pytest.importorskip("torch")
    x = np.abs(np.random.default_rng(side).standard_normal((1, 2, side, side + 1)).astype(np.float32))
    expected = torch.nn.functional.max_pool2d(torch.tensor(x), 3, 2, ceil_mode=True).numpy()
    np.testing.assert_array_equal(_CeilMaxPool()(ms.Tensor(x)).asnumpy(), expected)
