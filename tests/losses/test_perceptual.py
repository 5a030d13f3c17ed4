"""Perceptual losses with weights by formula: features, losses and gradients as recorded from PyTorch programs."""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.errors import UserError
from src.losses.adversarial import total_variation
from src.losses.perceptual import LPIPSLoss, PerceptualLoss, load_perceptual, parse_layers, perceptual_from_arrays
from src.losses.pixel import PixelLoss
from src.metrics.lpips import LPIPS
from src.metrics.weight_files import WeightsMissing
from tests.metrics.torchvision_formula import torchvision_weights

_CONVOLUTIONS = {
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "vgg19": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
}


def formula(network):
    """The weights that golden/srgan/vgg_formula describes, under torchvision's names."""
    shapes, before = {}, 3
    per_block = (2, 2, 3, 3, 3) if network == "vgg16" else (2, 2, 4, 4, 4)
    widths = [width for width, depth in zip((64, 128, 256, 512, 512), per_block, strict=True) for _ in range(depth)]
    for index, width in zip(_CONVOLUTIONS[network], widths, strict=True):
        shapes |= {f"features.{index}.weight": (width, before, 3, 3), f"features.{index}.bias": (width,)}
        before = width
    return torchvision_weights(shapes)


@pytest.fixture(scope="module")
def weights():
    return {network: formula(network) for network in _CONVOLUTIONS}


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "golden/srgan/vgg_formula/golden.npz")


def loss_of(weights, layers, loss="l1", network="vgg19", normalize=True):
    return perceptual_from_arrays(network, layers, loss, normalize, weights[network])


class Differentiated(nn.Cell):
    def __init__(self, loss):
        super().__init__()
        self.gradient = ms.value_and_grad(loss, 0)

    def construct(self, sr, hr):
        return self.gradient(sr, hr)


def check(golden, name, loss, value=1e-5, gradient=1e-4):
    """Compare a loss and its gradient with the recorded ones, the gradient relative to its largest value."""
    found, slope = Differentiated(loss)(ms.Tensor(golden["sr"]), ms.Tensor(golden["hr"]))
    assert float(found.asnumpy()) == pytest.approx(float(golden[f"loss_{name}"]), rel=value)
    if f"grad_{name}" in golden.files:
        expected = golden[f"grad_{name}"]
        np.testing.assert_allclose(slope.asnumpy(), expected, rtol=0, atol=gradient * np.abs(expected).max())


def test_the_formula_is_that_of_the_recorded(shared, weights):
    sums = json.loads((shared / "golden/srgan/vgg_formula/config.json").read_text(encoding="utf-8"))["weights"]
    assert len(sums) == 2 * 29
    for name, expected in sums.items():
        network, key = name.split(".", 1)
        array = weights[network][key].astype(np.float64)
        np.testing.assert_allclose([array.sum(), np.square(array).sum()], expected, rtol=1e-9, atol=1e-9)


def test_features(golden, weights):
    layers = ("conv1_2", "conv2_2", "relu2_2", "conv3_4", "conv4_4", "conv5_4", "relu5_4")
    picture = ms.Tensor(golden["hr"])
    for kind, normalize in (("norm", True), ("raw", False)):
        features = loss_of(weights, ",".join(layers), normalize=normalize).features(picture)
        for name, feature in zip(layers, features, strict=True):
            name, feature = f"vgg19_{kind}_{name}", feature.asnumpy()
            if name in golden.files:
                recorded = golden[name]
                feature = feature[: recorded.shape[0], : recorded.shape[1]]
                np.testing.assert_allclose(feature, recorded, atol=1e-4)
            elif f"{name}_mean_std" in golden.files:
                np.testing.assert_allclose([feature.mean(), feature.std(ddof=1)], golden[f"{name}_mean_std"], atol=1e-5)


def test_the_last_pooling_of_vgg16(golden, weights):
    (features,) = loss_of(weights, "pool5", network="vgg16", normalize=False).features(ms.Tensor(golden["hr"]))
    np.testing.assert_allclose(features.asnumpy(), golden["vgg16_raw_features30"], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layers", "loss"),
    [
        ("esrgan_conv5_4_l1", "conv5_4", "l1"),
        ("realesrgan_five_l1", "conv5_4=1, conv1_2=0.1,conv2_2=0.1,conv3_4=1,conv4_4=1", "l1"),
        ("srgan_vgg54_mse", f"relu5_4={1 / 12.75**2}", "l2"),
        ("srgan_vgg22_mse", f"relu2_2={1 / 12.75**2}", "l2"),
    ],
)
def test_losses_and_gradients(golden, weights, name, layers, loss):
    check(golden, name, loss_of(weights, layers, loss))


class LeftthomasTotal(nn.Cell):
    def __init__(self, perception):
        super().__init__()
        self.perception, self.pixel = perception, PixelLoss("l2")

    def construct(self, sr, hr):
        adversarial = 1 - (0.3 + 0.6) / 2
        regular = 2e-8 * total_variation(sr)
        return self.pixel(sr, hr) + 0.001 * adversarial + 0.006 * self.perception(sr, hr) + regular


class Variation(nn.Cell):
    def construct(self, sr, hr):
        return total_variation(sr)


def test_leftthomas_losses(golden, weights):
    perception = loss_of(weights, "pool5", "l2", "vgg16", normalize=False)
    check(golden, "leftthomas_perception", perception)
    check(golden, "leftthomas_tv", Variation())
    check(golden, "leftthomas_total", LeftthomasTotal(perception))


@pytest.mark.parametrize(("name", "kind"), [("pixel_mse", "l2"), ("pixel_l1", "l1")])
def test_pixel_losses(golden, name, kind):
    check(golden, name, PixelLoss(kind))


def test_only_what_is_needed_is_built_and_nothing_is_trained():
    loss = PerceptualLoss("vgg19", {"conv2_2": 1.0, "relu1_1": 0.5})
    names = [parameter.name for parameter in loss.get_parameters()]
    expected = [f"perceptual.backbone.layers.{n}.{part}" for n in (0, 2, 5, 7) for part in ("weight", "bias")]
    assert names == expected and loss.weights == (0.5, 1.0)
    assert not loss.trainable_params() and len(loss.backbone.layers) == 8


def test_lpips_is_a_loss_too():
    random = np.random.default_rng(0)
    sr, hr = (ms.Tensor(random.random((2, 3, 40, 36), np.float32)) for _ in range(2))
    net = LPIPS("squeeze")
    expected = net(2 * sr - 1, 2 * hr - 1).asnumpy().mean()
    loss = LPIPSLoss(net)
    found, slope = Differentiated(loss)(sr, hr)
    assert not loss.trainable_params()
    assert float(found.asnumpy()) == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(slope.asnumpy()).all() and np.abs(slope.asnumpy()).max() > 0


def test_black_pictures_have_a_gradient():
    net = LPIPS("squeeze")
    for name, parameter in net.parameters_and_names():
        if name.endswith("bias") or "features.layers.0." in name:
            parameter.set_data(ms.Tensor(np.zeros(parameter.shape, np.float32)))
    black = ms.Tensor(np.zeros((1, 3, 40, 40), np.float32))
    found, slope = Differentiated(LPIPSLoss(net))(black, black)
    assert found.asnumpy() == 0 and (slope.asnumpy() == 0).all()


def test_layers_are_read():
    assert parse_layers("conv1_2=0.1, pool5", "vgg16") == {"conv1_2": 0.1, "pool5": 1.0}
    assert parse_layers("relu5_4=6e-3", "vgg19") == {"relu5_4": 0.006}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv6_1", "vgg16 has no layer 'conv6_1': expected such as .* up to relu5_3 and pool5"),
        ("conv5_4", "vgg16 has no layer 'conv5_4'"),
        ("", "has no layer ''"),
        ("conv1_1,", "has no layer ''"),
        ("conv1_1=1,conv1_1=2", "names conv1_1 twice"),
        ("conv1_1=-1", "weight of conv1_1 must be a number above 0, got '-1'"),
        ("conv1_1=", "above 0, got ''"),
        ("conv1_1=inf", "above 0, got 'inf'"),
        ("conv1_1=much", "above 0, got 'much'"),
    ],
)
def test_wrong_layers_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse_layers(text, "vgg16")


@pytest.mark.parametrize(
    ("network", "name"), [("vgg19", "vgg19-dcbb9e9d.pth"), ("lpips_squeeze", "squeezenet1_1-b8a52dc0.pth")]
)
def test_missing_weights_say_how_to_get_them(tmp_path, network, name):
    with pytest.raises(WeightsMissing, match=f"{name} .*{tmp_path}: .* train.py --vgg-download, .*perceptual.weights"):
        load_perceptual(network, weights=str(tmp_path))


def test_a_file_of_torchvisions_whole_model(tmp_path, golden, weights):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(array) for name, array in weights["vgg16"].items()}
    path = tmp_path / "my vgg.pth"
    torch.save(tensors | {"classifier.0.weight": torch.zeros(3, 4)}, path)
    loss = load_perceptual("vgg16", "pool5", "l2", False, str(path))
    check(golden, "leftthomas_perception", loss)
    with pytest.raises(UserError, match=r"VGG19 weights .*my vgg.pth: expected layers.16.weight .* of torchvision"):
        load_perceptual("vgg19", "conv5_4", weights=str(path))
