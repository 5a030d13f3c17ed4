"""Features, FID and IS of small sets against pytorch-fid's and torch-fidelity's numbers, weights by formula.

``benchmarks/inception_reference.py`` makes the numbers.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from src.errors import UserError
from src.metrics import weight_files
from src.metrics.fid import InceptionScore, Moments, frechet_distance
from src.metrics.inception import ConvReLU, InceptionV3, inception_from_arrays, load_inception
from src.metrics.picture_sets import PREPARATIONS
from tests.metrics.inception_formula import formula_weights, pictures

GOLDEN = json.loads((Path(__file__).parent / "inception_golden.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def weights():
    """Return the weights by formula under the names of pytorch-fid's file."""
    shapes = {"fc.weight": (1008, 2048)}
    for name, cell in InceptionV3().cells_and_names():
        if isinstance(cell, ConvReLU):
            shapes[f"{name}.conv.weight"] = cell.conv.weight.shape
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{name}.bn.{part}"] = cell.conv.weight.shape[:1]
    return formula_weights(shapes)


@pytest.fixture(scope="module")
def inception(weights):
    unused = {"fc.bias": np.ones(1008, np.float32), "Conv2d_1a_3x3.bn.num_batches_tracked": np.array(0)}
    return inception_from_arrays(weights | unused)


@pytest.fixture(scope="module", params=PREPARATIONS)
def seen(request, inception, photo):
    """Return (form, what the network makes of the first set, and of the other)."""
    prepare = PREPARATIONS[request.param]
    return request.param, *(inception(np.stack([prepare(picture) for picture in some])) for some in pictures(photo))


def test_features_are_those_of_pytorch_fid(seen):
    form, (features, logits), _ = seen
    assert (features.shape, logits.shape) == ((3, 2048), (3, 1008))
    expected = np.array(GOLDEN["features"])
    difference = np.abs(features[:, ::128] - expected).max()
    assert difference < 1e-4 if form == "pytorch-fid" else difference > 1e-3


def test_fid_is_that_of_the_program(seen):
    form, *outputs = seen
    gaussians = []
    for features, _ in outputs:
        moments = Moments()
        moments.add(features[:1])
        moments.add(features[1:])
        gaussians.append(moments.gaussian())
    assert frechet_distance(*gaussians) == pytest.approx(GOLDEN["fid"][form], rel=1e-4)


def test_inception_score_is_that_of_torch_fidelity_where_pictures_are_prepared_as_there(seen):
    form, (_, logits), _ = seen
    score = InceptionScore(3, splits=2)
    score.add(logits)
    assert (score.result() == pytest.approx(GOLDEN["is"], rel=1e-4)) == (form == "torch-fidelity")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("Mixed_6a.branch3x3.bn.bias", None, r"expected Mixed_6a.branch3x3.bn.bias of shape \(384,\), found nothing"),
        ("Conv2d_1a_3x3.conv.weight", lambda w: w[:, :1], r"of shape \(32, 3, 3, 3\), found shape \(32, 1, 3, 3\)"),
        ("fc.weight", lambda w: w[:1000], r"expected fc.weight of shape \(1008, 2048\), found shape \(1000, 2048\)"),
        ("Conv2d_1a_3x3.conv.weight", lambda w: w * np.nan, "found an infinity or NaN"),
        ("Conv2d_1a_3x3.bn.running_var", lambda w: -w, "found a negative number"),
        ("Conv2d_1a_3x3.bn.weight", lambda w: w.tolist(), "found nothing"),
    ],
)
def test_wrong_weights_are_refused(weights, name, change, message):
    changed = weights | {name: change(weights[name]) if change else None}
    with pytest.raises(UserError, match=message):
        inception_from_arrays(changed)


def test_a_file_is_read_and_one_of_something_else_is_refused_by_name(weights, monkeypatch):
    read = {"w.pth": weights, "list.pth": [1], "empty.pth": {}}
    monkeypatch.setattr(weight_files, "read_torch", read.get)
    assert load_inception("w.pth")
    for path, message in (
        ("list.pth", "expected a dict of tensors, found a list"),
        ("empty.pth", "expected Conv2d_1a"),
    ):
        with pytest.raises(UserError, match=f"Inception weights {path}: {message}.*; expected pt_inception-2015"):
            load_inception(path)
