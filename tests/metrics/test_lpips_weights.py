"""Finding the weights of LPIPS in folders, and downloading what is missing."""

import dataclasses
import hashlib
import re

import numpy as np
import pytest

from src.errors import UserError
from src.host.files import cache_folder
from src.metrics import weight_files
from src.metrics.weight_files import FILES, LPIPSUnavailable, find_weights, load_lpips
from tests.metrics.conftest import CONTENT


def test_only_what_is_missing_is_downloaded(server, tmp_path, monkeypatch):
    backbone, linear = FILES["alex"]
    linear = dataclasses.replace(linear, url=f"{server}/lin", sha256=hashlib.sha256(CONTENT).hexdigest())
    backbone = dataclasses.replace(backbone, url=f"{server}/missing")
    monkeypatch.setitem(weight_files.FILES, "alex", (backbone, linear))
    (tmp_path / "alexnet-owt-7be5be79.pth").write_bytes(b"here")
    paths = find_weights("alex", tmp_path, download=True)
    assert [path.name for path in paths] == ["alexnet-owt-7be5be79.pth", "lpips_lin_alex_v0.1.pth"]
    assert find_weights("alex", tmp_path) == paths


def test_without_being_asked_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(weight_files, "urlopen", None)  # a call would be a TypeError
    with pytest.raises(LPIPSUnavailable) as caught:
        find_weights("vgg", tmp_path)
    message = str(caught.value)
    for part in ("vgg16-397923af.pth and lpips_lin_vgg_v0.1.pth", str(tmp_path), "--lpips-download", "--lpips-weights"):
        assert part in message
    assert "\n" not in message


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(LPIPSUnavailable, match="nowhere"):
        find_weights("alex", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("net", "names"),
    [
        ("squeeze", ["squeezenet1_1_features.pth", "lpips_lin_squeeze_v0.1.pth"]),
        ("squeeze", ["squeezenet1_1-f364aa15.pth", "squeeze.pth"]),
        ("alex", ["alexnet-owt-4df8aa71.pth", "alex.pth"]),
        ("vgg", ["vgg16-397923af.pth", "vgg.pth"]),
    ],
)
def test_files_are_found_under_their_usual_names(tmp_path, net, names):
    folder = tmp_path / "my weights"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    assert [path.name for path in find_weights(net, folder)] == names


def test_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("MINDSPORE_SR_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("lpips") == tmp_path / "xdg" / "mindspore-sr" / "lpips"
    monkeypatch.setenv("MINDSPORE_SR_CACHE", str(tmp_path / "own"))
    assert cache_folder("lpips") == tmp_path / "own" / "lpips"
    with pytest.raises(LPIPSUnavailable, match="own"):
        find_weights("alex")


def test_the_table_of_published_files_is_consistent():
    for backbone, linear in FILES.values():
        assert re.search(r"-([0-9a-f]{8})\.pth$", backbone.name)[1] == backbone.sha256[:8]
        for file in (backbone, linear):
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert file.url.startswith("https://")


def test_an_unknown_network_is_refused(tmp_path):
    with pytest.raises(UserError, match="alex, vgg, squeeze, not 'resnet'"):
        find_weights("resnet", tmp_path)


def test_a_file_without_tensors_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"odd.pth: expected a dict of tensors, found a list; expected alexnet"):
        load_lpips("alex", [tmp_path / "odd.pth"], lambda path: [1, 2])


def test_files_of_another_network_are_refused_by_name(tmp_path):
    arrays = {"features.0.weight": np.zeros((64, 3, 3, 3), np.float32)}
    with pytest.raises(UserError, match=r"weights .*vgg.pth: expected .* \(64, 3, 11, 11\) .*one file of the lpips"):
        load_lpips("alex", [tmp_path / "vgg.pth"], lambda path: arrays)


def test_the_files_of_a_folder_make_a_distance(shared, photo):
    from src.weights.torch_file import read_torch

    paths = find_weights("squeeze", shared / "weights" / "lpips")
    distance = load_lpips("squeeze", paths, read_torch)
    assert distance.net == "squeeze"
    assert distance(photo[:64, :64], photo[:64, :64]) == 0
