"""Where weights are found, and their download, from a server on this machine."""

import dataclasses
import hashlib
import http.server
import re

import pytest

from src.errors import UserError
from src.host.files import cache_folder
from src.metrics import weight_files
from src.metrics.weight_files import FILES, LPIPS_NETS, WeightFile, WeightsMissing, fetch, find, find_weights
from tests.metrics.conftest import CONTENT


def published(url, content=CONTENT, name="a.pth"):
    return WeightFile(name, url, hashlib.sha256(content).hexdigest(), ())


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_download_arrives_whole(server, tmp_path, capsys):
    path = fetch(published(f"{server}/good"), tmp_path / "new folder" / "缓存")
    assert path.read_bytes() == CONTENT
    assert entries(path.parent) == ["a.pth"]
    assert "a.pth: 100%" in capsys.readouterr().err


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(UserError, match="checksum .* expected .* try again"):
        fetch(published(f"{server}/good", content=b"other"), tmp_path)
    assert entries(tmp_path) == []


def test_an_older_file_survives_a_failed_download(server, tmp_path):
    (tmp_path / "a.pth").write_bytes(b"old")
    with pytest.raises(UserError):
        fetch(published(f"{server}/truncated"), tmp_path)
    assert (tmp_path / "a.pth").read_bytes() == b"old"
    assert entries(tmp_path) == ["a.pth"]


@pytest.mark.parametrize(
    ("page", "reason"), [("truncated", f"ended after 1000 of {len(CONTENT)} bytes"), ("missing", "404")]
)
def test_a_failed_download_leaves_nothing(server, tmp_path, page, reason):
    with pytest.raises(UserError, match=f"cannot download .*{page}: .*{reason}"):
        fetch(published(f"{server}/{page}"), tmp_path)
    assert entries(tmp_path) == []


def test_a_silent_server_is_given_up(server, tmp_path):
    with pytest.raises(UserError, match="cannot download .*timed out"):
        fetch(published(f"{server}/silent"), tmp_path, timeout=0.2)
    assert entries(tmp_path) == []


def test_a_server_that_is_down(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as closed:
        address = f"http://127.0.0.1:{closed.server_port}/a"
    with pytest.raises(UserError, match="cannot download .*refused.*check the network and the proxy"):
        fetch(published(address), tmp_path)
    assert entries(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_no_network_error(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the weights"):
        fetch(published(f"{server}/good"), tmp_path / "file")


def test_a_file_is_found_under_its_own_name_before_any_other(tmp_path):
    file = WeightFile("own.pth", "", "", ("o*.pth",))
    (tmp_path / "own.pth").mkdir()  # a folder is no file
    assert find(file, tmp_path) is None
    (tmp_path / "other.pth").write_bytes(b"")
    assert find(file, tmp_path).name == "other.pth"
    (tmp_path / "own.pth").rmdir()
    (tmp_path / "own.pth").write_bytes(b"")
    assert find(file, tmp_path).name == "own.pth"


def test_only_what_is_missing_is_downloaded(server, tmp_path, monkeypatch):
    backbone, linear = FILES["alex"]
    linear = dataclasses.replace(linear, url=f"{server}/lin", sha256=hashlib.sha256(CONTENT).hexdigest())
    backbone = dataclasses.replace(backbone, url=f"{server}/missing")
    monkeypatch.setitem(weight_files.FILES, "alex", (backbone, linear))
    (tmp_path / "alexnet-owt-7be5be79.pth").write_bytes(b"here")
    paths = find_weights("alex", tmp_path, download=True)
    assert [path.name for path in paths] == ["alexnet-owt-7be5be79.pth", "lpips_lin_alex_v0.1.pth"]
    assert find_weights("alex", tmp_path) == paths


@pytest.mark.parametrize(
    ("net", "folder", "parts"),
    [
        ("vgg", "lpips", ("vgg16-397923af.pth and lpips_lin_vgg_v0.1.pth", "--lpips-download", "--lpips-weights")),
        ("inception", "inception", (FILES["inception"][0].name, "--fid-download", "--fid-weights", "--fid none")),
    ],
)
def test_without_being_asked_nothing_is_downloaded_to_the_cache_folder(tmp_path, monkeypatch, net, folder, parts):
    monkeypatch.setattr(weight_files, "urlopen", None)  # a call would be a TypeError
    monkeypatch.setenv("MINDSPORE_SR_CACHE", str(tmp_path))
    with pytest.raises(WeightsMissing) as caught:
        find_weights(net)
    assert all(part in str(caught.value) for part in (*parts, str(tmp_path / folder)))
    assert "\n" not in str(caught.value)


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(WeightsMissing, match="nowhere"):
        find_weights("alex", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("net", "names"),
    [
        ("squeeze", ["squeezenet1_1_features.pth", "lpips_lin_squeeze_v0.1.pth"]),
        ("squeeze", ["squeezenet1_1-f364aa15.pth", "squeeze.pth"]),
        ("alex", ["alexnet-owt-4df8aa71.pth", "alex.pth"]),
        ("vgg", ["vgg16-397923af.pth", "vgg.pth"]),
        ("vgg16", ["vgg16-397923af.pth"]),
        ("vgg19", ["vgg19-dcbb9e9d.pth"]),
        ("inception", ["pt_inception-2015-12-05-6726825d.pth"]),
        ("inception", ["weights-inception-2015-12-05-6726825d.pth"]),
    ],
)
def test_files_are_found_under_their_usual_names(tmp_path, net, names):
    folder = tmp_path / "my weights"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    assert [path.name for path in find_weights(net, folder)] == names
    assert find_weights(net, folder / names[0]) == [folder / names[0]]


def test_the_table_of_published_files_is_consistent():
    for net, (backbone, *linear) in FILES.items():
        assert re.search(r"-([0-9a-f]{8})\.pth$", backbone.name)[1] == backbone.sha256[:8]
        assert len(linear) == (net in LPIPS_NETS)
        for file in (backbone, *linear):
            assert re.fullmatch("[0-9a-f]{64}", file.sha256) or net == "vgg19"  # of which eight digits are published
            assert file.url.startswith("https://")


def test_an_unknown_network_is_refused(tmp_path):
    with pytest.raises(UserError, match="alex, vgg, squeeze, vgg16, vgg19, inception, not 'resnet'"):
        find_weights("resnet", tmp_path)


def test_the_cache_folder_is_among_the_users_own(tmp_path, monkeypatch):
    monkeypatch.delenv("MINDSPORE_SR_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("lpips") == tmp_path / "xdg" / "mindspore-sr" / "lpips"
    monkeypatch.setenv("MINDSPORE_SR_CACHE", str(tmp_path / "own"))
    assert cache_folder("lpips") == tmp_path / "own" / "lpips"
