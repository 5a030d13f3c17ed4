"""Files that are either whole or not there."""

import errno
import os

import pytest

from src.errors import UserError
from src.host.files import remove_leftovers, replacing, write_text


def test_it_writes_and_replaces(tmp_path):
    path = tmp_path / "new folder" / "é.txt"
    for text in ("eins", "zwei – 2"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert [p.name for p in path.parent.iterdir()] == ["é.txt"]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        assert temporary.suffix == ".bin" and temporary.parent == tmp_path
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(tmp_path, number):
    message = r"no space left on the disk for the checkpoint .*w\.ckpt: free some space"
    with pytest.raises(UserError, match=message), replacing(tmp_path / "w.ckpt", "checkpoint") as temporary:
        temporary.write_text("half")
        raise OSError(number, os.strerror(number))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write the file .*: (Not a directory|File exists); name a folder"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_a_path_that_is_a_folder(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(UserError, match="cannot write the file .*Is a directory"):
        write_text(tmp_path / "a.txt", "x")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_nothing_written_is_an_error(tmp_path):
    with pytest.raises(UserError, match="cannot write"), replacing(tmp_path / "a.txt"):
        pass


def test_leftovers_are_what_replacing_would_have_renamed(tmp_path):
    with replacing(tmp_path / "a.b.ckpt") as temporary:
        temporary.write_text("whole")
        name = temporary.name
    others = [".lock", ".x.tmp", "a.12.tmp.ckpt", ".a.tmp.ckpt"]
    for each in [name, *others]:
        (tmp_path / each).write_text("half")
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "a.b.ckpt"])
    remove_leftovers(tmp_path / "missing")
