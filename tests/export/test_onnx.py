"""ONNX: equal to the checkpoint over sizes, in both precisions, and without mindspore where it is run."""

import json
import subprocess
import sys

import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from src.build import load_upscaler
from src.errors import UserError
from src.export import onnx_model, onnx_operators
from src.export.artefact import file_hash
from src.export.check import deviations, random_pictures
from src.export.mindir import Graph, Operator, read_mindir
from src.export.onnx_model import OPSET, Translation
from src.families.registry import family_of
from src.imaging.io import write_image
from tests import tiny
from tests.export import models

SIZES = ((1, 1), (8, 8), (5, 19), (16, 12))


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tiny_checkpoints):
    """The tiny SRDiff's export, not to be changed."""
    folder = tmp_path_factory.mktemp("onnx")
    models.write(tiny_checkpoints["srdiff"], folder / "m.onnx")
    return folder / "m.onnx"


def kinds(path):
    return [node.op_type for node in onnx.load(str(path)).graph.node]


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", models.MODELS)
def test_it_equals_the_checkpoint_over_sizes(name, precision, tmp_path):
    checkpoint = models.checkpoint(tmp_path / "w.ckpt", name)
    written = models.write(checkpoint, tmp_path / "m.onnx", precision=precision)
    pair = load_upscaler(tmp_path / "m.onnx", "CPU"), load_upscaler(checkpoint, "CPU", runtime="mindspore")
    found = list(deviations(*pair, random_pictures(SIZES)))
    assert len({entry.picture for entry in found}) == len(SIZES)
    assert max(entry.largest for entry in found) < {"float32": 1e-4, "float16": 2e-2}[precision]
    for path in written[:-1]:
        model = onnx.load(str(path))
        assert model.opset_import[0].version == OPSET
        sizes = {onnx.TensorProto.FLOAT: 0, onnx.TensorProto.FLOAT16: 0, onnx.TensorProto.INT64: 0}
        for tensor in model.graph.initializer:
            sizes[tensor.data_type] += len(tensor.raw_data)
        halves = sizes[onnx.TensorProto.FLOAT16] > sizes[onnx.TensorProto.FLOAT]  # bicubic's weights stay exact
        assert halves == (precision == "float16") and (halves or not sizes[onnx.TensorProto.FLOAT16])


def test_a_batch_and_its_pictures(exported, tiny_checkpoints):
    lr = np.random.default_rng(0).uniform(-1, 1, (3, 3, 6, 7)).astype(np.float32)
    pair = load_upscaler(exported, "CPU"), load_upscaler(tiny_checkpoints["srdiff"], "CPU", runtime="mindspore")
    one, two = (up.sample(lr, seed=[4, 5, 6]) for up in pair)
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_tiles(exported, tiny_checkpoints, photo):
    from src.inference.tile_size import TileOptions

    _, lr = models.picture(photo, 40, 24)
    options = TileOptions(tile=96, halo=16)
    pair = [
        load_upscaler(path, "CPU", tile_options=options, runtime=runtime)
        for path, runtime in ((exported, None), (tiny_checkpoints["srdiff"], "mindspore"))
    ]
    assert len(pair[0].tiling.grid(1, 40, 24).windows) > 1
    one, two = (up.sample(lr) for up in pair)
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_what_the_graphs_are_made_of(exported):
    """One operator each for LeakyReLU, a convolution and its bias, and Mish without MindSpore's guard."""
    encode, step = kinds(exported.with_name("m.encode.onnx")), kinds(exported)
    assert "LeakyRelu" in encode and "Max" not in encode
    assert step.count("Exp") == step.count("Min") > 0 and "Where" not in step
    model = onnx.load(str(exported))
    assert all(len(node.input) == 3 for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose", "Gemm"))
    shapes = [[d.dim_param or d.dim_value for d in entry.type.tensor_type.shape.dim] for entry in model.graph.input]
    assert shapes[0] == ["batch", 3, "x_t_height", "x_t_width"] and shapes[1] == ["batch"]


def test_infer_py_runs_it_without_mindspore(exported, tmp_path, photo):
    write_image(tmp_path / "in.png", photo[100:107, 100:109])
    hidden = "import sys; sys.modules['mindspore'] = None; sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv[0]); "
    code = hidden + "import runpy; runpy.run_path(sys.argv[0] + '/infer.py', run_name='__main__')"
    command = [sys.executable, "-c", code, tiny.ROOT, "--model", exported, "--input", "in.png", "--output", "out.png"]
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path)
    assert process.returncode == 0 and (tmp_path / "out.png").is_file(), process.stderr


def test_a_file_that_onnxruntime_cannot_load(tiny_checkpoints, tmp_path):
    models.write(tiny_checkpoints["rrdb"], tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes((tmp_path / "m.onnx").read_bytes()[:500])
    with pytest.raises(UserError, match="m.onnx is damaged"):
        load_upscaler(tmp_path / "m.onnx")
    models.rewrite(tmp_path / "m.onnx", lambda d: d["graphs"]["whole"].update(sha256=file_hash(tmp_path / "m.onnx")))
    with pytest.raises(UserError, match=f"onnxruntime {onnxruntime.__version__} cannot load .*m.onnx: export it anew"):
        load_upscaler(tmp_path / "m.onnx")


def test_an_onnx_of_another_program(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"whatever")
    with pytest.raises(UserError, match="x.onnx lacks its description x.onnx.json: export it anew"):
        load_upscaler(tmp_path / "x.onnx")


def test_another_runtime(exported):
    with pytest.raises(UserError, match="the runtime for .onnx must be onnxruntime, not 'mindspore_lite'"):
        load_upscaler(exported, runtime="mindspore_lite")


def test_a_device_that_this_onnxruntime_has_not(exported):
    if "CANNExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime runs on Ascend")
    with pytest.raises(UserError, match="this onnxruntime has no CANNExecutionProvider: use --device CPU"):
        load_upscaler(exported, "Ascend")


def test_the_description_names_the_versions(exported):
    description = json.loads(exported.with_name("m.onnx.json").read_text())
    assert description["versions"]["onnx"] == onnx.__version__ and description["versions"]["opset"] == OPSET


# The translation by itself


def translated(operators, constants, inputs=("x",)):
    """The nodes of a graph that is translated."""
    translation = Translation()
    translation.translate(Graph(list(inputs), operators[-1].output, constants, operators), list(inputs))
    return translation


def test_an_operator_without_translation():
    with pytest.raises(UserError, match="the operator Erf has no translation to ONNX here: use --format mindir"):
        translated([Operator("Erf", ("x",), "y", 4, np.float32, {})], {})


@pytest.mark.parametrize("slope", [0.2, 0.0, 1.5])
def test_only_a_slope_up_to_1_is_leaky_relu(slope):
    operators = [
        Operator("Muls", ("x", "slope"), "s", 4, np.float32, {}),
        Operator("Maximum", ("s", "x"), "y", 4, np.float32, {}),
    ]
    found = translated(operators, {"slope": slope}).nodes
    assert (found[-1].op_type == "LeakyRelu") == (slope <= 1)


def test_a_guard_for_another_value_stays():
    operators = [
        Operator("Mish", ("x",), "m", 4, np.float32, {}),
        Operator("Greater", ("z", "limit"), "g", 4, np.float32, {}),
        Operator("Select", ("g", "x", "m"), "y", 4, np.float32, {}),
    ]
    assert translated(operators, {"limit": 20.0}, ("x", "z")).nodes[-1].op_type == "Where"


def test_a_bias_for_a_result_that_others_take_too_is_added_apart():
    attributes = {"kernel_size": (1, 1), "stride": (1, 1, 1, 1), "dilation": (1, 1, 1, 1), "group": 1}
    attributes |= {"pad_mode": "valid", "pad": (0, 0, 0, 0)}
    operators = [
        Operator("Conv2D", ("x", "w"), "c", 4, np.float32, attributes),
        Operator("BiasAdd", ("c", "b"), "d", 4, np.float32, {}),
        Operator("Add", ("c", "d"), "y", 4, np.float32, {}),
    ]
    constants = {"w": np.ones((2, 3, 1, 1), np.float32), "b": np.ones(2, np.float32)}
    found = translated(operators, constants).nodes
    assert [node.op_type for node in found] == ["Conv", "Reshape", "Add", "Add"] and len(found[0].input) == 2


def test_constants_keep_their_rank_and_are_stored_once():
    array = np.float32([1, 2])
    translation = Translation()
    assert translation.tensor(array) == translation.tensor(array) != translation.tensor(array.copy())
    scalar = translation.initializers[translation.tensor(0.5)]
    assert numpy_helper.to_array(scalar).shape == ()


def test_control_flow_is_refused(tmp_path):
    import mindspore as ms
    from mindspore import nn

    class Loop(nn.Cell):
        def construct(self, x):
            while x.sum() < 10:
                x = x + 1
            return x

    ms.export(Loop(), ms.Tensor([1.0]), file_name=str(tmp_path / "loop.mindir"), file_format="MINDIR")
    with pytest.raises(UserError, match="has control flow"):
        read_mindir(tmp_path / "loop.mindir")


def test_every_operator_in_the_table_is_a_function():
    assert all(callable(function) for function in onnx_operators.TABLE.values())


def test_for_the_cpu_residuals_are_scaled_by_channel_and_half_weights_stored_in_half(tmp_path):
    made = tiny.config("rrdb", None, "encoder.features=16")
    model = tiny.model(made)
    for parameter in model.get_parameters():
        parameter.set_data(parameter.astype(ms.float16).astype(ms.float32))
    ((role, (cell, inputs)),) = family_of(made).graphs(model).items()
    paths = {for_cpu: tmp_path / f"{for_cpu}.onnx" for for_cpu in (False, True)}
    for for_cpu, path in paths.items():
        onnx_model.write_onnx(path, role, cell, inputs, for_cpu=for_cpu)
    attributes = [[entry for node in onnx.load(path).graph.node for entry in node.attribute] for path in paths.values()]
    by_channel = [sum(entry.name == "group" and entry.i == 16 for entry in each) for each in attributes]
    assert by_channel == [0, 2]  # one in each block
    assert paths[True].stat().st_size < 0.7 * paths[False].stat().st_size
    lr = np.random.default_rng(0).uniform(-1, 1, (1, 3, 6, 7)).astype(np.float32)
    one, two = (onnxruntime.InferenceSession(str(path)).run(None, {"lr": lr})[0] for path in paths.values())
    np.testing.assert_allclose(one, two, atol=1e-5)


def current_graph():
    """The one graph of a tiny RRDB, its Cell, and what it gives for a picture as MindSpore runs it."""
    config = tiny.config("rrdb")
    model = tiny.model(config)
    ((role, (cell, inputs)),) = family_of(config).graphs(model).items()
    lr = np.random.default_rng(0).uniform(-1, 1, (1, 3, 6, 7)).astype(np.float32)
    return onnx_model.CurrentGraph(role, cell, inputs, True), model, lr


def test_what_onnx_lacks_is_validated_by_mindspore(monkeypatch, caplog):
    graph, model, lr = current_graph()
    monkeypatch.setattr(onnx_operators, "TABLE", {})
    graph.refresh()
    assert "MindSpore runs the validation, since ONNX Runtime cannot: the operator" in caplog.text
    np.testing.assert_allclose(graph(lr)[0].asnumpy(), model(ms.Tensor(lr)).asnumpy(), atol=1e-6)
