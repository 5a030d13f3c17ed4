"""The command line of run_distribute_train.sh, up to where the processes are started."""

import socket
import subprocess
from pathlib import Path

import pytest

from tests import tiny

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ("--config", f"{ROOT}/configs/rrdb_lite_x4.yaml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nproc", "2"], "the following arguments are required: --config"),
        ([*CONFIG], "the following arguments are required: --nproc"),
        ([*CONFIG, "--nproc", "two"], "argument --nproc: invalid int value: 'two'"),
        ([*CONFIG, "--nproc", "2", "--fast"], "unrecognized arguments: --fast"),
        ([*CONFIG, "--nproc", "0"], "--nproc and --nnodes must be at least 1, got 0 and 1"),
        ([*CONFIG, "--nproc", "2", "train.step=3"], "override 'train.step=3': unknown setting 'train.step'"),
        ([*CONFIG, "--nproc", "2", "--nnodes", "2"], "several hosts need --master HOST[:PORT]"),
        ([*CONFIG, "--nproc", "2", "--node-rank", "1"], "--node-rank must be 0 to 0 with --nnodes 1, got 1"),
        ([*CONFIG, "--nproc", "2", "--master", "127.0.0.1:x"], "--master must be HOST or HOST:PORT with a port"),
        ([*CONFIG, "--nproc", "2", "--master", ":8118"], "--master must be HOST or HOST:PORT with a port"),
        ([*CONFIG, "--nproc", "2", "--master", "no..host"], "--master no..host is not known here"),
        ([*CONFIG, "--nproc", "2", "--master", "192.0.2.1"], "cannot listen at 192.0.2.1:8118 (Cannot assign"),
    ],
)  # fmt: skip
def test_a_wrong_command_is_refused_before_anything_starts(tmp_path, arguments, message):
    status, out, lines = tiny.run("scripts/distribute.py", *arguments, cwd=tmp_path)
    assert (status, out, len(lines)) == (2, "", 1)
    assert lines[0].startswith(f"error: {message}")
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        master = f"127.0.0.1:{other.getsockname()[1]}"
        status, _, lines = tiny.run("scripts/distribute.py", *CONFIG, "--nproc", 2, "--master", master, cwd=tmp_path)
    assert status == 2 and lines[0].startswith(f"error: cannot listen at {master} (Address already in use)")


def run_script(*arguments):
    command = ["bash", str(ROOT / "scripts/run_distribute_train.sh"), *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=900)
    return process.returncode, process.stdout, process.stderr.splitlines()


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_script_tells_how_to_use_it(flag):
    status, out, lines = run_script(flag)
    assert (status, lines) == (0, []) and out.startswith("Usage: bash scripts/run_distribute_train.sh")


def test_the_script_needs_a_configuration():
    status, out, lines = run_script()
    assert (status, out, len(lines)) == (2, "", 1) and lines[0].startswith("error: name a configuration with --config")
