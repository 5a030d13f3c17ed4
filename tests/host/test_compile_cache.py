"""The cache of compiled graphs: right results whatever changed, and never an error of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.host import compile_cache
from src.host.files import CACHE_VARIABLE
from src.imaging.io import read_image, write_image
from src.weights.checkpoint import load_checkpoint, save_model
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


class FakeCell:
    """Writes, as MindSpore does, where the environment says; keeps what the environment was."""

    def __init__(self, name, text="graph"):
        self.name, self.text = name, text
        self.folders = []

    def get_inputs(self):
        return ()

    def compile(self):
        folder = os.environ.get("MS_COMPILER_CACHE_PATH")
        self.folders.append(folder)
        if folder and not (Path(folder) / self.name).exists():
            (Path(folder) / self.name).write_text(self.text, encoding="utf-8")


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Return a function that does what a new process does: compile for settings, and return the folder it used."""
    script = tmp_path / "script.py"
    script.write_text("pass\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache é"))
    monkeypatch.delenv(compile_cache.SWITCH)
    monkeypatch.delenv("MS_COMPILER_CACHE_ENABLE", raising=False)

    def compile_anew(settings="{}", text="graph"):
        monkeypatch.setattr(compile_cache, "_used", False)
        cell = FakeCell("0.mindir", text)
        compile_cache.compile_graphs([cell], settings)
        assert "MS_COMPILER_CACHE_ENABLE" not in os.environ
        return cell.folders[0]

    return compile_anew


def kept(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache é" / "graphs").iterdir())


def test_the_second_start_reads_what_the_first_wrote(start, tmp_path):
    first, second = start(), start()
    assert Path(first).name.endswith(".tmp")
    assert [Path(second).name] == kept(tmp_path)
    assert not Path(first).exists()


def test_settings_script_variables_and_source_have_folders_of_their_own(start, tmp_path, monkeypatch):
    start("a")
    start("b")
    monkeypatch.setenv("MS_DEV_SOMETHING", "1")
    start("b")
    (tmp_path / "script.py").write_text("pass  # changed\n", encoding="utf-8")
    start("b")
    source = tmp_path / "source"
    source.mkdir()
    monkeypatch.setattr(compile_cache, "_SOURCE", source)
    start("b")
    (source / "layers.py").write_text("x = 1\n", encoding="utf-8")
    start("b")
    assert len(kept(tmp_path)) == 6


def test_a_damaged_folder_is_written_anew(start, tmp_path):
    start()
    (name,) = kept(tmp_path)
    file = tmp_path / "cache é" / "graphs" / name / "0.mindir"
    file.write_text("grapg", encoding="utf-8")
    assert Path(start()).name.endswith(".tmp")
    assert file.read_text(encoding="utf-8") == "graph"
    (tmp_path / "cache é" / "graphs" / name / "sums.json").write_text("{", encoding="utf-8")
    assert Path(start()).name.endswith(".tmp")


def test_a_folder_that_mindspore_changed_is_dropped(start, tmp_path):
    start()
    (name,) = kept(tmp_path)

    class Other(FakeCell):
        def compile(self):
            Path(os.environ["MS_COMPILER_CACHE_PATH"], "0.mindir").write_text("anew", encoding="utf-8")

    compile_cache._used = False
    compile_cache.compile_graphs([Other("0.mindir")], "{}")
    assert kept(tmp_path) == []


def test_a_failed_compilation_leaves_nothing(start, tmp_path, monkeypatch):
    class Failing(FakeCell):
        def compile(self):
            super().compile()
            raise ValueError("no such operator")

    monkeypatch.setattr(compile_cache, "_used", False)
    with pytest.raises(ValueError, match="no such operator"):
        compile_cache.compile_graphs([Failing("0.mindir")], "{}")
    assert kept(tmp_path) == []
    assert "MS_COMPILER_CACHE_PATH" not in os.environ


def test_two_that_start_together_leave_one_whole_folder(start, tmp_path):
    class Slow(FakeCell):
        def compile(self):
            super().compile()
            os.environ.pop("MS_COMPILER_CACHE_ENABLE")
            path = os.environ.pop("MS_COMPILER_CACHE_PATH")
            other = Path(path).with_name(compile_cache.cache_key("{}"))
            other.mkdir()
            (other / "0.mindir").write_text("graph", encoding="utf-8")
            (other / "sums.json").write_text("{}", encoding="utf-8")
            os.environ |= {"MS_COMPILER_CACHE_ENABLE": "1", "MS_COMPILER_CACHE_PATH": path}

    compile_cache._used = False
    compile_cache.compile_graphs([Slow("0.mindir")], "{}")
    assert len(kept(tmp_path)) == 1


def test_only_the_last_folders_are_kept(start, tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "KEEP", 3)
    for number in range(5):
        start(str(number))
        newest = max((tmp_path / "cache é" / "graphs").iterdir(), key=lambda path: path.stat().st_ctime_ns)
        os.utime(newest, (number, number))
    assert len(kept(tmp_path)) == 3


@pytest.mark.parametrize("obstacle", ["off", "file", "users_own", "no_script", "second_model"])
def test_without_a_cache_graphs_are_compiled(start, tmp_path, monkeypatch, obstacle):
    if obstacle == "off":
        monkeypatch.setenv(compile_cache.SWITCH, "off")
    elif obstacle == "file":
        (tmp_path / "file").write_text("", encoding="utf-8")
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    elif obstacle == "users_own":
        monkeypatch.setenv("MS_COMPILER_CACHE_PATH", str(tmp_path))
    elif obstacle == "no_script":
        monkeypatch.setattr(sys, "argv", ["-c"])
    monkeypatch.setattr(compile_cache, "_used", obstacle == "second_model")
    cell = FakeCell("0.mindir")
    compile_cache.compile_graphs([cell], "{}")
    assert cell.folders == [str(tmp_path) if obstacle == "users_own" else None]


def infer(checkpoint, picture, output, cache):
    environment = os.environ | {CACHE_VARIABLE: str(cache), compile_cache.SWITCH: "off" if cache is None else "on"}
    command = [sys.executable, str(ROOT / "infer.py"), "--checkpoint", str(checkpoint), "--input", str(picture)]
    command += ["--output", str(output), "--steps", "2", "--device", "CPU"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return read_image(output).rgb


def test_infer_gives_the_same_picture_with_and_without(tiny_checkpoints, tmp_path, photo):
    picture, cache = tmp_path / "eye.png", tmp_path / "cache"
    write_image(picture, photo[100:116, 200:220])
    checkpoint = tiny_checkpoints["srdiff"]
    expected = infer(checkpoint, picture, tmp_path / "off.png", None)
    for name in ("first", "second"):
        assert np.array_equal(infer(checkpoint, picture, tmp_path / f"{name}.png", cache), expected)
    (folder,) = (cache / "graphs").iterdir()
    assert len(list(folder.rglob("*.mindir"))) == 2


def test_infer_never_takes_the_graph_of_another_configuration(tiny_checkpoints, tmp_path, photo):
    """A divisor inside the graph, which leaves all shapes and the source as they are."""
    picture, cache = tmp_path / "eye.png", tmp_path / "cache"
    write_image(picture, photo[100:116, 200:220])
    first = load_checkpoint(tiny_checkpoints["srdiff"])
    settings = json.loads(first.config_json)
    settings["diffusion"]["lr_divisor"] = 256
    other = tmp_path / "other.ckpt"
    save_model(other, first.arrays, json.dumps(settings), 1)
    expected = infer(other, picture, tmp_path / "off.png", None)
    infer(tiny_checkpoints["srdiff"], picture, tmp_path / "one.png", cache)
    assert np.array_equal(infer(other, picture, tmp_path / "two.png", cache), expected)
    assert len(list((cache / "graphs").iterdir())) == 2
