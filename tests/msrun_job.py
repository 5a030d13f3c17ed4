"""A job under scripts/msrun.sh, for test_msrun.py, whose ranks and scheduler do as they are told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Runs the job: PROJECT PYTHON RUN [OPTION ...] ACTION_OF_RANK_0 ACTION_OF_RANK_1 ...; without a RUN it keeps no lock.
JOB = """
set -euo pipefail
python=$2
source "$1/scripts/msrun.sh"
run=$3 project=$1 LAST_WORDS=${SECONDS_TO_END:-1}
take_options "${@:4}"
run_ranks logs "$run" rank.py "$project" "${rest[@]}"
"""

# What runs as every rank and as the scheduler: does what the argument for its device says.
RANK = """
import os, pathlib, signal, subprocess, sys, time
project, *actions = sys.argv[1:]
sys.path.insert(0, project)
from src.command import run
from src.errors import UserError
from src.host.files import locked
from src.host.ranks import is_scheduler

folder = pathlib.Path(__file__).resolve().parent
name = "scheduler" if is_scheduler() else "rank_" + os.environ["RANK_ID"]
action = os.environ.get("SCHEDULER", "end") if is_scheduler() else actions[int(os.environ["DEVICE_ID"])]

def main():
    got = lambda number, frame: (folder / (name + ".signals")).open("a").write(str(int(number)) + "\\n")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, got)
    if action == "save":
        def save(number, frame):
            time.sleep(0.5)
            (folder / "saved").touch()
            print("saved", file=sys.stderr)
            sys.exit(143)
        signal.signal(signal.SIGTERM, save)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]) if action == "child" else None
    variables = [f"{key}={os.environ[key]}" for key in sorted(os.environ) if key[:3] in ("MS_", "RAN", "DEV")]
    (folder / (name + ".environment")).write_text("\\n".join(variables))
    new = folder / (name + ".new")
    new.write_text("\\n".join(str(pid) for pid in (os.getpid(), child and child.pid) if pid))
    if action in ("save", "hold") and (folder / "run").exists():
        with locked(folder / "run"):
            new.rename(folder / (name + ".pid"))
            return act()
    new.rename(folder / (name + ".pid"))
    return act()

def act():
    while not (folder / "go").exists():
        time.sleep(0.01)
    if action == "talk":
        print("result of", name)
        print("message of", name, file=sys.stderr)
    elif action == "mistake":
        raise UserError("no such picture")
    elif action == "fail":
        print("last words", file=sys.stderr)
        return 7
    elif action == "scheduler fails":
        print("the scheduler ended: a rank was lost", file=sys.stderr)
        time.sleep(300)
    elif action.startswith("killed by "):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), int(action.removeprefix("killed by ")))
    elif action != "end":
        time.sleep(300)

run(main)
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
    """A job whose ranks have all started and wait for :meth:`go`."""

    def __init__(self, folder, *actions, options=(), run="", **variables):
        self.folder = folder
        (folder / "rank.py").write_text(RANK)
        if run:
            (folder / run).mkdir()
        command = ["bash", "-c", JOB, "bash", str(ROOT), sys.executable, run]
        self.process = subprocess.Popen(
            [*command, "--nproc", str(len(actions)), *options, *actions], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd=folder, env=os.environ | variables, start_new_session=True,
        )  # fmt: skip
        wait_until(lambda: len(self.pids()) > len(actions) or self.process.poll() is not None)

    def pids(self):
        return {file.stem: [int(line) for line in file.read_text().split()] for file in self.folder.glob("*.pid")}

    def type_ctrl_c(self):
        """Signal the process group in the terminal's foreground."""
        os.killpg(self.process.pid, signal.SIGINT)

    def finish(self):
        """Let the ranks do what they are to do; return exit status, stdout and stderr's lines. Nothing may be left."""
        (self.folder / "go").touch()
        out, err = self.process.communicate(timeout=900)
        wait_until(lambda: not any(is_alive(pid) for pids in self.pids().values() for pid in pids))
        return self.process.returncode, out, [line for line in err.split("\n") if line]
