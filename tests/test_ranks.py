"""infer.py and eval.py on two ranks: the same bytes as from one process."""

import filecmp
import os
import signal
import subprocess

import numpy as np
import pytest

from src.imaging.io import write_image
from tests import tiny
from tests.msrun_job import is_alive, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, photo):
    """Return a folder with pictures of several sizes: two of one size, the largest in the middle."""
    folder = tmp_path_factory.mktemp("several pictures")
    for name, side in (("a", 16), ("b", 32), ("c", 16), ("d", 24), ("e", 16)):
        write_image(folder / f"{name}.png", photo[100 : 100 + side, 100 : 100 + side + 8])
    return folder


def start(script, *arguments, cwd):
    return subprocess.Popen(
        ["bash", str(tiny.ROOT / "scripts" / script), *map(str, arguments), "--device", "CPU"], cwd=cwd,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(cwd)}, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def assert_same(one, two):
    """Check that two folders hold the same files, byte for byte."""
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(two)) for path in two.rglob("*") if path.is_file()) != []
    assert filecmp.cmpfiles(one, two, names, shallow=False) == (names, [], [])


def test_infer(pictures, tiny_checkpoints, tmp_path):
    arguments = "--checkpoint", tiny_checkpoints["srdiff"], "--input", pictures, "--samples", 2, "--compare"
    status, _, lines = tiny.finish(start("run_infer.sh", *arguments, "--output", "one", cwd=tmp_path))
    assert status == 0, lines
    status, out, lines = tiny.finish(start("run_infer.sh", *arguments, "--output", "two", "--nproc=2", cwd=tmp_path))
    assert (status, lines) == (0, []), out
    assert "rank 0 of 2: 3 of 5 pictures" in out and "two/b_mean.png" in out
    assert_same(tmp_path / "one", tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]  # no logs are left


def test_infer_passes_over_what_it_cannot_read(pictures, tiny_checkpoints, photo, tmp_path):
    folder = tmp_path / "in"
    for number in range(3):
        write_image(folder / f"{number}.png", photo[:16, :24])
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:-100])
    (folder / "text.png").write_text("no picture")
    arguments = "--checkpoint", tiny_checkpoints["rrdb"], "--input", folder, "--output", "out", "--nproc", 2
    status, out, lines = tiny.finish(start("run_infer.sh", *arguments, cwd=tmp_path))
    assert status == 1
    said = [line for line in [*out.splitlines(), *lines] if line.startswith("error: ")]
    assert sum("broken.png" in line for line in said) == sum("text.png" in line for line in said) == 1
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["0.png", "1.png", "2.png"]


def test_eval(pictures, tiny_checkpoints, tmp_path):
    models = "--checkpoint", tiny_checkpoints["srdiff"], tiny_checkpoints["rrdb"]
    arguments = *models, "--hr", pictures, "--lpips", "none", "--niqe", "--save-pictures", "--seed", 3
    status, table, lines = tiny.finish(start("run_eval.sh", *arguments, "--output", "one", cwd=tmp_path))
    assert status == 0, lines
    status, out, lines = tiny.finish(start("run_eval.sh", *arguments, "--output", "two", "--nproc", 2, cwd=tmp_path))
    assert (status, lines) == (0, []), out
    assert out.count(table) == 1
    assert_same(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("run_infer.sh", ("--count", 2), "--count is the work of one process"),
        ("run_infer.sh", ("--input", ".", "--output", "."), "several ranks take each other's results"),
        ("run_eval.sh", ("--hr", ".", "--fid", "pytorch-fid"), "FID and Inception Score are the work of one process"),
    ],
)
def test_what_is_not_shared_is_refused_once(pictures, tiny_checkpoints, tmp_path, script, arguments, message):
    write_image(tmp_path / "a.bmp", np.zeros((32, 32, 3), np.uint8))
    arguments = *arguments, "--checkpoint", tiny_checkpoints["rrdb"]
    status, out, lines = tiny.finish(start(script, *arguments, "--nproc", 2, cwd=tmp_path))
    said = [line for line in [*out.splitlines(), *lines] if line.startswith("error: ")]
    assert status == 2 and len(said) == 1 and said[0].startswith(f"error: {message}")


def test_a_rank_of_eval_that_dies_ends_the_job(pictures, tiny_checkpoints, tmp_path):
    models = "--checkpoint", tiny_checkpoints["srdiff"]
    process = start("run_eval.sh", *models, "--hr", pictures, "--steps", 4, "--nproc", 2, cwd=tmp_path)
    log = "*/worker_{}.log".format
    wait_until(lambda: all([file.read_text().startswith("rank") for file in tmp_path.glob(log("[01]"))] or [False]))
    first, second = (int(next(tmp_path.glob(log(rank))).read_text().split("\n")[0].split()[-1]) for rank in (0, 1))
    os.kill(second, signal.SIGKILL)
    status, _, lines = tiny.finish(process)
    assert status == 137 and lines[-1].startswith("error: rank 1 was killed by signal 9 (SIGKILL)")
    assert not is_alive(first) and not is_alive(second)
