"""src/export/offline.py by itself: the same pictures as infer.py, from this one file and a model's files."""

import functools
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from src.build import load_upscaler
from src.diffusion.samplers import SeededNoise
from src.errors import UserError
from src.export import offline
from src.export.offline import Artefact, ArtefactError, Consistency, Windows, upscale
from src.imaging.back_projection import BackProjection
from src.imaging.io import read_image, write_image
from src.inference.tiling import Grid
from tests import tiny
from tests.export import models

SCRIPT = tiny.ROOT / "src" / "export" / "offline.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Exports of two models; not to be changed."""
    folder = tmp_path_factory.mktemp("offline")
    checkpoint = models.checkpoint(folder / "w.ckpt", "srdiff folded")
    models.write(checkpoint, folder / "step" / "m.onnx")
    models.write(checkpoint, folder / "sampler" / "m.onnx", "sampler", (16, 12))
    rrdb = models.checkpoint(folder / "rrdb.ckpt", "rrdb nearest")
    models.write(rrdb, folder / "whole" / "m.onnx", consistency=True)
    return folder


@pytest.fixture(scope="module")
def loaded(folder):
    """``loaded(name)`` gives the upscaler of infer.py and offline.py's artefact of one of them."""
    return functools.cache(lambda name: (load_upscaler(folder / name, "CPU"), Artefact(folder / name, device="CPU")))


def run(*arguments, cwd, python=sys.executable):
    """Run offline.py, or a copy of it, as a command; return status, stdout and stderr's lines."""
    process = subprocess.run([python, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)
    return process.returncode, process.stdout, process.stderr.splitlines()


def apart(one, two):
    """The largest difference in levels, and the share of values that differ."""
    difference = np.abs(one.astype(int) - two)
    return difference.max(), np.mean(difference > 0)


# Equal to the project's own


@pytest.mark.parametrize("options", [
    {}, {"steps": 1}, {"steps": 4, "temperature": 1.0, "consistency": False}, {"eta": 0.5}, {"temperature": 0.0},
    {"sampler": "ddpm", "steps": 3}, {"sampler": "sr3", "temperature": 0.3}, {"sampler": "dpmpp_2m", "steps": 4},
    {"sampler": "dpmpp_2m_sde", "steps": 4, "consistency": False},
])  # fmt: skip
def test_it_samples_like_infer_py(loaded, photo, options):
    up, artefact = loaded("step")
    picture, _ = models.picture(photo, 13, 21)
    expected = up.upscale([picture], seeds=[7], **options)[0]
    largest, share = apart(upscale(artefact, picture, seed=7, **options), expected)
    assert largest <= 1 and share < 0.01


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (17, 3)])
@pytest.mark.parametrize("name", ["step", "whole", "sampler"])
def test_any_size(loaded, photo, name, size):
    up, artefact = loaded(name)
    picture, _ = models.picture(photo, *size)
    largest, share = apart(upscale(artefact, picture, seed=2), up.upscale([picture], seeds=[2])[0])
    tiled = name == "sampler" and max(size) > 16  # infer.py blends its tiles
    assert largest <= (30 if tiled else 1) and share < (0.5 if tiled else 0.01)


@pytest.mark.parametrize("name", ["step", "whole"])
def test_tiles_give_nearly_the_whole(loaded, photo, name, monkeypatch):
    _, artefact = loaded(name)
    monkeypatch.setattr(offline, "HALO", 48)
    picture, _ = models.picture(photo, 60, 40)
    largest, _ = apart(upscale(artefact, picture, tile=0), upscale(artefact, picture, tile=192))
    assert len(Windows(60, 40, 4, artefact.description["size_multiple"], 192).spans) > 1 and largest <= 3


def test_the_noise():
    np.testing.assert_array_equal(offline.normal(9, 3, (1, 3, 4, 5)), SeededNoise([9])(3, (1, 3, 4, 5)))


@pytest.mark.parametrize(("height", "width", "scale"), [(1, 1, 4), (2, 9, 2), (13, 21, 4), (40, 8, 8)])
def test_consistency(height, width, scale):
    rng = np.random.default_rng(0)
    lr = rng.uniform(-0.9, 1, (1, 3, height, width)).astype(np.float32)
    x = rng.uniform(-1.2, 1.2, (1, 3, height * scale, width * scale)).astype(np.float32)
    ours, theirs = Consistency(lr, scale), BackProjection(height, width, scale)
    np.testing.assert_allclose(ours.reduce(x), theirs.reduce(x), atol=1e-5)
    np.testing.assert_allclose(ours.project(x, lr), theirs.project(x.copy(), lr), atol=1e-4)
    np.testing.assert_allclose(ours.fit(0.1 * x), theirs.fit(0.1 * x, lr), atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (13, 50), (200, 90)])
def test_padding_is_that_of_the_grid(size):
    for multiple in (4, 8, 32):
        assert [offline.padded(n, 4, multiple) for n in size] == list(Grid(*size, 4, multiple).padded)


@pytest.mark.parametrize("tile", [96, 128, 250])
@pytest.mark.parametrize("size", [(50, 90), (16, 100)])
def test_windows_cover_every_pixel_once(size, tile):
    windows = Windows(*size, 4, 16, tile)
    count = np.zeros((1, 1, *windows.size), int)
    x = np.random.default_rng(0).normal(size=count.shape)
    result = np.zeros_like(x)
    for span in windows.spans:
        part = windows.cut(x, span)
        windows.put(result, part, span)
        mine = np.zeros_like(count)
        windows.put(mine, np.ones_like(part, int), span)
        count += mine
    assert (count == 1).all() and (result == x).all()


# As a command


def test_the_command(folder, tmp_path, photo):
    (tmp_path / "my pictures").mkdir()
    picture = photo[100:109, 200:212]
    write_image(tmp_path / "my pictures" / "a.png", picture)
    write_image(tmp_path / "my pictures" / "a.jpg", picture)
    gray = picture.mean(2).astype(np.uint8)
    write_image(tmp_path / "my pictures" / "gray é.png", np.stack([gray, gray.T[: gray.shape[0], :1].repeat(12, 1)], 2))
    arguments = (SCRIPT, "--model", folder / "step", "--input", "my pictures", "--output", "out", "--device", "CPU")
    status, out, lines = run(*arguments, cwd=tmp_path)
    assert status == 0, lines
    assert out.splitlines() == ["out/a.jpg.png", "out/a.png.png", "out/gray é.png"]
    result = read_image(tmp_path / "out" / "gray é.png")
    assert result.gray and result.alpha.shape == result.rgb.shape[:2] == (36, 48)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg.png", "a.png.png", "gray é.png"]


def test_turned_and_16_bit_pictures(tmp_path, photo):
    image = Image.fromarray(photo[:20, :30])
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(photo[:20, :30, 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    for name in ("turned.png", "deep.png"):
        rgb, alpha, gray = offline.read_picture(tmp_path / name)
        theirs = read_image(tmp_path / name)
        np.testing.assert_array_equal(rgb, theirs.rgb)
        assert alpha is theirs.alpha is None and gray == theirs.gray


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "none.onnx"], "none.onnx does not exist"),
        (["--model", "."], "expected one exported model in the folder ., found none: name its file"),
        (["--input", "none.png"], "no picture or folder none.png: check --input"),
        (["--input", "empty"], "no pictures in the folder empty"),
        (["--input", "broken.png"], "cannot read broken.png as a picture"),
        (["--steps", "0"], "the number of sampling steps must be from 1 to 4 for this model, not 0"),
        (["--temperature", "nan"], "the temperature must be a number from 0 to 100, not nan"),
        (["--seed", "-1"], "--seed must be from 0 to 2^64 - 1"),
        (["--seed", "9" * 42], "--seed must be from 0 to 2^64 - 1"),
        (["--threads", "0"], "--threads from 1 to 1024"),
        (["--sampler", "ddpm", "--eta", "0.5"], "eta is an option of ddim, from 0 to 1, not 0.5 of ddpm"),
        (["--runtime", "mindspore"], "the runtime for .onnx must be onnxruntime, not 'mindspore'"),
        (["--output", "a.png/x.png"], "cannot write a.png/x.png"),
        (["--output", "x.nothing"], "cannot write x.nothing"),
    ],
)
def test_mistakes(folder, tmp_path, photo, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png", photo[:40, :40])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "empty").mkdir()
    defaults = ["--model", str(folder / "step"), "--input", "a.png", "--output", "out.png"]
    monkeypatch.setattr(sys, "argv", ["offline.py", *defaults, *arguments])
    with pytest.raises(ArtefactError) as caught:
        offline.main()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    status, out, lines = run(SCRIPT, "--model", "none.onnx", "--input", "x", cwd=tmp_path)
    assert (status, out) == (2, "") and lines[0].startswith("error: ") and len(lines) == 1


@pytest.mark.parametrize("kind", ["onnx", "mindir"])
@pytest.mark.parametrize("size", [(16, 12), (5, 9), (30, 20)])
def test_steps_of_one_size(folder, tmp_path, photo, kind, size):
    """As a conversion for Ascend makes them."""
    models.write(folder / "w.ckpt", tmp_path / f"m.{kind}", size=(16, 12))
    picture, _ = models.picture(photo, *size)
    up, artefact = load_upscaler(tmp_path / f"m.{kind}", "CPU"), Artefact(tmp_path / f"m.{kind}")
    assert artefact.fixed_size == (1, 16, 12) and up.tiling.batch(4, *size) == 1
    one, two = up.upscale([picture], seeds=[3])[0], upscale(artefact, picture, seed=3)
    assert one.shape == two.shape == (4 * size[0], 4 * size[1], 3)
    whole = Artefact(folder / "step")
    if size == (16, 12):
        assert max(apart(sr, upscale(whole, picture, seed=3))[0] for sr in (one, two)) <= 1
    else:
        assert np.mean(np.abs(one.astype(int) - two)) < 3


NONSENSE = (None, 0, -1, 1.5, True, "x", "../x", [], [1], {}, {"x": 1}, [None, 3, 4], float("nan"))
FIELDS = [
    "cut",
    "scale",
    "size_multiple",
    "sampling",
    "sampling.steps",
    "sampling.eta",
    "sampling.temperature",
    "sampling.times",
    "sampling.sampler",
    "sampling.consistency",
    "alphas_cumprod",
    "process",
    "process.prediction",
    "process.residual_scale",
    "process.clip",
    "config",
    "graphs",
    "graphs.step",
    "graphs.step.file",
    "graphs.step.sha256",
    "graphs.step.inputs",
    "graphs.step.inputs.0.shape",
    "noise_draws",
]


OF_SAMPLERS = ("cut", "sampling.steps", "sampling.times", "graphs.step", "graphs.step.inputs.0.shape", "noise_draws")


@pytest.mark.parametrize(
    ("name", "field"), [*(("step", field) for field in FIELDS), *(("sampler", field) for field in OF_SAMPLERS)]
)
def test_nonsense_in_a_description_is_one_line(folder, tmp_path, photo, name, field):
    """Signed as if it were right; some of it makes no difference, and then the picture is as before."""
    shutil.copytree(folder / name, tmp_path / "copy")
    field = field.replace("graphs.step", f"graphs.{name}")
    picture, _ = models.picture(photo, 8, 8)
    for value in NONSENSE:
        shutil.copy(folder / name / "m.onnx.json", tmp_path / "copy")

        def change(about, value=value):
            *parents, last = (int(key) if key.isdecimal() else key for key in field.split("."))
            for key in parents:
                about = about[key]
            about[last] = value

        models.rewrite(tmp_path / "copy", change)
        for run in (lambda: upscale(Artefact(tmp_path / "copy"), picture), lambda: load_upscaler(tmp_path / "copy")):
            try:
                run()
            except (ArtefactError, UserError) as error:
                assert "\n" not in str(error) and ":" in str(error)


def test_what_an_rrdb_has_not(loaded, photo):
    with pytest.raises(ArtefactError, match="this model samples nothing: leave steps out"):
        upscale(loaded("whole")[1], models.picture(photo, 8, 8)[0], steps=3)


def test_numbers_that_are_none_are_no_picture(loaded, photo, monkeypatch):
    _, artefact = loaded("whole")
    monkeypatch.setitem(
        artefact._graphs, "whole", lambda lr: (np.full((1, 3, *lr.repeat(4, 2).repeat(4, 3).shape[2:]), np.nan),)
    )
    with pytest.raises(ArtefactError, match="gave numbers that are none"):
        upscale(artefact, models.picture(photo, 8, 8)[0], consistency=False)


def test_a_run_that_fails_is_one_line(loaded):
    with pytest.raises(ArtefactError, match="onnxruntime cannot run .*m.onnx on inputs .1, 5, 8, 8. .*: take smaller"):
        loaded("whole")[1].graph("whole")(np.zeros((1, 5, 8, 8), np.float32))


def test_what_a_sampler_graph_has_fixed(loaded, photo):
    with pytest.raises(ArtefactError, match="these graphs take one size only: leave --tile out"):
        upscale(loaded("sampler")[1], models.picture(photo, 8, 8)[0], tile=64)
    with pytest.raises(ArtefactError, match="steps: fixed in this graph of a whole sampler; export with --graph step"):
        upscale(loaded("sampler")[1], models.picture(photo, 8, 8)[0], steps=3)


def test_a_graph_that_enlarges_otherwise(folder, tmp_path, photo):
    shutil.copytree(folder / "step", tmp_path / "copy")
    models.rewrite(tmp_path / "copy", lambda d: d.update(scale=2))
    with pytest.raises(ArtefactError, match="says x2, but its graph enlarges otherwise: export it anew"):
        upscale(Artefact(tmp_path / "copy"), models.picture(photo, 8, 8)[0])


def test_mindir_runs_too(folder, tmp_path, photo):
    models.write(folder / "w.ckpt", tmp_path / "m.mindir")
    picture, _ = models.picture(photo, 9, 11)
    one, two = (upscale(Artefact(path), picture) for path in (tmp_path / "m.mindir", folder / "step"))
    assert apart(one, two)[0] <= 1


# Without the project


def test_it_imports_nothing_of_the_project():
    text = SCRIPT.read_text(encoding="utf-8")
    assert "from src" not in text and "import src" not in text


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """Python in a virtual environment with onnxruntime and Pillow only; skip where packages cannot be installed."""
    environment = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, capture_output=True)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pillow", "onnxruntime"]
    process = subprocess.run(install, capture_output=True, text=True)
    if process.returncode:
        pytest.skip(f"onnxruntime cannot be installed here: {process.stderr.strip().splitlines()[-1:]}")
    return python


def test_it_runs_in_an_empty_folder_of_a_machine_without_mindspore(bare_python, folder, tmp_path, photo):
    missing = "import importlib.util as u; print([n for n in ('mindspore', 'onnx', 'scipy', 'yaml') if u.find_spec(n)])"
    assert run("-c", missing, cwd=tmp_path, python=bare_python)[1].strip() == "[]"
    picture, _ = models.picture(photo, 13, 21)
    for name in ("step", "sampler", "whole"):
        there = tmp_path / name
        shutil.copytree(folder / name, there)
        shutil.copy(SCRIPT, there)
        write_image(there / "in.png", picture)
        arguments = ("-I", "offline.py", "--model", "m.onnx", "--input", "in.png", "--output", "out.png", "--seed", "4")
        status, out, lines = run(*arguments, cwd=there, python=bare_python)
        assert (status, out) == (0, "out.png\n"), lines
        expected = upscale(Artefact(folder / name), picture, seed=4)
        assert apart(read_image(there / "out.png").rgb, expected)[0] <= 1


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
        count = 1 if path.endswith("encode.mindir") else 3
        self.inputs = [LiteTensor([1]) for _ in range(count)]

    def get_inputs(self):
        return self.inputs

    def resize(self, inputs, shapes):
        assert inputs is self.inputs
        self.inputs = [LiteTensor(shape) for shape in shapes]

    def predict(self, inputs):
        import mindspore as ms

        results = self.cell(*(ms.Tensor(given.array) for given in inputs))
        outputs = []
        for result in results if isinstance(results, tuple) else (results,):
            outputs.append(LiteTensor(result.shape))
            outputs[-1].array = result.asnumpy()
        return outputs


def test_mindspore_lite(folder, tmp_path, photo, monkeypatch):
    context = types.SimpleNamespace(cpu=types.SimpleNamespace(thread_num=0), target=[])
    lite = types.SimpleNamespace(
        Context=lambda: context, Model=LiteModel, ModelType=types.SimpleNamespace(MINDIR="MINDIR")
    )
    monkeypatch.setitem(sys.modules, "mindspore_lite", lite)
    models.write(folder / "w.ckpt", tmp_path / "m.mindir")
    up = load_upscaler(tmp_path / "m.mindir", "CPU", runtime="mindspore_lite")
    expected = load_upscaler(folder / "step").upscale([models.picture(photo, 9, 11)[0]])[0]
    for _ in range(2):  # the second time at the same size
        assert apart(up.upscale([models.picture(photo, 9, 11)[0]])[0], expected)[0] <= 1
    assert up.upscale([models.picture(photo, 5, 6)[0]])[0].shape == (20, 24, 3)


def test_no_runtime_at_all(folder, tmp_path, monkeypatch):
    models.write(folder / "rrdb.ckpt", tmp_path / "m.mindir")
    monkeypatch.setitem(sys.modules, "mindspore", None)
    monkeypatch.setitem(sys.modules, "mindspore_lite", None)
    with pytest.raises(ArtefactError, match=".mindir needs mindspore or mindspore_lite .*: install it"):
        Artefact(tmp_path / "m.mindir")


def test_air_runs_elsewhere(folder, tmp_path):
    shutil.copytree(folder / "whole", tmp_path / "copy")
    (tmp_path / "copy" / "m.onnx").rename(tmp_path / "copy" / "m.air")
    models.rewrite(tmp_path / "copy", lambda d: d["graphs"]["whole"].update(file="m.air"))
    with pytest.raises(ArtefactError, match=".air models run elsewhere"):
        Artefact(tmp_path / "copy")


def test_two_models_in_a_folder(folder, tmp_path):
    for name in ("one", "two"):
        models.write(folder / "rrdb.ckpt", tmp_path / f"{name}.onnx")
    with pytest.raises(UserError, match="expected one exported model in the folder .*, found one.onnx, two.onnx"):
        load_upscaler(tmp_path)
