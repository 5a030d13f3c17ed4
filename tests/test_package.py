"""The package as a user installs it: into an empty environment, used in a folder that is not the project's."""

import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from src.imaging.io import read_rgb, write_image
from tests.tiny import ROOT

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
TOML = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, EXTRAS = TOML["project"], TOML["project"]["optional-dependencies"]
HOUSE = ("src", "checkpoints", "configs", "pyproject.toml", "setup.py", "README.md", "LICENSE")


def requirements(name):
    """The lines of a requirements file that are no comments, sorted."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return sorted(line for line in lines if line and not line.startswith("#"))


def test_requirements_are_the_dependencies_and_train():
    assert requirements("requirements.txt") == sorted(PROJECT["dependencies"] + EXTRAS["train"])
    own = [each for each in EXTRAS["test"] if not each.startswith("mindspore-sr[")]
    assert requirements("requirements-dev.txt") == sorted(own + EXTRAS["wandb"])
    assert requirements("requirements-demo.txt") == ["-r requirements.txt", *EXTRAS["demo"]]


def test_one_version():
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    changed = re.search(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert cited[1] == changed[1] == PROJECT["version"]


def run(*command, cwd):
    """Run a program without what leads Python to other packages; return what is done."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = list(map(str, command))
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8")


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """``bin`` of an empty environment with the package, which was made from a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("a package")
    for name in HOUSE:
        copy, source = folder / "house" / name, ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    environment = folder / "environment"
    assert run(sys.executable, "-m", "venv", environment, cwd=folder).returncode == 0
    pip = environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check"
    fetched = run(*pip, "install", *TOML["build-system"]["requires"], *PROJECT["dependencies"], cwd=folder)
    if fetched.returncode:
        pytest.skip(f"pip cannot fetch the dependencies: {fetched.stderr[-200:]}")
    wheel = run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "house", cwd=folder)
    assert wheel.returncode == 0, wheel.stderr
    # --no-index: what was fetched is all that it asks for
    (file,) = folder.glob(f"mindspore_sr-{PROJECT['version']}-*.whl")
    assert {"mindspore_sr/py.typed", "mindspore_sr/configs/srdiff_lite_x4.yaml"} <= set(
        zipfile.ZipFile(file).namelist()
    )
    done = run(*pip, "install", "--no-index", file, cwd=folder)
    assert done.returncode == 0, done.stderr
    return environment / "bin"


@pytest.fixture
def folder(tmp_path, photo):
    """A folder with a picture, and with names that the package has, too."""
    write_image(tmp_path / "photo.png", photo[100:140, 200:248])
    for name in ("infer.py", "src/__init__.py", "configs/mine.yaml", "checkpoints/mine"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('not this one')\n", encoding="utf-8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--preset", "best"), ("--preset", "photo")], ids=" ".join)
def test_it_upscales_without_mindspore(programs, folder, options):
    done = run(programs / "mindspore-sr", "infer", "--input", "photo.png", "--output", "x4.png", *options, cwd=folder)
    assert (done.returncode, done.stdout.strip()) == (0, "x4.png"), done.stderr
    assert read_rgb(folder / "x4.png").shape == (160, 192, 3)
    assert run(programs / "python", "-c", "import mindspore", cwd=folder).returncode == 1


SCRIPT = """
import sys
import numpy as np
import mindspore_sr
from mindspore_sr import load_upscaler
from mindspore_sr.command import PRESETS
sr = load_upscaler(PRESETS["photo"].path).sample(np.zeros((1, 3, 8, 12), np.float32))
print(sr.shape, sorted({"mindspore", "src"} & sys.modules.keys()))
"""


@pytest.mark.slow
def test_from_python_and_as_one_file(programs, folder):
    done = run(programs / "python", "-I", "-c", SCRIPT, cwd=folder)
    assert (done.returncode, done.stdout.strip()) == (0, "(1, 3, 32, 48) []"), done.stderr
    pack = "from mindspore_sr.command import CHECKPOINTS as c; from mindspore_sr.export.runner import pack; "
    done = run(programs / "python", "-I", "-c", pack + "print(pack('packed'), c, sep='\\n')", cwd=folder)
    runner, checkpoints = done.stdout.splitlines()
    model = f"{checkpoints}/exports/rrdb_lite_x4.onnx"
    done = run(programs / "python", runner, "--model", model, "--input", "photo.png", "--output", "y.png", cwd=folder)
    assert (done.returncode, read_rgb(folder / "y.png").shape) == (0, (160, 192, 3)), done.stderr


@pytest.mark.slow
def test_help_and_what_is_missing(programs, folder):
    command = programs / "mindspore-sr"
    assert "preprocess" in run(command, "--help", cwd=folder).stdout
    for name in ("infer", "train", "eval", "export", "convert", "preprocess"):
        done = run(command, name, "--help", cwd=folder)
        assert done.stdout.startswith(f"usage: mindspore-sr {name} [-h]") and done.stderr == "", done.stderr
    done = run(command, "infer", "--bad", cwd=folder)
    assert done.stderr == "error: unrecognized arguments: --bad (see mindspore-sr infer --help)\n"
    for words in (("train", "--config", "configs/srdiff_lite_x4.yaml"), ("train", "--config", "rrdb_lite_x4"),
                  ("export",)):  # fmt: skip
        done = run(command, *words, cwd=folder)
        expected = 'error: this needs mindspore, which is not installed: pip install "mindspore-sr[train]"\n'
        assert (done.returncode, done.stderr) == (2, expected)
