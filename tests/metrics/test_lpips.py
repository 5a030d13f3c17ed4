"""LPIPS against values of the lpips package, and what it refuses."""

import json

import mindspore as ms
import numpy as np
import pytest
from PIL import Image

from src.errors import UserError
from src.metrics.lpips import BACKBONES, LPIPS, lpips_from_arrays
from src.weights.torch_file import read_torch


@pytest.fixture(params=[ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
def mode(request):
    """Run a test in both of mindspore's modes."""
    before = ms.get_context("mode")
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=before)


def formula_backbone(net):
    """The weights that golden/lpips describes for alex and vgg, under torchvision's names."""
    parameters = BACKBONES[net]().parameters_and_names()
    shapes = {name.removeprefix("layers."): parameter.shape for name, parameter in parameters}
    arrays = {}
    for index, name in enumerate(sorted(shapes)):
        draw = np.random.RandomState(100 + index).standard_normal(shapes[name])
        factor = np.sqrt(2 / np.prod(shapes[name][1:])) if name.endswith("weight") else 0.05
        arrays[f"features.{name}"] = (draw * factor).astype(np.float32)
    return arrays


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


@pytest.mark.parametrize("net", ["alex", "vgg", "squeeze"])
def test_golden_values(shared, net, mode):
    folder = shared / "weights" / "lpips"
    arrays = read_torch(folder / f"lpips_lin_{net}_v0.1.pth")
    arrays |= read_torch(folder / "squeezenet1_1_features.pth") if net == "squeeze" else formula_backbone(net)
    distance = lpips_from_arrays(net, arrays)
    values = golden_values(shared, net)
    assert len(values) >= 3
    for name, expected in values.items():
        assert distance(*golden_pair(shared, name)) == pytest.approx(expected, abs=1e-6)


def test_equal_pictures_have_no_distance_and_the_order_does_not_matter(photo):
    distance = lpips_from_arrays("alex", some_weights())
    a, b = photo[:64, :80], photo[100:164, :80]
    assert distance(a, a) == 0
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-5)
    assert distance(a, b) > 0


def test_a_batch_gives_the_distance_of_each_pair(photo):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 3, 3, 40, 36)).astype(np.float32)
    cell = LPIPS("squeeze")
    together = cell(ms.Tensor(x), ms.Tensor(y)).asnumpy()
    apart = [cell(ms.Tensor(x[i : i + 1]), ms.Tensor(y[i : i + 1])).asnumpy()[0] for i in range(3)]
    assert together.shape == (3,)
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-6)


def test_black_pictures_give_a_number(photo):
    black = np.zeros((40, 40, 3), np.uint8)
    assert np.isfinite(lpips_from_arrays("alex", some_weights())(black, photo[:40, :40]))


def test_a_picture_too_small_for_the_network_has_no_distance():
    distance = lpips_from_arrays("alex", some_weights())
    tiny = np.zeros((distance.min_side - 1, 64, 3), np.uint8)
    assert distance(tiny, tiny) is None
    assert distance(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)) is None
    assert distance(np.zeros((distance.min_side, 64, 3), np.uint8), np.zeros((distance.min_side, 64, 3), np.uint8)) == 0


def test_the_names_of_the_whole_lpips_model_are_understood(photo):
    arrays = some_weights()
    slices = {"0": 1, "3": 2, "6": 3, "8": 4, "10": 5}
    whole = {"scaling_layer.shift": np.zeros((1, 3, 1, 1), np.float32)}
    for name, array in arrays.items():
        if name.startswith("features."):
            number = name.split(".")[1]
            name = name.replace("features.", f"net.slice{slices[number]}.")
        whole[name] = array
    pair = photo[:64, :64], photo[64:128, :64]
    assert lpips_from_arrays("alex", whole)(*pair) == lpips_from_arrays("alex", arrays)(*pair)


def test_classifiers_and_unknown_names_are_ignored(photo):
    arrays = some_weights() | {"classifier.1.weight": np.zeros(3), "epoch": 7, 5: None}
    assert lpips_from_arrays("alex", arrays)(photo[:64, :64], photo[:64, :64]) == 0


def test_weights_of_another_network_are_refused():
    with pytest.raises(UserError, match=r"features.layers.0.weight of shape \(64, 3, 3, 3\) for LPIPS squeeze"):
        lpips_from_arrays("squeeze", some_weights("alex"))


def test_missing_linear_layers_are_refused():
    with pytest.raises(UserError, match=r"expected linear.0.weight .* found nothing"):
        lpips_from_arrays("alex", formula_backbone("alex"))


def test_different_shapes_are_refused():
    with pytest.raises(UserError, match="one shape"):
        lpips_from_arrays("alex", some_weights())(np.zeros((64, 64, 3), np.uint8), np.zeros((64, 60, 3), np.uint8))
