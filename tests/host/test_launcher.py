"""The launcher with ranks that do no training: they fail, are stopped, or are on another host."""

import contextlib
import ctypes
import os
import signal
import socket
import sys

import pytest

from src.errors import UserError
from src.host.launcher import Hosts, dying_with, launch
from tests.host.launcher_job import Started, is_alive, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a launcher; whatever is left is killed at the end."""
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
    status, out, lines = start("talk", "talk", SCHEDULER="talk").finish()
    logs = tmp_path / "logs"
    assert (status, out) == (0, "result of rank_0\n")
    assert lines == [f"rank 0 reports here, the others in {logs}", "message of rank_0"]
    assert sorted(log.name for log in logs.iterdir()) == ["rank_1.log", "scheduler.log"]
    assert sorted((logs / "rank_1.log").read_text().split("\n")) == ["", "message of rank_1", "result of rank_1"]


def test_every_process_is_told_its_part(start, tmp_path):
    _, _, lines = start("end", "end", node_rank=1, nnodes=3, port=4321).finish()
    logs = tmp_path / "logs"
    assert lines == [f"rank 0 reports on host 0, the others in {logs}", "waiting for 6 ranks at 127.0.0.1:4321"]
    common = "MS_SCHED_HOST=127.0.0.1", "MS_SCHED_PORT=4321", "MS_WORKER_NUM=6"
    for device in (0, 1):
        found = (tmp_path / f"rank_{2 + device}.environment").read_text().split("\n")
        assert {f"DEVICE_ID={device}", f"MS_NODE_ID={2 + device}", "MS_ROLE=MS_WORKER", *common} <= {*found}
    assert not (tmp_path / "scheduler.pid").exists()


def test_a_killed_rank_ends_the_job_and_is_named(start, tmp_path):
    job = start("sleep", "child")
    os.kill(job.pids()["rank_1"][0], signal.SIGKILL)
    status, out, lines = job.finish()
    assert (status, out, len(lines)) == (137, "", 2)
    assert lines[1] == (
        f"error: rank 1 was killed by signal 9 (SIGKILL); its log is {tmp_path / 'logs' / 'rank_1.log'}; the other "
        "ranks were stopped: go on from the newest checkpoint with --resume"
    )


@pytest.mark.parametrize(
    ("actions", "named"),
    [
        (["fail", "killed by 15", "killed by 9", "fail"], "rank 2 was killed by signal 9 (SIGKILL)"),
        (["fail", "fail", "killed by 15", "killed by 6"], "rank 2 was killed by signal 15 (SIGTERM)"),
        (["sleep", "fail", "fail"], "rank 1 ended with status 7"),
        (["killed by 9", "fail", "mistake"], "on rank 2: no such picture"),
    ],
)
def test_of_several_that_failed_the_likely_cause_is_named(start, actions, named):
    job = start(*actions)
    job.process.send_signal(signal.SIGSTOP)  # so that it finds all of them ended
    (job.folder / "go").touch()
    sleeping = actions.count("sleep")
    wait_until(lambda: sum(is_alive(pids[0]) for pids in job.pids().values()) == 1 + sleeping)
    job.process.send_signal(signal.SIGCONT)
    _, _, lines = job.finish()
    assert lines[1].startswith(f"error: {named}")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no real-time signals")
def test_a_signal_without_a_name_is_told_too(start):
    number = signal.SIGRTMIN + 1
    status, _, lines = start("sleep", f"killed by {number}").finish()
    assert status == 128 + number
    assert lines[1].startswith(f"error: rank 1 was killed by signal {number} ({signal.strsignal(number)}); its log")


def test_a_system_without_prctl_can_do_without(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert dying_with(os.getppid())() is None


def test_a_failing_rank_0_ends_the_job(start):
    status, _, lines = start("fail", "child").finish()
    assert status == 7
    assert lines[1].startswith(
        "error: rank 0 ended with status 7; its messages are above; the other ranks were stopped"
    )


def test_a_users_mistake_is_said_once(start):
    status, _, lines = start("mistake", "mistake").finish()
    assert (status, lines[1:]) == (2, ["error: no such picture"])


def test_a_users_mistake_that_rank_0_does_not_see_is_said_too(start):
    status, _, lines = start("sleep", "mistake").finish()
    assert (status, lines[1:]) == (2, ["error: on rank 1: no such picture"])


def test_what_fails_after_rank_0_has_done_the_work_is_only_told(start, tmp_path):
    status, _, lines = start("end", "late", SCHEDULER="late").finish()
    log = tmp_path / "logs" / "rank_1.log"
    assert (status, lines[1:]) == (0, [f"the work is done, but rank 1 did not end well: see {log}"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_rank_0_save(start, tmp_path, number):
    job = start("save", "sleep")
    job.process.send_signal(number)
    status, _, lines = job.finish()
    assert (status, len(lines)) == (128 + number, 2) and lines[1].startswith("stopping: rank 0 has")
    assert (tmp_path / "saved").exists() and not (tmp_path / "rank_1.signals").exists()


def test_a_second_signal_does_not_wait(start, tmp_path):
    job = start("sleep", "sleep")
    job.process.send_signal(signal.SIGTERM)
    wait_until((tmp_path / "rank_0.signals").exists)
    job.process.send_signal(signal.SIGTERM)
    assert job.finish()[0] == 143


def test_a_killed_launcher_leaves_nothing(start):
    job = start("sleep", "sleep")
    job.process.kill()
    assert job.finish()[0] == -signal.SIGKILL


def test_host_0_ends_when_the_scheduler_does(start, tmp_path):
    status, _, lines = start("sleep", nnodes=2, SCHEDULER="fail").finish()
    assert status == 1
    assert lines[2].startswith(f"error: a rank on another host is lost ({tmp_path / 'logs' / 'scheduler.log'})")


def test_another_host_ends_when_the_scheduler_does(start):
    with socket.create_server(("127.0.0.1", 0)) as scheduler:
        job = start("sleep", node_rank=1, nnodes=2, port=scheduler.getsockname()[1])
        connection, _ = scheduler.accept()
        assert job.process.poll() is None
        connection.close()
    status, _, lines = job.finish()
    assert (status, len(lines)) == (1, 3)
    assert lines[2].startswith("error: the job has ended on host 0, 127.0.0.1, which says why: start every host again")


def test_logs_that_cannot_be_written_are_a_users_mistake(tmp_path):
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(UserError, match="cannot write to .*logs: File exists; name another --output"):
        launch(["false"], Hosts("127.0.0.1", 1, 2), tmp_path / "logs")
