"""What every command shares: help without mindspore, one line for an error, exit statuses."""

import subprocess
import sys

import pytest

from src.command import add_device, parser, run
from src.errors import PartlyDone, UserError
from tests.tiny import ROOT

COMMANDS = ["train.py", "eval.py", "infer.py", "export.py", "convert.py", "src/dataset/div2k_preprocess.py"]
HEAVY = ("mindspore", "torch", "scipy", "skimage")


@pytest.mark.parametrize("script", COMMANDS)
def test_help_imports_nothing_heavy(script, tmp_path):
    command = [sys.executable, "-X", "importtime", str(ROOT / script), "--help"]
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("usage: ")
    modules = {line.split("|")[-1].strip() for line in process.stderr.splitlines()}
    assert "argparse" in modules and not modules & set(HEAVY)


@pytest.mark.parametrize("script", COMMANDS)
def test_a_wrong_option_is_one_line(script, tmp_path):
    command = [sys.executable, str(ROOT / script), "--no-such-option"]
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("error: ") and process.stderr.count("\n") == 1


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "status", "message"),
    [
        (lambda: None, 0, ""),
        (lambda: 1, 1, ""),
        (raising(UserError("two\n lines –  here")), 2, "error: two lines – here\n"),
        (raising(PartlyDone("1 of 3")), 1, "error: 1 of 3\n"),
        (raising(KeyboardInterrupt()), 130, "interrupted\n"),
        (raising(BrokenPipeError()), 1, ""),
        (
            raising(ModuleNotFoundError("", name="no_such.part")),
            2,
            "error: this needs no_such.part, which is not installed: pip install -r requirements.txt\n",
        ),
    ],
)
def test_exit_statuses(main, status, message, tmp_path, capfd):
    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == status
    assert capfd.readouterr() == ("", message)


@pytest.mark.parametrize("error", [ZeroDivisionError(), ModuleNotFoundError("", name="src.nothing")])
def test_a_fault_of_the_program_is_not_hidden(error):
    with pytest.raises(type(error)):
        run(raising(error))


def test_an_unknown_device_is_one_line(capsys):
    arguments = parser("x", prog="command")
    add_device(arguments)
    assert arguments.parse_args([]).device is None
    with pytest.raises(SystemExit) as caught:
        arguments.parse_args(["--device", "TPU"])
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: argument --device: invalid choice: 'TPU'") and message.count("\n") == 1


@pytest.mark.parametrize(("given", "device"), [("cpu", "CPU"), ("Cpu", "CPU"), ("ascend", "Ascend"), ("gpu", "GPU")])
def test_a_device_in_any_letter_case(given, device):
    arguments = parser("x", prog="command")
    add_device(arguments)
    assert arguments.parse_args(["--device", given]).device == device


RANK = """
import atexit, sys
from src.command import run

class Crashes:
    def __del__(self):
        print("destroyed")

def main():
    atexit.register(print, "cleaned up")
    raise SystemExit(int(sys.argv[1])) if sys.argv[1] != "fault" else ValueError

kept = sys.modules["kept"] = Crashes()
run(main)
"""


@pytest.mark.parametrize(("ending", "status"), [("0", 0), ("3", 3), ("fault", 1)])
def test_a_rank_ends_after_its_last_handlers_and_before_any_destructor(ending, status, monkeypatch):
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    command = [sys.executable, "-c", RANK, ending]
    process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert process.returncode == status
    assert process.stdout == "cleaned up\n" + ("destroyed\n" if ending == "fault" else "")
    assert ("ValueError" in process.stderr) == (ending == "fault")
