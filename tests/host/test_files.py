"""Files that are either whole or not there, and one writer to a folder."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from src.errors import UserError
from src.host.files import LOCK_NAME, locked, remove_leftovers, replacing, write_text
from tests.tiny import ROOT


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


def test_a_second_holder_is_refused_and_the_folder_is_free_afterwards(tmp_path):
    folder = tmp_path / "new" / "été"
    with locked(folder):
        with pytest.raises(UserError, match="another run is writing to .*été"), locked(folder):
            pass
        with pytest.raises(UserError, match=rf"another run .*\(process {os.getpid()}\)"), locked(folder):
            pass
        assert (folder / LOCK_NAME).read_text() == str(os.getpid())
    assert (folder / LOCK_NAME).read_text() == ""
    with locked(folder):
        assert [path.name for path in folder.iterdir()] == [LOCK_NAME]


def test_it_is_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        assert True


def test_another_process_is_refused(tmp_path):
    program = "import sys; sys.path.insert(0, sys.argv[1]); from src.host.files import locked\nwith locked('.'): pass"
    command = [sys.executable, "-c", program, str(ROOT)]
    with locked(tmp_path):
        process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "another run is writing to" in process.stderr


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "run"
    with pytest.raises(UserError, match="cannot write to .*file/run: Not a directory"), locked(folder):
        pass


def test_a_file_system_without_locks_is_used_with_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path):
        assert "cannot be locked (Operation not supported)" in caplog.text
