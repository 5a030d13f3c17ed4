"""Jobs under scripts/msrun.sh with ranks that do no training: they fail, or are stopped."""

import contextlib
import os
import re
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.msrun_job import Started, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a job; whatever is left is killed at the end."""
    started = []

    def start_one(*arguments, **options):
        started.append(Started(tmp_path, *arguments, **options))
        return started[-1]

    yield start_one
    for one in started:
        one.process.kill()
        one.process.communicate()
        for pid in sum(one.pids().values(), []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_rank_0_speaks_here_and_the_others_in_their_logs(start, tmp_path):
    job = start("talk", "talk", run="run")
    status, out, lines = job.finish()
    first = f"rank 0 is process {job.pids()['rank_0'][0]}"
    assert (status, lines) == (0, [])
    assert sorted(out.splitlines()) == ["message of rank_0", first, "result of rank_0"]
    assert "result of rank_1" in (tmp_path / "logs" / "worker_1.log").read_text()


def test_logs_of_work_without_a_run_are_kept_after_a_failure_alone(start, tmp_path):
    assert start("end", "end").finish()[0] == 0
    assert not (tmp_path / "logs").exists()


def test_every_process_is_told_its_part(start, tmp_path):
    address = "--master", "127.0.0.1:45321"
    _, out, lines = start("end", "end", options=["--nnodes", "3", "--node-rank=1", *address]).finish()
    assert (out, lines) == ("", ["rank 0 reports on host 0, the others in logs"])
    common = "MS_SCHED_HOST=127.0.0.1", "MS_SCHED_PORT=45321", "MS_WORKER_NUM=6"
    for device in (0, 1):
        found = (tmp_path / f"rank_{2 + device}.environment").read_text().split("\n")
        assert {f"DEVICE_ID={device}", f"RANK_ID={2 + device}", "MS_ROLE=MS_WORKER", *common} <= {*found}


def test_options_of_msrun_reach_it(start, tmp_path):
    table = tmp_path / "table.json"
    start("end", options=["--rank_table_file", str(table), '--bind_core={"device0": ["0"]}'], run="run").finish()
    assert f"RANK_TABLE_FILE={table}" in (tmp_path / "rank_0.environment").read_text().split("\n")
    assert "Execute command: taskset -c 0 python" in (tmp_path / "logs" / "msrun_0.log").read_text()


def test_what_msrun_refuses_is_told(start, tmp_path):
    status, _, lines = start("end", options=["--bind_core", "cores"]).finish()
    assert status == 2 and lines[0].startswith("error: msrun ended with status 2: msrun: error: argument --bind_core")


@pytest.mark.parametrize(("run", "remedy"), [("run", "newest checkpoint with --resume"), ("", "stopped: start again")])
def test_a_killed_rank_ends_the_job_and_is_named(start, run, remedy):
    job = start("sleep", "child", run=run)
    pid = job.pids()["rank_1"][0]
    os.kill(pid, signal.SIGKILL)
    status, out, lines = job.finish()
    assert status == 137 and lines[:-1] == [f"rank 1 is process {pid}"]  # all that it said
    assert lines[-1].startswith("error: rank 1 was killed by signal 9 (SIGKILL); its log is logs/worker_1.log; ")
    assert lines[-1].endswith(remedy)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no real-time signals")
def test_a_signal_without_a_name_is_told_too(start):
    number = signal.SIGRTMIN + 1
    status, _, lines = start("sleep", f"killed by {number}").finish()
    assert status == 128 + number
    assert lines[-1].startswith(f"error: rank 1 was killed by signal {number} (SIGRTMIN+1); its log")


def test_a_failing_rank_0_ends_the_job(start):
    status, out, lines = start("fail", "child").finish()
    assert status == 7 and out.splitlines()[1:] == ["last words"]
    assert len(lines) == 1 and lines[0].startswith("error: rank 0 ended with status 7; its log is logs/worker_0.log")


def test_a_users_mistake_is_said_once(start):
    status, out, lines = start("mistake", "mistake").finish()
    assert status == 2
    assert [line for line in [*out.splitlines(), *lines] if "is process" not in line] == ["error: no such picture"]


def test_a_users_mistake_that_rank_0_does_not_see_is_said_too(start):
    status, _, lines = start("sleep", "mistake").finish()
    assert (status, lines) == (2, ["error: no such picture"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_rank_0_save(start, tmp_path, number):
    job = start("save", "sleep", run="run")
    if number == signal.SIGINT:
        job.type_ctrl_c()
    else:
        job.process.send_signal(number)
    status, out, lines = job.finish()
    assert status == 128 + number and out.splitlines()[-1] == "saved"
    assert len(lines) == 1 and lines[0].startswith("stopping: rank 0 has 120 s")
    assert (tmp_path / "saved").exists() and not (tmp_path / "rank_1.signals").exists()


def test_where_nothing_is_to_be_saved_every_rank_is_told(start, tmp_path):
    job = start("save", "sleep")
    job.process.send_signal(signal.SIGTERM)
    assert job.finish()[0] == 143
    assert (tmp_path / "saved").exists() and (tmp_path / "rank_1.signals").exists()


def test_a_lock_of_another_job_is_left_alone(start, tmp_path):
    job = start("sleep", "sleep", run="run")
    (tmp_path / "run" / ".lock").write_text(str(os.getpid()))
    job.process.send_signal(signal.SIGTERM)
    assert job.finish()[::2] == (143, [])


def test_a_second_signal_does_not_wait(start, tmp_path):
    job = start("hold", "sleep", run="run")
    job.process.send_signal(signal.SIGTERM)
    wait_until((tmp_path / "rank_0.signals").exists)
    job.process.send_signal(signal.SIGTERM)
    assert job.finish()[0] == 143


@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv, of util-linux, is not on this machine")
@pytest.mark.parametrize("killed", ["script", "msrun"])
def test_a_killed_launcher_leaves_nothing(start, killed):
    job = start("sleep", "sleep")
    status = Path(f"/proc/{job.pids()['rank_0'][0]}/status").read_text()
    msrun = int(re.search(r"^PPid:\t(\d+)", status, re.MULTILINE)[1])
    os.kill(job.process.pid if killed == "script" else msrun, signal.SIGKILL)
    assert job.finish()[0] in (-signal.SIGKILL, 137)


def test_the_job_ends_when_the_scheduler_does(start):
    status, _, lines = start("sleep", SCHEDULER="scheduler fails", run="run").finish()
    assert (status, len(lines)) == (1, 1)
    assert lines[0] == "error: the scheduler ended: a rank was lost: start every host again with --resume"


@pytest.mark.parametrize(("action", "seconds"), [("sleep", "1"), ("end", "120")])  # to end, on a busy machine too
def test_another_host_ends_when_the_scheduler_does(start, action, seconds):
    with socket.create_server(("127.0.0.1", 0)) as scheduler:
        master = f"127.0.0.1:{scheduler.getsockname()[1]}"
        options = ["--nnodes", "2", "--node-rank", "1", "--master", master]
        job = start(action, options=options, run="run", SECONDS_TO_END=seconds)
        scheduler.accept()[0].close()  # it looks whether the scheduler is there
        connection, _ = scheduler.accept()
        connection.close()
    status, _, lines = job.finish()
    assert lines[0] == "rank 0 reports on host 0, the others in logs"
    expected = "error: the job has ended on host 0, 127.0.0.1, which says why: start every host again with --resume"
    assert (status, lines[1:]) == ((1, [expected]) if action == "sleep" else (0, []))


def test_logs_that_cannot_be_written_are_a_users_mistake(start, tmp_path):
    (tmp_path / "logs").write_text("a file")
    status, _, lines = start("end").finish()
    assert (status, lines) == (2, ["error: cannot write to logs: name another --output"])
