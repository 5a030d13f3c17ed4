"""The command lines of the scripts that start msrun, up to where the processes are started."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from src.host.files import locked

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ("--config", f"{ROOT}/configs/rrdb_lite_x4.yaml")


def run_script(name, *arguments, cwd=None):
    """Run a script; return its exit status, its stdout, and the lines of its stderr."""
    command = ["bash", str(ROOT / "scripts" / name), *map(str, arguments)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=cwd, env=environment)
    return process.returncode, process.stdout, process.stderr.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a configuration with --config"),
        (["--nproc", "2"], "the following arguments are required: --config"),
        ([*CONFIG], "name the number of processes on this host with --nproc"),
        ([*CONFIG, "--nproc", "two"], "--nproc and --nnodes must be numbers from 1 up, got 'two' and '1'"),
        ([*CONFIG, "--nproc"], "--nproc needs a value"),
        ([*CONFIG, "--nproc", "2", "--fast"], "unrecognized arguments: --fast"),
        ([*CONFIG, "--nproc", "0"], "--nproc and --nnodes must be numbers from 1 up, got '0' and '1'"),
        ([*CONFIG, "--nproc", "2", "train.step=3"], "override 'train.step=3': unknown setting 'train.step'"),
        ([*CONFIG, "--nproc", "2", "--dry-run"], "--dry-run looks at one device: run train.py with it"),
        ([*CONFIG, "--nproc", "2", "--nnodes", "2"], "several hosts need --master HOST[:PORT]"),
        ([*CONFIG, "--nproc", "2", "--node-rank", "1"], "--node-rank must be 0 to 0 with --nnodes 1, got '1'"),
        ([*CONFIG, "--nproc", "2", "--master", "127.0.0.1:x"], "--master must be HOST or HOST:PORT with a port"),
        ([*CONFIG, "--nproc", "2", "--master", ":8118"], "--master must be HOST or HOST:PORT with a port"),
        ([*CONFIG, "--nproc", "2", "--master=127.0.0.1:99999"], "cannot listen at 127.0.0.1:99999 (expected one from"),
        ([*CONFIG, "--nproc", "2", "--master", "no..host"], "--master no..host is not known here"),
        ([*CONFIG, "--nproc", "2", "--master", "192.0.2.1"], "cannot listen at 192.0.2.1:8118 (Cannot assign"),
    ],
)  # fmt: skip
def test_a_wrong_command_is_refused_before_anything_starts(tmp_path, arguments, message):
    status, out, lines = run_script("run_distribute_train.sh", *arguments, cwd=tmp_path)
    assert (status, out, len(lines)) == (2, "", 1)
    assert lines[0].startswith(f"error: {message}")
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        master = f"127.0.0.1:{other.getsockname()[1]}"
        arguments = *CONFIG, "--nproc", 2, "--master", master
        status, _, lines = run_script("run_distribute_train.sh", *arguments, cwd=tmp_path)
    assert status == 2 and lines[0].startswith(f"error: cannot listen at {master} (Address already in use)")


def test_a_run_under_way_keeps_its_logs(tmp_path):
    run = tmp_path / "a run"
    (run / "logs").mkdir(parents=True)
    (run / "logs" / "worker_0.log").write_text("words")
    with locked(run):
        status, _, lines = run_script("run_distribute_train.sh", *CONFIG, "--nproc", 2, "--output", run)
    assert status == 2 and lines == [
        f"error: another run is writing to {run} (process {os.getpid()}): wait for its end or name another folder"
    ]
    assert (run / "logs" / "worker_0.log").read_text() == "words"


@pytest.mark.parametrize("name", ["run_distribute_train.sh", "run_eval.sh", "run_infer.sh"])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_scripts_tell_how_to_use_them(name, flag):
    status, out, lines = run_script(name, flag)
    assert (status, lines) == (0, []) and out.startswith(f"Usage: bash scripts/{name}")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("run_eval.sh", "pictures with --data"),
        ("run_infer.sh", "pictures with --input"),
        ("run_standalone_train.sh", "a configuration with --config"),
    ],
)
def test_what_has_no_default_is_asked_for(name, what):
    status, out, (line,) = run_script(name)
    assert (status, out) == (2, "") and line.startswith(f"error: name {what} (see ")


@pytest.mark.parametrize("name", ["run_eval.sh", "run_infer.sh"])
def test_one_process_needs_no_msrun(name):
    status, out, lines = run_script(name, "--nnodes", 2)
    assert (status, out) == (2, "") and lines == ["error: options of msrun need --nproc, the processes on this host"]
    status, out, lines = run_script(name, "--steps", "few")
    assert (status, out) == (2, "") and lines[0].startswith("error: argument --steps: invalid int value: 'few'")
