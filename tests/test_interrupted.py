"""Ctrl-C and SIGTERM at twenty moments, from the first on at which Python runs a line of ours: one line, 130 or 143."""

import re
import signal
import sys
import time
from pathlib import Path

import pytest

from src.imaging.io import write_image
from tests import tiny

MOMENTS = [round(0.1 * 1.2**n, 2) for n in range(20)]  # seconds: 0.1 to 3.2, imports and compilations among them
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells when a program answers"),
]


@pytest.fixture
def command(tmp_path, tiny_pictures, tiny_checkpoints, photo):
    """Return {name: what is run}, each of which takes longer than the last moment that it is interrupted at."""
    write_image(tmp_path / "in.png", photo[:40, :40])
    for number in range(20):
        write_image(tmp_path / "many" / f"{number}.png", photo)
    model, encoder = tiny_checkpoints["srdiff"], tiny_checkpoints["rrdb"]
    long = "train.steps=1000000", "train.save_every=1000000"
    infer = ["infer.py", "--checkpoint", model, "--input", "in.png", "--output", "out", "--samples", 1000]
    return {
        "infer on mindspore": [*infer, "--runtime", "mindspore", "--device", "CPU"],
        "infer": [*infer, "--no-cache", "--device", "CPU"],
        "train": ["train.py", *tiny.settings("rrdb", tiny_pictures, *long), "--output", "run", "--device", "CPU"],
        "eval": ["eval.py", "--checkpoint", model, "--hr", "many", "--output", "scores", "--device", "CPU",
                 "--lpips", "none"],
        "export": ["export.py", "--checkpoint", model, "--output", "x/m.onnx", "--format", "onnx", "--device", "CPU"],
        "convert": ["convert.py", "--blend", encoder, encoder, "--alpha", 0.5, "--output", "w.ckpt"],
        "preprocess": ["src/dataset/div2k_preprocess.py", "--root", "many", "--dataset", "folder", "--output", "made",
                       "--workers", 2, "--patch-size", 128, "--stride", 16],
    }  # fmt: skip


def answers(process):
    """Whether the program has an answer to SIGTERM, which Python itself has not."""
    caught = re.search(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    return int(caught[1], 16) >> (signal.SIGTERM - 1) & 1


def check(command, moment, number, cwd):
    """Start a command, interrupt it at a moment, and look at what it leaves to be read."""
    begun = time.monotonic()
    process = tiny.start(*command, cwd=cwd)
    try:
        while not answers(process):
            assert process.poll() is None and time.monotonic() < begun + 60
        time.sleep(max(0, moment - (time.monotonic() - begun)))
        process.send_signal(number)
        status, _, lines = tiny.finish(process)
    finally:
        process.kill()
    text = "\n".join(lines)
    # while a graph runs, mindspore makes a SIGTERM of Ctrl-C
    assert status == 143 or (status == 130 and number == signal.SIGINT), (moment, number, text)
    assert lines[-1] == "interrupted" and text.count("interrupted") - text.count("interrupted after step") == 1, text
    assert not re.search(r"Traceback|Error|ERROR|CRITICAL|Exception|Warning|At:", text), (moment, text)


@pytest.mark.parametrize("name", ["infer on mindspore"])
def test_at_twenty_moments(command, name, tmp_path):
    for n, moment in enumerate(MOMENTS):
        check(command[name], moment, (signal.SIGINT, signal.SIGTERM)[n % 2], tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["infer", "train", "eval", "export", "convert", "preprocess"])
def test_every_command(command, name, number, tmp_path):
    for moment in (0.1, 0.3, 0.6, 1.0):
        check(command[name], moment, number, tmp_path)
