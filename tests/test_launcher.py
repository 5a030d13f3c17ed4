"""The launcher with ranks that do no training: they fail, are stopped, or are on another host."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.errors import UserError
from src.launcher import Hosts, launch

ROOT = Path(__file__).resolve().parents[1]

# Runs the launcher: FOLDER NODE_RANK NNODES PORT ACTION_OF_RANK_0 ACTION_OF_RANK_1 ...
LAUNCH = """
import logging, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from src import launcher
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
launcher.LAST_WORDS = 1
folder, node_rank, nnodes, port, *actions = sys.argv[2:]
hosts = launcher.Hosts("127.0.0.1", int(port), len(actions), int(nnodes), int(node_rank))
command = [sys.executable, str(Path(folder) / "rank.py"), *actions]
sys.exit(launcher.launch(command, hosts, Path(folder) / "logs"))
"""

# What runs as every rank and as the scheduler: does what the argument for its device says.
RANK = """
import os, pathlib, signal, subprocess, sys, time
folder = pathlib.Path(__file__).parent
if os.environ["MS_ROLE"] == "MS_SCHED":
    name, action = "scheduler", os.environ.get("SCHEDULER", "sleep")
else:
    name, action = "rank_" + os.environ["MS_NODE_ID"], sys.argv[1 + int(os.environ["DEVICE_ID"])]
got = lambda number, frame: (folder / (name + ".signals")).open("a").write(str(int(number)) + "\\n")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, got)
if action == "save":
    def save(number, frame):
        time.sleep(0.5)
        (folder / "saved").touch()
        sys.exit(143)
    signal.signal(signal.SIGTERM, save)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]) if action == "child" else None
variables = [f"{key}={os.environ[key]}" for key in sorted(os.environ) if key.startswith("MS_") or key == "DEVICE_ID"]
(folder / (name + ".environment")).write_text("\\n".join(variables))
new = folder / (name + ".new")
new.write_text("\\n".join(str(pid) for pid in (os.getpid(), child and child.pid) if pid))
new.rename(folder / (name + ".pid"))
while not (folder / "go").exists():
    time.sleep(0.01)
if action == "talk":
    print("result of", name)
    print("message of", name, file=sys.stderr)
elif action == "mistake":
    print("error: no such picture", file=sys.stderr)
    sys.exit(2)
elif action == "fail":
    sys.exit(7)
elif action == "late":
    time.sleep(0.5)
    sys.exit(7)
elif action != "end":
    time.sleep(300)
"""


def is_alive(pid):
    """Return whether a process runs; one that has ended and waits for its parent to ask does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited for a minute"
        time.sleep(0.02)


class Started:
    """A launcher whose ranks have all started and wait for :meth:`go`."""

    def __init__(self, folder, *actions, node_rank=0, nnodes=1, port=1, **variables):
        self.folder = folder
        (folder / "rank.py").write_text(RANK)
        numbers = map(str, (node_rank, nnodes, port))
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(ROOT), str(folder), *numbers, *actions],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=os.environ | variables,
        )  # fmt: skip
        expected = len(actions) + (node_rank == 0)
        wait_until(lambda: len(self.pids()) >= expected or self.process.poll() is not None)

    def pids(self):
        return {file.stem: [int(line) for line in file.read_text().split()] for file in self.folder.glob("*.pid")}

    def finish(self):
        """Let the ranks do what they are to do; return exit status, stdout and stderr's lines. Nothing may be left."""
        (self.folder / "go").touch()
        out, err = self.process.communicate(timeout=120)
        wait_until(lambda: not any(is_alive(pid) for pids in self.pids().values() for pid in pids))
        return self.process.returncode, out, [line for line in err.split("\n") if line]


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
    start("end", "end", node_rank=1, nnodes=3, port=4321).finish()
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
    assert lines[1].startswith(f"error: a rank on another host is lost ({tmp_path / 'logs' / 'scheduler.log'})")


def test_another_host_ends_when_the_scheduler_does(start):
    with socket.create_server(("127.0.0.1", 0)) as scheduler:
        job = start("sleep", node_rank=1, nnodes=2, port=scheduler.getsockname()[1])
        connection, _ = scheduler.accept()
        assert job.process.poll() is None
        connection.close()
    status, _, lines = job.finish()
    assert (status, len(lines)) == (1, 2)
    assert lines[1].startswith("error: the job has ended on host 0, 127.0.0.1, which says why: start every host again")


def test_logs_that_cannot_be_written_are_a_users_mistake(tmp_path):
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(UserError, match="cannot write to .*logs: File exists; name another --output"):
        launch(["false"], Hosts("127.0.0.1", 1, 2), tmp_path / "logs")
