"""A new sampler is one function and one entry in one file: all commands, an export and its runner then know it."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from src.imaging.io import read_rgb, write_image
from tests import tiny

pytestmark = pytest.mark.slow

FUNCTION = '''

@sampler
def still(steps):
    """A toy: each step goes to the x_0 that the network sees."""
    return [Coefficients(1.0, 0.0, 0.0) for step in steps]


SAMPLERS["still"] = still
'''


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the project whose samplers.py has one function and one entry more."""
    house = tmp_path_factory.mktemp("house")
    shutil.copytree(tiny.ROOT / "src", house / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for script in ("infer.py", "eval.py", "export.py"):
        shutil.copy(tiny.ROOT / script, house)
    with open(house / "src" / "diffusion" / "samplers.py", "a", encoding="utf-8") as file:
        file.write(FUNCTION)
    return house


def run(program, *arguments, cwd):
    command = [sys.executable, str(program), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_known_everywhere(house, tiny_checkpoints, photo, tmp_path):
    checkpoint, picture = tiny_checkpoints["srdiff"], tmp_path / "lr.png"
    write_image(picture, photo[100:108, 200:212])
    write_image(tmp_path / "hr" / "0.png", photo[100:132, 200:232])
    options = "--sampler", "still", "--steps", "2"
    model = "--checkpoint", checkpoint
    run(house / "infer.py", *model, "--input", picture, "--output", "sr.png", *options, cwd=tmp_path)
    table = run(house / "eval.py", *model, "--hr", "hr", "--lpips", "none", *options, cwd=tmp_path)
    assert "still" in table
    expected = read_rgb(tmp_path / "sr.png").astype(int)
    for graph in ("step", "sampler"):
        size = ("--size", "8", "12") if graph == "sampler" else ()
        output = f"{graph}/m.onnx"
        run(
            house / "export.py", *model, "--format", "onnx", "--graph", graph, "--output", output, *size, *options,
            cwd=tmp_path,
        )  # fmt: skip
        runner = tmp_path / graph / "offline.pyz"
        run(runner, "--model", output, "--input", picture, "--output", f"{graph}.png", cwd=tmp_path)
        assert np.abs(read_rgb(tmp_path / f"{graph}.png").astype(int) - expected).max() <= 1
