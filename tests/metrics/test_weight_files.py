"""Downloading weights from a server on this machine."""

import hashlib
import http.server

import pytest

from src.errors import UserError
from src.metrics.weight_files import WeightFile, fetch, find
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
