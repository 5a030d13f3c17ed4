"""The environment that is set before mindspore is imported, and the choice of the device."""

import os
import platform
import subprocess
import sys
import types

import pytest

from src.build import load_upscaler
from src.errors import UserError
from src.host import device
from tests.tiny import ROOT


@pytest.fixture
def without_mindspore(monkeypatch):
    """An environment in which nothing is set and mindspore seems not to be imported."""
    monkeypatch.delitem(sys.modules, "mindspore", raising=False)
    for name in ("ONEDNN_MAX_CPU_ISA", "GLOG_v"):
        monkeypatch.setenv(name, "")  # so that monkeypatch restores it
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("machine", "isa"), [("x86_64", "AVX2"), ("AMD64", "AVX2"), ("aarch64", None), ("arm64", None), ("", None)]
)
def test_the_convolutions_are_set_right_on_x86_alone(monkeypatch, without_mindspore, machine, isa):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    device.prepare()
    assert os.environ.get("ONEDNN_MAX_CPU_ISA") == isa
    assert os.environ.get("GLOG_v") == "3"  # noqa: SIM112


def test_what_the_user_has_set_stays(monkeypatch, without_mindspore):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    monkeypatch.setenv("GLOG_v", "1")
    device.prepare()
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX512_CORE"
    assert os.environ.get("GLOG_v") == "1"  # noqa: SIM112


def test_it_is_set_before_mindspore_is_there(tmp_path):
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); import src.host.device as r; "
        "assert 'mindspore' not in sys.modules and 'ONEDNN_MAX_CPU_ISA' not in os.environ; "
        "r.platform.machine = lambda: 'x86_64'; r.prepare(); "
        "assert os.environ['ONEDNN_MAX_CPU_ISA'] == 'AVX2' and 'mindspore' not in sys.modules"
    )
    bare = {key: value for key, value in os.environ.items() if key not in ("ONEDNN_MAX_CPU_ISA", "GLOG_v")}
    subprocess.run([sys.executable, "-c", program, str(ROOT)], check=True, cwd=tmp_path, env=bare)


@pytest.mark.parametrize("name", ["TPU", ""])
def test_an_unknown_device(name):
    with pytest.raises(UserError, match=f"device must be one of Ascend, GPU, CPU, not '{name}'"):
        device.select_device(name)
    with pytest.raises(UserError, match=f"device must be one of Ascend, GPU, CPU, not '{name}'"):
        load_upscaler("export.onnx", name)


@pytest.mark.parametrize(("name", "driver"), [("GPU", "NVIDIA"), ("Ascend", "Ascend")])
def test_a_device_without_its_driver(monkeypatch, name, driver):
    def missing(_):
        raise OSError

    monkeypatch.setattr(device.ctypes, "CDLL", missing)
    monkeypatch.setattr(device.glob, "glob", lambda _: [])
    with pytest.raises(UserError, match=rf"device {name} is not available here \(no {driver} driver.*use --device CPU"):
        device.select_device(name)


def test_a_device_that_mindspore_was_not_built_for(monkeypatch):
    import mindspore

    def refuse(name, number):
        raise RuntimeError(f"{name} is not supported\n----\n- C++ call stack\n----")

    monkeypatch.setattr(device, "_driver_missing", lambda device: None)
    monkeypatch.setattr(mindspore, "set_device", refuse)
    with pytest.raises(UserError, match=r"device GPU is not available here \(GPU is not supported\)") as caught:
        device.select_device("GPU")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message", "words"),
    [
        (
            "GPU",
            "Load dynamic library: libmindspore_ascend.so.2 failed. libge_runner.so: cannot open shared object file\n"
            "Load dynamic library: libmindspore_gpu.so.11.6 failed. libcudnn.so.8: cannot open shared object file",
            ["libmindspore_gpu.so.11.6 does not find libcudnn.so.8", "cuDNN 8 in LD_LIBRARY_PATH"],
        ),
        ("GPU", "", ["$CUDA_HOME/bin/nvcc is CUDA 11's, and CUDA_HOME is /opt/cuda-12", "and CUDA_HOME"]),
        (
            "Ascend",
            "Load dynamic library: libmindspore_ascend.so.2 failed. libge_runner.so: cannot open shared object file",
            ["libmindspore_ascend.so.2 does not find libge_runner.so", "whose set_env.sh is sourced"],
        ),
    ],
)
def test_what_a_plugin_lacks_is_named(monkeypatch, name, message, words):
    import mindspore

    def refuse(name, number):
        raise RuntimeError(
            f"Unsupported device target {name}. This process only supports one of the ['CPU'].\n{message}"
        )

    monkeypatch.setenv("CUDA_HOME", "/opt/cuda-12")
    monkeypatch.setattr(device, "_driver_missing", lambda device: None)
    monkeypatch.setattr(mindspore, "set_device", refuse)
    with pytest.raises(UserError) as caught:
        device.select_device(name)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in [*words, "docs/devices.md", "use --device CPU"])


def test_each_rank_takes_a_device_of_its_own(monkeypatch):
    import mindspore

    taken = []
    monkeypatch.setattr(mindspore, "set_device", lambda *arguments: taken.append(arguments))
    for role in ("MS_WORKER", "MS_SCHED", ""):
        monkeypatch.setenv("MS_ROLE", role)
        if role == "MS_WORKER":
            monkeypatch.setenv("DEVICE_ID", "3")
        else:
            monkeypatch.delenv("DEVICE_ID", raising=False)
        device.select_device("CPU")
    assert taken == [("CPU", 3), ("CPU", 0), ("CPU", None)]


def test_the_device_may_be_chosen_after_the_first_operator(tmp_path):
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import mindspore as ms; "
        "from src.host.device import select_device; (ms.Tensor([1.0]) + 1).asnumpy(); "
        "assert select_device('CPU') == select_device('CPU') == 'CPU'"
    )
    subprocess.run([sys.executable, "-c", program, str(ROOT)], check=True, cwd=tmp_path)


@pytest.mark.parametrize("graph", [False, True])
def test_the_cpu_is_taken_where_there_is_nothing_else(monkeypatch, graph):
    import mindspore

    monkeypatch.setattr(device, "_driver_missing", lambda device: None if device == "CPU" else "none")
    assert device.select_device(graph=graph) == "CPU"
    assert mindspore.get_context("device_target") == "CPU"
    assert mindspore.get_context("mode") == (mindspore.GRAPH_MODE if graph else mindspore.PYNATIVE_MODE)


def test_the_memory_of_a_device_is_told_or_guessed(monkeypatch, caplog):
    ms = pytest.importorskip("mindspore")
    assert device.device_memory() is None  # the CPU's is the machine's
    contexts = {"device_target": "GPU", "device_id": 3}
    monkeypatch.setattr(ms, "get_context", contexts.__getitem__)
    told = types.SimpleNamespace(total_memory=80 << 30)
    monkeypatch.setattr(ms.hal, "get_device_properties", lambda number, device: {(3, "GPU"): told}[number, device])
    assert device.device_memory() == 80 << 30
    monkeypatch.setattr(ms.hal, "get_device_properties", lambda number, device: 1 / None)
    assert device.device_memory() == 16 << 30
    assert "GPU does not tell its memory" in caplog.text


def test_without_mindspore_a_driver_is_no_reason_to_ask_for_it(monkeypatch):
    monkeypatch.setattr(device, "_driver_missing", lambda name: None)
    monkeypatch.setitem(sys.modules, "mindspore", None)
    assert device.is_cpu() and not device.is_cpu("GPU")


COMPILES = """
import sys
sys.path.insert(0, sys.argv[1])
before = sys.stderr, sys.__stderr__
from src.host.device import select_device
assert select_device("cpu") == "CPU"
import mindspore as ms
assert ms.nn.ReLU()(ms.Tensor([-1.0])) == 0
assert (sys.stderr, sys.__stderr__) == before, sys.stderr
"""


@pytest.mark.parametrize("started", [["compiles.py"], ["-m", "package"]])
def test_mindspores_graph_cache_leaves_stderr_alone(started, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "other.py").touch()
    (tmp_path / "package" / "__main__.py").write_text("from . import other as other\n" + COMPILES)
    (tmp_path / "compiles.py").write_text(COMPILES)
    environment = os.environ | {"MS_COMPILER_CACHE_ENABLE": "1", "MS_COMPILER_CACHE_PATH": str(tmp_path / "graphs")}
    command = [sys.executable, *started, str(ROOT)]
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    assert list((tmp_path / "graphs").iterdir())  # it was on
