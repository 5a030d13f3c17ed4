"""LPIPS against values of the lpips package, what it refuses, and its feature networks."""

import json

import mindspore as ms
import numpy as np
import pytest
from PIL import Image

from src.errors import UserError
from src.metrics import weight_files
from src.metrics.backbones import BACKBONES, _CeilMaxPool
from src.metrics.lpips import LPIPS, LPIPSDistance, load_lpips, lpips_from_arrays
from src.metrics.weight_files import find_weights
from src.weights.torch_file import read_torch
from tests.metrics.torchvision_formula import torchvision_weights


@pytest.fixture(autouse=True)
def mode_again():
    """What a test sets does not reach the next."""
    before = ms.get_context("mode")
    yield
    ms.set_context(mode=before)


@pytest.fixture(scope="module")
def backbones():
    """The feature networks, with random weights."""
    return {net: build() for net, build in BACKBONES.items()}


@pytest.fixture(scope="module")
def weights():
    return some_weights()


def distance_of(net, arrays):
    return LPIPSDistance(lpips_from_arrays(net, arrays))


@pytest.fixture(scope="module")
def alex(weights):
    return distance_of("alex", weights)


def formula_backbone(net):
    """The weights that golden/lpips describes for alex and vgg, under torchvision's names."""
    parameters = BACKBONES[net]().parameters_and_names()
    return torchvision_weights({f"features.{name.removeprefix('layers.')}": each.shape for name, each in parameters})


def some_weights(net="alex", seed=0):
    """Random weights of the right shapes under the names of the PyTorch files; the linear ones positive."""
    rng = np.random.default_rng(seed)
    arrays = formula_backbone(net)
    for level, channels in enumerate(BACKBONES[net]().channels):
        arrays[f"lin{level}.model.1.weight"] = rng.random((1, channels, 1, 1), np.float32)
    return arrays


def golden_values(shared, net):
    for path in sorted((shared / "golden" / "lpips").glob("*.json")):
        values = json.loads(path.read_text(encoding="utf-8"))["values"]
        if net in values:
            return values[net]
        if net == "squeeze" and "img_001.png" in values:
            return values
    raise AssertionError(f"no golden values for {net}")


def golden_pair(shared, name):
    """HR, and LR upscaled by Pillow's bicubic, as the golden values were made."""
    folder = shared / "data" / "val" / "Set5" / "x4"
    hr = Image.open(folder / "HR" / name).convert("RGB")
    lr = Image.open(folder / "LR" / name).convert("RGB").resize(hr.size, Image.Resampling.BICUBIC)
    return np.array(lr), np.array(hr)


@pytest.mark.parametrize(
    ("net", "mode"),
    [*((net, ms.GRAPH_MODE) for net in BACKBONES), ("squeeze", ms.PYNATIVE_MODE)],
    ids=[*BACKBONES, "pynative"],
)
def test_golden_values(shared, net, mode):
    ms.set_context(mode=mode)
    folder = shared / "weights" / "lpips"
    arrays = read_torch(folder / f"lpips_lin_{net}_v0.1.pth")
    arrays |= read_torch(folder / "squeezenet1_1_features.pth") if net == "squeeze" else formula_backbone(net)
    distance = distance_of(net, arrays)
    values = golden_values(shared, net)
    assert len(values) >= 3
    for name, expected in values.items():
        assert distance(*golden_pair(shared, name)) == pytest.approx(expected, abs=1e-6)


def test_equal_pictures_have_no_distance_and_the_order_does_not_matter(alex, photo):
    a, b = photo[:64, :80], photo[100:164, :80]
    assert alex(a, a) == 0
    assert alex(a, b) == pytest.approx(alex(b, a), rel=1e-5)
    assert alex(a, b) > 0


def test_a_batch_gives_the_distance_of_each_pair():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 3, 3, 40, 36)).astype(np.float32)
    cell = LPIPS("squeeze")
    together = cell(ms.Tensor(x), ms.Tensor(y)).asnumpy()
    apart = [cell(ms.Tensor(x[i : i + 1]), ms.Tensor(y[i : i + 1])).asnumpy()[0] for i in range(3)]
    assert together.shape == (3,)
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-6)


def test_black_pictures_give_a_number(alex, photo):
    black = np.zeros((40, 40, 3), np.uint8)
    assert np.isfinite(alex(black, photo[:40, :40]))


def test_a_picture_too_small_for_the_network_has_no_distance(alex):
    for height, width, expected in ((alex.min_side - 1, 64, None), (1, 1, None), (alex.min_side, 64, 0)):
        picture = np.zeros((height, width, 3), np.uint8)
        assert alex(picture, picture) == expected


def test_the_names_of_the_whole_lpips_model_are_understood(alex, weights, photo):
    slices = {"0": 1, "3": 2, "6": 3, "8": 4, "10": 5}
    whole = {"scaling_layer.shift": np.zeros((1, 3, 1, 1), np.float32)}
    for name, array in weights.items():
        if name.startswith("features."):
            number = name.split(".")[1]
            name = name.replace("features.", f"net.slice{slices[number]}.")
        whole[name] = array
    pair = photo[:64, :64], photo[64:128, :64]
    assert distance_of("alex", whole)(*pair) == alex(*pair)


def test_classifiers_and_unknown_names_are_ignored(weights, photo):
    arrays = weights | {"classifier.1.weight": np.zeros(3), "epoch": 7, 5: None}
    assert distance_of("alex", arrays)(photo[:64, :64], photo[:64, :64]) == 0


def test_weights_of_another_network_are_refused(weights):
    with pytest.raises(UserError, match=r"features.layers.0.weight of shape \(64, 3, 3, 3\) for LPIPS squeeze"):
        distance_of("squeeze", weights)


def test_missing_linear_layers_are_refused(weights):
    with pytest.raises(UserError, match=r"expected linear.0.weight .* found nothing"):
        distance_of("alex", {name: array for name, array in weights.items() if name.startswith("features")})


def test_different_shapes_are_refused(alex):
    with pytest.raises(UserError, match="one shape"):
        alex(np.zeros((64, 64, 3), np.uint8), np.zeros((64, 60, 3), np.uint8))


def test_wrong_files_are_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(weight_files, "read_torch", lambda path: [1, 2])
    with pytest.raises(UserError, match=r"odd.pth: expected a dict of tensors, found a list; expected alexnet"):
        load_lpips("alex", [tmp_path / "odd.pth"])
    arrays = {"features.0.weight": np.zeros((64, 3, 3, 3), np.float32)}
    monkeypatch.setattr(weight_files, "read_torch", lambda path: arrays)
    with pytest.raises(UserError, match=r"weights .*vgg.pth: expected .* \(64, 3, 11, 11\) .*one file of the lpips"):
        load_lpips("alex", [tmp_path / "vgg.pth"])


def test_the_files_of_a_folder_make_a_distance(shared, photo):
    distance = load_lpips("squeeze", find_weights("squeeze", shared / "weights" / "lpips"))
    assert distance.net == "squeeze"
    assert distance(photo[:64, :64], photo[:64, :64]) == 0


@pytest.mark.parametrize("net", BACKBONES)
def test_features_have_the_channels_that_are_announced(net, backbones):
    outputs = backbones[net](ms.Tensor(np.zeros((2, 3, 67, 40), np.float32)))
    assert tuple(output.shape[1] for output in outputs) == backbones[net].channels
    assert all(output.shape[0] == 2 for output in outputs)


@pytest.mark.parametrize("net", BACKBONES)
def test_the_smallest_picture_leaves_one_pixel(net, backbones):
    side = backbones[net].min_side
    assert backbones[net](ms.Tensor(np.zeros((1, 3, side, side), np.float32)))[-1].shape[2:] == (1, 1)


def test_the_numbers_of_the_layers_are_those_of_torchvision(backbones):
    expected = {
        "alex": {"0", "3", "6", "8", "10"},
        "vgg": {"0", "2", "5", "7", "10", "12", "14", "17", "19", "21", "24", "26", "28"},
        "squeeze": {"0", "3", "4", "6", "7", "9", "10", "11", "12"},
    }
    for net, numbers in expected.items():
        names = [name for name, _ in backbones[net].parameters_and_names()]
        assert {name.removeprefix("layers.").split(".")[0] for name in names} == numbers
        assert len(names) == {"alex": 10, "vgg": 26, "squeeze": 50}[net]


@pytest.mark.parametrize("side", range(2, 10))
def test_pooling_equals_ceil_mode_of_torch(side):
    torch = pytest.importorskip("torch")
    x = np.abs(np.random.default_rng(side).standard_normal((1, 2, side, side + 1)).astype(np.float32))
    expected = torch.nn.functional.max_pool2d(torch.tensor(x), 3, 2, ceil_mode=True).numpy()
    np.testing.assert_array_equal(_CeilMaxPool()(ms.Tensor(x)).asnumpy(), expected)
