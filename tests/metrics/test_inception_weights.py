"""Where the weights of Inception are found."""

import dataclasses
import hashlib

import pytest

from src.errors import UserError
from src.metrics import weight_files
from src.metrics.weight_files import FILE, find_inception
from tests.metrics.conftest import CONTENT


@pytest.mark.parametrize("name", ["pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"])
def test_a_folder_or_the_file_itself_is_named(tmp_path, name):
    path = tmp_path / "my weights" / name
    path.parent.mkdir()
    path.write_bytes(b"")
    assert find_inception(path.parent) == find_inception(path) == path


def test_the_cache_folder_is_where_it_is_looked_for_and_nothing_is_fetched_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr(weight_files, "urlopen", None)  # a call would be a TypeError
    monkeypatch.setenv("MINDSPORE_SR_CACHE", str(tmp_path))
    with pytest.raises(UserError) as caught:
        find_inception()
    for part in (FILE.name, str(tmp_path / "inception"), "--fid-download", "--fid-weights", "--fid none"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_is_fetched_where_that_is_asked_for(server, tmp_path, monkeypatch):
    file = dataclasses.replace(FILE, url=f"{server}/good", sha256=hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(weight_files, "FILE", file)
    path = find_inception(tmp_path / "new", download=True)
    assert path.read_bytes() == CONTENT
    assert find_inception(tmp_path / "new") == path


def test_the_published_file_is_named_after_its_checksum():
    assert FILE.name.endswith(f"-{FILE.sha256[:8]}.pth") and FILE.url.endswith(FILE.name)
