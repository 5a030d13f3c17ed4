"""One writer to a folder."""

import fcntl
import subprocess
import sys

import pytest

from src.errors import UserError
from src.host.files import LOCK_NAME, locked
from tests.tiny import ROOT


def test_a_second_holder_is_refused_and_the_folder_is_free_afterwards(tmp_path):
    folder = tmp_path / "new" / "été"
    with locked(folder):
        with pytest.raises(UserError, match="another run is writing to .*été"), locked(folder):
            pass
        with pytest.raises(UserError, match="another run"), locked(folder):
            pass
    with locked(folder):
        assert [path.name for path in folder.iterdir()] == [LOCK_NAME]


def test_it_is_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        assert True


def test_another_process_is_refused(tmp_path):
    program = "import sys; sys.path.insert(0, sys.argv[1]); from src.host.files import locked\nwith locked('.'): pass"
    with locked(tmp_path):
        process = subprocess.run(
            [sys.executable, "-c", program, str(ROOT)], cwd=tmp_path, capture_output=True, text=True
        )
    assert "another run is writing to" in process.stderr
    process = subprocess.run([sys.executable, "-c", program, str(ROOT)], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="cannot write to .*file/run: Not a directory"),
        locked(tmp_path / "file" / "run"),
    ):
        pass


def test_a_file_system_without_locks_is_used_with_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path):
        assert "cannot be locked (Operation not supported)" in caplog.text
