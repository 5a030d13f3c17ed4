"""Descriptions that are wrong, and runtimes that are missing, other, or fail."""

import shutil
import sys
import types

import numpy as np
import onnxruntime
import pytest

from src.build import load_upscaler
from src.errors import UserError
from src.export.artefact import Artefact, OnnxGraph
from src.export.load import upscaler_of
from tests.export import models

NONSENSE = (None, 0, -1, 1.5, True, "x", "../x", [], [1], {}, {"x": 1}, [None, 3, 4], float("nan"))
OF_STEPS = (
    "cut", "scale", "size_multiple", "sampling", "sampling.steps", "sampling.spacing", "sampling.eta",
    "sampling.temperature", "sampling.times", "sampling.sampler", "sampling.consistency", "alphas_cumprod",
    "trained_alphas_cumprod", "process", "process.prediction", "process.residual_scale", "process.clip", "lr_up",
    "reach", "reach.network", "cost", "cost.denoise", "config", "config.name", "graphs", "graphs.step",
    "graphs.step.file", "graphs.step.sha256", "graphs.step.inputs", "graphs.step.inputs.0.shape",
)  # fmt: skip
OF_SAMPLERS = ("cut", "sampling.steps", "graphs.sampler", "graphs.sampler.inputs.0.shape", "noise_draws")


@pytest.fixture
def copied(exports, tmp_path):
    """``copied(name)`` is a copy of one of them that may be changed."""
    return lambda name: shutil.copytree(exports(name), tmp_path / name)


@pytest.mark.parametrize(
    ("name", "field"), [*(("step", field) for field in OF_STEPS), *(("sampler", field) for field in OF_SAMPLERS)]
)
def test_nonsense_in_a_description_is_one_line(exports, copied, photo, name, field):
    """Signed as if it were right; what makes no difference gives a picture."""
    copy, (picture, _) = copied(name), models.picture(photo, 8, 8)
    for value in NONSENSE:
        shutil.copy(exports(name) / "m.onnx.json", copy)

        def change(about, value=value):
            *parents, last = (int(key) if key.isdecimal() else key for key in field.split("."))
            for key in parents:
                about = about[key]
            about[last] = value

        models.rewrite(copy, change)
        for run in (lambda: upscaler_of(Artefact(copy)).upscale([picture]), lambda: load_upscaler(copy)):
            try:
                run()
            except UserError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["step", "whole"])
def test_numbers_that_are_none_are_no_picture(exports, photo, monkeypatch, name):
    artefact = Artefact(exports(name))
    graph = artefact.graphs[artefact.cut]
    monkeypatch.setitem(artefact.graphs, artefact.cut, lambda *inputs: (graph(*inputs)[0] * np.float32(np.nan),))
    with pytest.raises(UserError, match=r"m.onnx.json gave numbers that are none .* exported in float32"):
        upscaler_of(artefact).upscale([models.picture(photo, 8, 8)[0]])


def test_a_run_that_fails_is_one_line(exports):
    with pytest.raises(UserError, match="onnxruntime cannot run .*m.onnx on inputs .1, 5, 8, 8. .*: take smaller"):
        Artefact(exports("whole")).graphs["whole"](np.zeros((1, 5, 8, 8), np.float32))


def test_a_graph_that_enlarges_otherwise(copied):
    copy = copied("step")
    models.rewrite(copy, lambda about: about.update(scale=2))
    with pytest.raises(UserError, match="contradicts its configuration in its field scale: export it anew"):
        load_upscaler(copy)


# MindSpore Lite is not on PyPI: its documented interface, made of MindSpore


class LiteTensor:
    """``mindspore_lite.Tensor``: filled from and read as NumPy; refuses another shape than its own."""

    def __init__(self, shape):
        self.shape, self.array = list(shape), None

    def set_data_from_numpy(self, array):
        assert list(array.shape) == self.shape and array.flags.c_contiguous
        self.array = array

    def get_data_to_numpy(self):
        return self.array


class LiteModel:
    """``mindspore_lite.Model`` whose inputs have to be resized before they are filled."""

    def build_from_file(self, path, kind, context):
        import mindspore as ms

        assert kind == "MINDIR" and context.target == ["cpu"] and context.cpu.thread_num >= 1
        self.cell = ms.nn.GraphCell(ms.load(path))
        self.inputs = [LiteTensor([1])]

    def get_inputs(self):
        return self.inputs

    def resize(self, inputs, shapes):
        assert inputs is self.inputs
        self.inputs = [LiteTensor(shape) for shape in shapes]

    def predict(self, inputs):
        import mindspore as ms

        output = LiteTensor([1])
        output.array = self.cell(*(ms.Tensor(tensor.array) for tensor in inputs)).asnumpy()
        return [output]


def test_mindspore_lite(exports, photo, monkeypatch):
    context = types.SimpleNamespace(cpu=types.SimpleNamespace(thread_num=0), target=[])
    lite = types.SimpleNamespace(
        Context=lambda: context, Model=LiteModel, ModelType=types.SimpleNamespace(MINDIR="MINDIR")
    )
    monkeypatch.setitem(sys.modules, "mindspore_lite", lite)
    one = load_upscaler(exports("whole", "mindir"), "CPU", runtime="mindspore_lite")
    two = load_upscaler(exports("whole") / "m.onnx", "CPU")
    for size in ((9, 11), (9, 11), (5, 6)):  # the second time at the same size
        picture, _ = models.picture(photo, *size)
        assert np.abs(one.upscale([picture])[0].astype(int) - two.upscale([picture])[0]).max() <= 1


def test_no_runtime_at_all(exports, monkeypatch):
    monkeypatch.setitem(sys.modules, "mindspore", None)
    monkeypatch.setitem(sys.modules, "mindspore_lite", None)
    with pytest.raises(UserError, match=".mindir needs mindspore or mindspore_lite .*: install it"):
        Artefact(exports("whole", "mindir"))
    with pytest.raises(UserError, match="the runtime for .onnx must be onnxruntime, not 'mindspore'"):
        Artefact(exports("whole"), "mindspore")


def test_air_runs_elsewhere(copied):
    copy = copied("whole")
    (copy / "m.onnx").rename(copy / "m.air")
    models.rewrite(copy, lambda about: about["graphs"]["whole"].update(file="m.air"))
    with pytest.raises(UserError, match=".air models run elsewhere"):
        Artefact(copy)


def test_two_models_in_a_folder(copied):
    copy = copied("whole")
    shutil.copy(copy / "m.onnx.json", copy / "other.onnx.json")
    with pytest.raises(UserError, match="expected one exported model in the folder .*, found m.onnx, other.onnx"):
        load_upscaler(copy)


@pytest.mark.parametrize(("environment", "number"), [({}, 0), ({"MS_ROLE": "MS_WORKER", "DEVICE_ID": "3"}, 3)])
def test_a_rank_runs_an_export_on_its_own_device(monkeypatch, environment, number):
    for name in ("MS_ROLE", "DEVICE_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    asked = []
    runtime = types.SimpleNamespace(
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=lambda model, options, providers: asked.extend(providers),
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    OnnxGraph("m.onnx", ["lr"], ["sr"], "GPU")
    assert asked == [("CUDAExecutionProvider", {"device_id": number}), "CPUExecutionProvider"]
