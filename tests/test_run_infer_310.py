"""run_infer_310.sh and convert_artefact.py, with stand-ins for converter_lite and mindspore_lite.

The stand-ins follow the documentation; no device and no MindSpore Lite is needed, and none is tested.
"""

import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.export.artefact import FORMAT, FORMAT_VERSION, INPUTS, OUTPUTS, Artefact, description_hash, file_hash
from src.export.artefact import read_description as description_of

ROOT = Path(__file__).resolve().parents[1]
CONVERTER = """#!/bin/sh
"exec" "{python}" "$0" "$@"  # a shebang takes no path with a space
import shutil, sys
given = dict(argument.split("=", 1) for argument in sys.argv[1:])
print("CONVERT RESULT SUCCESS:0")
with open({log!r}, "a") as log:
    print(given["--inputShape"], open(given["--configFile"]).read().split()[-1], *sorted(given), file=log)
{then}
"""
COPY = 'shutil.copyfile(given["--modelFile"], given["--outputFile"] + ".mindir")'
LITE = """
import glob, json, os
from enum import Enum
from types import SimpleNamespace
import numpy as np

ModelType = Enum("ModelType", "MINDIR MINDIR_LITE")

class Context:
    def __init__(self):
        self.target, self.cpu = ["cpu"], SimpleNamespace(thread_num=0)
        self.ascend = SimpleNamespace(device_id=0, precision_mode="enforce_fp16", provider="")

class Tensor:
    def __init__(self, shape, data=None):
        self.shape, self.data = shape, data

    def set_data_from_numpy(self, array):
        assert list(array.shape) == self.shape
        self.data = array

    def get_data_to_numpy(self):
        return self.data

class Model:
    def build_from_file(self, model_path, model_type, context=None, config_path="", config_dict=None):
        assert model_type is ModelType.MINDIR and context.target == ["ascend"]
        graphs = json.load(open(glob.glob(os.path.dirname(model_path) + "/*.mindir.json")[0]))["graphs"]
        self.role, entry = next(x for x in graphs.items() if x[1]["file"] == os.path.basename(model_path))
        self.free = any(None in item["shape"] for item in entry["inputs"])
        self.inputs = [Tensor([n or -1 for n in item["shape"]]) for item in entry["inputs"]]

    def get_inputs(self):
        return self.inputs

    def resize(self, inputs, dims):
        if not self.free:
            raise RuntimeError("resize failed! Error is")
        for tensor, shape in zip(inputs, dims, strict=True):
            tensor.shape = shape

    def predict(self, inputs, outputs=None):
        first = inputs[0].data
        if self.role == "step":
            return [Tensor(None, np.zeros_like(first))]
        enlarged = first.repeat(2, 2).repeat(2, 3)
        return [Tensor(None, enlarged[:, :1]), Tensor(None, enlarged)]
"""


def field(number, value):
    """A protobuf field that holds bytes shorter than 128."""
    return bytes([number << 3 | 2, len(value)]) + value


def mindir(names):
    """A MindIR file with nothing but the version, and the names of a graph's inputs."""
    inputs = b"".join(field(5, field(1, f"12_construct_3:{name}".encode())) for name in names)
    return bytes([13 << 3, 0x80, 1]) + field(7, field(2, b"g") + inputs)


@pytest.fixture
def model(tmp_path):
    """An exported SRDiff x2 whose graphs hold no operators."""
    folder = tmp_path / "a model"
    folder.mkdir()
    shapes = {
        "lr": [None, 3, None, None],
        "x_t": [None, 3, None, None],
        "t": [None],
        "condition": [None, 1, None, None],
    }
    graphs = {}
    for role, name, names in (("encode", "m.encode.mindir", ["lr"]), ("step", "m.mindir", ["x", "inputs1", "inputs2"])):
        (folder / name).write_bytes(mindir(names))
        inputs = [{"name": item, "shape": shapes[item], "dtype": "float32"} for item in INPUTS[role]]
        digest = file_hash(folder / name)
        graphs[role] = {"file": name, "sha256": digest, "inputs": inputs, "outputs": OUTPUTS[role]}
    sampling = {"sampler": "ddim", "steps": 2, "spacing": "uniform", "eta": 0.0, "temperature": 1.0,
                "consistency": False, "times": [3, 0]}  # fmt: skip
    about = {
        "format": FORMAT, "format_version": FORMAT_VERSION, "kind": "mindir", "cut": "step", "scale": 2,
        "size_multiple": 8, "sampling": sampling,
        "config": {"name": "m", "system": "srdiff", "unet": {"space_to_depth": 1}},
        "graphs": graphs, "conditional": True, "alphas_cumprod": [0.9, 0.7, 0.4, 0.1],
        "process": {"target": "residual", "prediction": "noise", "noise_level": "discrete", "residual_scale": 2.0,
                    "clip": True},
    }  # fmt: skip
    about["sha256"] = description_hash(about)
    (folder / "m.mindir.json").write_text(json.dumps(about))
    return folder / "m.mindir"


@pytest.fixture
def tools(tmp_path):
    """``tools(then)`` puts a converter_lite in PATH that ends so; returns the environment and the converter's log."""

    def tools(then=COPY, lite=True):
        folder, log = tmp_path / "tools", tmp_path / "log"
        (folder / "python").mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"PYTHON": sys.executable, "PATH": f"{folder}:/usr/bin:/bin"}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        if then:
            script = folder / "converter_lite"
            script.write_text(CONVERTER.format(python=sys.executable, log=str(log), then=then))
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        if lite:
            (folder / "python/mindspore_lite.py").write_text(LITE)
            environment["PYTHONPATH"] = str(folder / "python")
        return environment, log

    return tools


def run(command, environment, cwd):
    process = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment, cwd=cwd)
    return process.returncode, process.stdout, process.stderr.splitlines()


def convert(model, environment, *arguments):
    command = [sys.executable, str(ROOT / "scripts/convert_artefact.py"), "--model", str(model), *map(str, arguments)]
    return run(command, environment, model.parent)


def script(environment, cwd, *arguments):
    return run(["bash", str(ROOT / "scripts/run_infer_310.sh"), *map(str, arguments)], environment, cwd)


def test_a_conversion_is_a_model_of_its_own(model, tools, tmp_path):
    environment, log = tools()
    status, out, lines = convert(model, environment, "--size", "16x24", "--output", tmp_path / "new/made")
    assert (status, out.split("\n")) == (0, [f"{tmp_path}/new/made/m.mindir", ""]), lines
    given = "--configFile --fmk --inputShape --modelFile --optimize --outputFile --saveType"
    assert log.read_text().splitlines() == [
        f"lr:1,3,16,24 precision_mode=enforce_fp16 {given}",
        f"x:1,3,32,48;inputs1:1;inputs2:1,1,32,48 precision_mode=enforce_fp16 {given}",
    ]
    made = tmp_path / "new/made"
    assert sorted(p.name for p in made.iterdir()) == ["m.encode.mindir", "m.mindir", "m.mindir.json"]
    about, original = description_of(made / "m.mindir"), description_of(model)
    shapes = [item["shape"] for role in ("encode", "step") for item in about["graphs"][role]["inputs"]]
    assert shapes == [[1, 3, 16, 24], [1, 3, 32, 48], [1], [1, 1, 32, 48]]
    assert about["converted"] == {"from": original["sha256"], "size": [16, 24], "precision_mode": "enforce_fp16"}
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["made"]


def test_the_same_conversion_is_made_once(model, tools):
    environment, log = tools()
    first = convert(model, environment, "--size", "16x16", "--precision-mode", "enforce_origin")
    second = convert(model, environment, "--size", "16x16", "--precision-mode", "enforce_origin")
    assert first[:2] == second[:2] == (0, f"{model.parent}/m_16x16_enforce_origin/m.mindir\n")
    assert second[2] == [] and len(log.read_text().splitlines()) == 2


def test_a_folder_that_holds_something_else_is_left_alone(model, tools, tmp_path):
    environment, _ = tools()
    (tmp_path / "there").mkdir()
    (tmp_path / "there/mine").touch()
    status, _, lines = convert(model, environment, "--size", "16x16", "--output", tmp_path / "there")
    assert status == 2 and lines == [f"error: {tmp_path}/there exists and holds something else: remove it, or name "
                                     "another --output"]  # fmt: skip
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("sys.exit(3)", "converter_lite failed on {model.parent}/m.encode.mindir (status 3): its messages are above"),
        (COPY + ' if "encode" in given["--modelFile"] else sys.exit(1)', "converter_lite failed on {model} (status 1)"),
        (COPY.replace('".mindir"', '"_graph.mindir"'), "converter_lite was to write m.encode.mindir but left "
         "m.encode_graph.mindir"),
        (None, "converter_lite is not in PATH: unpack MindSpore Lite"),
    ],
)  # fmt: skip
def test_a_failed_conversion_leaves_nothing(model, tools, then, message):
    before = sorted(model.parent.iterdir())
    status, out, lines = convert(model, tools(then)[0], "--size", "16x16")
    assert (status, out) == (2, "") and lines[-1].startswith("error: " + message.format(model=model))
    assert sorted(model.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("16", "the size must be HEIGHTxWIDTH of the LR picture, such as 128x128, not '16'"),
        ("16x0", "the size must be HEIGHTxWIDTH"),
        ("18x16", "both sides must be multiples of 4, at least 8, not 18x16"),
        ("16x4", "both sides must be multiples of 4, at least 8, not 16x4"),
    ],
)
def test_a_size_that_the_model_cannot_take(model, tools, size, message):
    status, _, lines = convert(model, tools()[0], "--size", size)
    assert status == 2 and len(lines) == 1 and lines[0].startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about.update(cut="sampler"), "only a MindIR of one step can be converted"),
        (lambda about: about.update(kind="onnx"), "only a MindIR of one step can be converted"),
        (lambda about: about.pop("scale"), "the model's description lacks 'scale': export it anew"),
        (lambda about: about["graphs"]["step"].update(sha256="0"), "m.mindir is missing or damaged: export it anew"),
        (lambda about: about["graphs"]["step"]["inputs"].pop(), "m.mindir has 3 inputs, not 2: export it anew"),
    ],
)
def test_a_model_that_cannot_be_converted(model, tools, change, message):
    beside = model.with_name("m.mindir.json")
    about = json.loads(beside.read_text())
    change(about)
    beside.write_text(json.dumps(about | {"sha256": description_hash(about)}))
    status, out, lines = convert(model, tools()[0], "--size", "16x16")
    assert (status, out) == (2, "") and message in lines[-1]
    assert len(list(model.parent.iterdir())) == 3


def test_the_names_in_a_real_mindir(tiny_checkpoints, tmp_path):
    from src.build import load_model
    from src.export.exporter import export
    from src.export.mindir import write_mindir
    from src.export.model import export_model

    specification = importlib.util.spec_from_file_location("convert_artefact", ROOT / "scripts/convert_artefact.py")
    module = importlib.util.module_from_spec(specification)
    first = sys.path[0]
    try:
        specification.loader.exec_module(module)
    finally:
        sys.path[0] = first
    graphs, about = export_model(*load_model(tiny_checkpoints["srdiff"]))
    export(tmp_path / "m.mindir", "mindir", graphs, about, write_mindir)
    assert module.input_names(tmp_path / "m.encode.mindir") == ["lr"]
    assert module.input_names(tmp_path / "m.mindir") == ["x_t", "t", "condition"]
    description = description_of(tmp_path / "m.mindir")
    shapes = [
        item["shape"] for item in module.fixed_inputs(description, description["graphs"]["step"]["inputs"], [8, 8])
    ]
    condition, _ = Artefact(tmp_path / "m.mindir", "mindspore").graphs["encode"](np.zeros((1, 3, 8, 8), np.float32))
    assert shapes == [[1, 3, 32, 32], [1], list(condition.shape)]


@pytest.mark.parametrize(
    "arguments", [(), ("--convert", "16x16"), ("--convert=16x16", "--precision-mode=enforce_fp32")]
)
def test_the_script_upscales(model, tools, tmp_path, arguments):
    environment, _ = tools()
    picture = np.full((20, 28, 3), 100, np.uint8)
    Image.fromarray(picture).save(tmp_path / "a picture.png")
    arguments = ["--model", model, *arguments, "--input", "a picture.png", "--output", "out.png", "--temperature", "0"]
    status, out, lines = script(environment, tmp_path, *arguments)
    assert (status, out) == (0, "out.png\n"), lines
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")), picture.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_script_tells_how_to_use_it(tools, tmp_path, flag):
    status, out, lines = script(tools(None, lite=False)[0], tmp_path, flag)
    assert (status, lines) == (0, []) and out.startswith("Usage: bash scripts/run_infer_310.sh")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a model with --model and pictures with --input"),
        (["--input", "p.png"], "name a model with --model"),
        (["--model"], "--model needs a value"),
        (["--model", "m.mindir", "--convert="], "--convert needs a value"),
        (["--model", "m.mindir", "--precision-mode", "enforce_fp32"], "--precision-mode is of the conversion"),
        (["--model", "m.mindir", "--input", "p.png"], "no picture or folder at p.png (--input)"),
        (["--model", "m.mindir", "--convert", "16x16"], "m.mindir does not exist: export it anew"),
    ],
)
def test_a_wrong_command_is_refused(tools, tmp_path, arguments, message):
    status, out, lines = script(tools()[0], tmp_path, *arguments)
    assert (status, out, len(lines)) == (2, "", 1) and lines[0].startswith(f"error: {message}")


def test_missing_tools_are_named(model, tools, tmp_path):
    environment, _ = tools(None)
    command = ["--model", model, "--input", model, "--convert", "16x16"]
    status, out, lines = script(environment, tmp_path, *command)
    assert (status, out, len(lines)) == (2, "", 1) and lines[0].startswith("error: converter_lite is not in PATH: ")
    status, out, lines = script(environment | {"PYTHON": "no-python"}, tmp_path, *command)
    assert (status, out, len(lines)) == (2, "", 1) and lines[0].startswith("error: no-python is not there: install ")
    shutil.rmtree(environment["PYTHONPATH"])
    if importlib.util.find_spec("mindspore_lite"):
        pytest.skip("mindspore_lite is installed here")
    status, out, lines = script(environment, tmp_path, *command)
    assert (status, out, len(lines)) == (2, "", 1) and " has no mindspore_lite: install " in lines[0]
