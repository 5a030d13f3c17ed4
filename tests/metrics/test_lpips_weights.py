"""Finding the weights of LPIPS in folders, and downloading them from a server on this machine."""

import dataclasses
import hashlib
import http.server
import re
import threading

import numpy as np
import pytest

from src.cache_folder import cache_folder
from src.errors import UserError
from src.metrics import lpips_weights
from src.metrics.lpips_weights import FILES, LPIPSUnavailable, WeightFile, fetch, find_weights, load_lpips

CONTENT = bytes(range(256)) * 3000


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at any path; /truncated ends early, /missing is not there."""

    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/silent":
            self.server.released.wait(10)
            return
        self.wfile.write(CONTENT[:1000] if self.path == "/truncated" else CONTENT)

    def log_message(self, *args):
        """Keep the test's output quiet."""


@pytest.fixture
def server(monkeypatch):
    """The address of a running HTTP server on 127.0.0.1, reached without any proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.released = threading.Event()
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.released.set()
    httpd.shutdown()
    httpd.server_close()
    thread.join()


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
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
        address = f"http://127.0.0.1:{closed.server_port}/a"
    with pytest.raises(UserError, match="cannot download .*refused.*check the network and the proxy"):
        fetch(published(address), tmp_path)
    assert entries(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_no_network_error(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the LPIPS weights"):
        fetch(published(f"{server}/good"), tmp_path / "file")


def test_only_what_is_missing_is_downloaded(server, tmp_path, monkeypatch):
    backbone, linear = FILES["alex"]
    linear = dataclasses.replace(linear, url=f"{server}/lin", sha256=hashlib.sha256(CONTENT).hexdigest())
    backbone = dataclasses.replace(backbone, url=f"{server}/missing")
    monkeypatch.setitem(lpips_weights.FILES, "alex", (backbone, linear))
    (tmp_path / "alexnet-owt-7be5be79.pth").write_bytes(b"here")
    paths = find_weights("alex", tmp_path, download=True)
    assert [path.name for path in paths] == ["alexnet-owt-7be5be79.pth", "lpips_lin_alex_v0.1.pth"]
    assert find_weights("alex", tmp_path) == paths


def test_without_being_asked_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(lpips_weights, "urlopen", None)  # a call would be a TypeError
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
