"""Signals that are held back, that raise once, and that wait for somebody else's import."""

import importlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from src.host.signals import held_back, raise_once
from tests.tiny import ROOT

NUMBERS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def answered():
    """Answer SIGINT also where the tests run in the background of a shell, which has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_waits_for_the_end_of_the_block(number):
    raised, done = raise_once(), []
    with pytest.raises(KeyboardInterrupt), held_back():
        signal.raise_signal(number)
        signal.raise_signal(number)
        done.append(1)
    assert done == [1] and raised == [number]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_waits_for_the_end_of_an_import(number, tmp_path, monkeypatch):
    (tmp_path / "slow_module.py").write_text(f"import signal\nsignal.raise_signal({int(number)})\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    raised = raise_once()
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module("slow_module")
        time.sleep(10)
    assert sys.modules.pop("slow_module").whole and raised == [number]


def test_a_signal_waits_for_the_end_of_mindspore_s_compiler_and_of_destructors():
    scope = {"__name__": "mindspore.graph.api", "raise_signal": signal.raise_signal}
    exec("def compile():\n    raise_signal(2)\n    return True\ndef other():\n    raise_signal(2)", scope)
    raise_once()
    with pytest.raises(KeyboardInterrupt):
        assert scope["compile"]()
        time.sleep(10)
    raise_once()
    with pytest.raises(KeyboardInterrupt):
        scope["other"]()


TWICE = """
import os, signal, sys, time
from src.host.signals import end_at_once, raise_once

if sys.argv[1] == "early":
    end_at_once()
else:
    raise_once()
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    except KeyboardInterrupt:
        print("to be removed", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(10)
"""


@pytest.mark.parametrize(("when", "out"), [("early", ""), ("late", "to be removed\n")])
def test_the_process_ends_at_once_early_and_at_the_second_signal(when, out):
    command = [sys.executable, "-c", TWICE, when]
    process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (process.returncode, process.stdout, process.stderr) == (143, out, "interrupted\n")


def test_without_a_signal_the_handlers_are_as_before():
    raise_once()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with held_back():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_blocks_own_error_wins():
    with pytest.raises(ZeroDivisionError), held_back():
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held_back():
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_thread_can_use_it():
    done = []

    def work():
        with held_back():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
