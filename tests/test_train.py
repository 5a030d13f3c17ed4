"""train.py as a user runs it: whole small runs, signals, a second run, a full disk."""

import os
import shutil
import signal
import subprocess
import time

import mindspore as ms
import pytest

from src.cli import train
from src.errors import UserError
from src.weights.checkpoint import load_checkpoint
from tests import tiny


@pytest.fixture
def cwd(tmp_path):
    """A folder to run in, which must be empty afterwards."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


def arguments(system, pictures, output, *more):
    flags = [word for word in more if word.startswith("--")]
    settings = [word for word in more if not word.startswith("--")]
    return [*tiny.settings(system, pictures, *settings), "--output", output, "--device", "CPU", *flags]


@pytest.mark.slow
def test_both_stages(tiny_pictures, tmp_path, cwd):
    first, second = tmp_path / "my runs é" / "1", tmp_path / "my runs é" / "2"
    status, out, lines = tiny.run("train.py", *arguments("rrdb", tiny_pictures, first), cwd=cwd)
    assert (status, out) == (0, ""), lines
    encoder = f"encoder.checkpoint={first / 'model.ckpt'}"
    status, out, lines = tiny.run("train.py", *arguments("srdiff", tiny_pictures, second, encoder), cwd=cwd)
    assert (status, out) == (0, ""), lines
    assert lines[0] == f"the encoder is {first / 'model.ckpt'}'s, after 4 steps"
    assert "srdiff_lite_x4: steps 0 to 4, 3 pictures" in lines
    assert lines[-1] == f"finished: {second / 'model.ckpt'}"
    one, two = (load_checkpoint(path / "model.ckpt").arrays for path in (first, second))
    assert all((two[name] == one[name]).all() for name in one)  # the frozen encoder

    status, out, lines = tiny.run("train.py", *arguments("srdiff", tiny_pictures, second, encoder), cwd=cwd)
    assert (status, out) == (2, "")
    assert lines[-1].startswith(f"error: {second} holds a run already: add --resume")


@pytest.mark.slow
def test_a_dry_run_prints_and_writes_nothing(tiny_pictures, tmp_path, cwd):
    status, out, lines = tiny.run("train.py", *arguments("rrdb", tiny_pictures, tmp_path / "run", "--dry-run"), cwd=cwd)
    assert status == 0
    assert all(line.endswith("; LR is made by bicubic") for line in lines)
    assert len(out.splitlines()) == 6 and "parameters" in out and not (tmp_path / "run").exists()


# While a graph runs, mindspore makes a SIGTERM of Ctrl-C: either may come of it.
@pytest.mark.slow
@pytest.mark.parametrize(("number", "statuses"), [(signal.SIGINT, (130, 143)), (signal.SIGTERM, (143,))])
def test_a_signal_saves_and_a_second_run_is_refused(tiny_pictures, tmp_path, cwd, number, statuses):
    run = tmp_path / "run"
    long = "train.steps=1000000", "train.save_every=1000000"
    process = tiny.start("train.py", *arguments("rrdb", tiny_pictures, run, *long), cwd=cwd)
    try:
        curve = run / "curve.csv"
        while process.poll() is None and not (curve.exists() and len(curve.read_text().splitlines()) > 2):
            time.sleep(0.05)
        if number == signal.SIGINT:
            second, _, lines = tiny.run("train.py", *arguments("rrdb", tiny_pictures, run), cwd=cwd)
            assert second == 2 and lines[-1].startswith(f"error: another run is writing to {run}")
        process.send_signal(number)
        found, out, lines = tiny.finish(process)
    finally:
        process.kill()
    assert found in statuses and out == "", lines
    assert lines[-1] == "interrupted" and not any("Traceback" in line for line in lines)
    (saved,) = (run / "checkpoints").iterdir()
    checkpoint = load_checkpoint(saved)
    assert checkpoint.step == checkpoint.arrays["optimizer.global_step"].item() > 0
    assert f"interrupted after step {checkpoint.step}, which is saved" in "\n".join(lines)


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 700 kB; a checkpoint of the tiny RRDB with its optimiser takes 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
def test_a_full_disk(tiny_pictures, full_disk, cwd):
    run = full_disk / "run"
    status, out, lines = tiny.run("train.py", *arguments("rrdb", tiny_pictures, run), cwd=cwd)
    assert (status, out) == (2, "")
    assert lines[-1].startswith("error: no space left on the disk for the checkpoint")
    assert not any("Traceback" in line or "Logging error" in line for line in lines)
    (left,) = (run / "checkpoints").iterdir()
    assert load_checkpoint(left).step == 2


@pytest.mark.slow
def test_graph_mode_stays_on(tiny_pictures, tmp_path, monkeypatch):
    words = arguments("rrdb", tiny_pictures, tmp_path / "run", "train.steps=1")
    monkeypatch.setattr("sys.argv", ["train.py", *map(str, words)])
    train.main()
    assert ms.get_context("mode") == ms.GRAPH_MODE


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.step=3", "unknown setting 'train.step'; did you mean"),
        ("data.patch_size=30", "'data.patch_size' must be a multiple of"),
        ("train.lr=fast", "'train.lr' expects"),
        ("nonsense", "expected key=value"),
    ],
)
def test_a_wrong_setting_is_refused_before_mindspore_is_asked(tmp_path, monkeypatch, setting, message):
    words = ["--config", f"{tiny.ROOT}/configs/rrdb_lite_x4.yaml", "--output", str(tmp_path / "run"), setting]
    monkeypatch.setattr("sys.argv", ["train.py", *words])
    monkeypatch.setattr("src.host.device.select_device", None)
    with pytest.raises(UserError, match=message):
        train.main()
    assert list(tmp_path.iterdir()) == []
