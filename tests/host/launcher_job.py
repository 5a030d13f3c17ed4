"""A launcher in a process of its own, for test_launcher.py, whose ranks and scheduler do as they are told."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Runs the launcher: FOLDER NODE_RANK NNODES PORT ACTION_OF_RANK_0 ACTION_OF_RANK_1 ...
LAUNCH = """
import logging, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from src.host import launcher
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
elif action.startswith("killed by "):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), int(action.removeprefix("killed by ")))
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
        out, err = self.process.communicate(timeout=900)
        wait_until(lambda: not any(is_alive(pid) for pids in self.pids().values() for pid in pids))
        return self.process.returncode, out, [line for line in err.split("\n") if line]
