"""offline.pyz: what infer.py does with an exported model, from one file where nothing of the project is installed."""

import functools
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from src.build import load_upscaler
from src.cli import infer
from src.errors import UserError
from src.export import runner
from src.export.artefact import Artefact, description_path
from src.export.load import upscaler_of
from src.imaging.io import read_image, read_rgb, write_image
from src.imaging.metadata import Metadata
from src.imaging.resize import imresize
from src.inference.tile_size import TileOptions
from tests.export import models

# Runs offline.pyz as its file alone, in a Python that has only what it says that it needs
ALONE = """
import runpy, sys
sys.modules |= dict.fromkeys(["mindspore", "scipy", "psutil", "tqdm", "yaml", "onnx", "skimage", "torch", "tifffile"])
sys.argv[0] = "offline.pyz"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def loaded(exports):
    """``loaded(name)`` is the upscaler of infer.py of one of them."""
    return functools.cache(lambda name: load_upscaler(exports(name), "CPU"))


@pytest.fixture
def command(monkeypatch, tmp_path, photo):
    """``command(arguments…)`` runs the runner's main beside in.png, which it returns with its LR."""
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "in.png", models.picture(photo, 13, 21)[0])

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["offline.pyz", *map(str, arguments)])
        runner.main()

    return command


def alone(folder, *arguments):
    """Run offline.pyz in a folder; return status, stdout and stderr's lines."""
    runner.pack(folder)
    start = [sys.executable, "-I", "-c", ALONE, *map(str, arguments)]
    process = subprocess.run(start, capture_output=True, text=True, cwd=folder)
    return process.returncode, process.stdout, process.stderr.splitlines()


@pytest.mark.parametrize("name", ["step", "sampler", "whole", "one size"])
def test_alone_it_gives_infers_picture(name, exports, loaded, tmp_path, photo):
    picture, _ = models.picture(photo, 13, 21)
    write_image(tmp_path / "in é.png", np.dstack([picture, picture[..., 0]]))
    arguments = ("--model", exports(name), "--input", "in é.png", "--output", "out.png", "--seed", 4)
    status, out, lines = alone(tmp_path, *arguments)
    assert (status, out) == (0, "out.png\n"), lines
    found = read_image(tmp_path / "out.png")
    np.testing.assert_array_equal(found.rgb, loaded(name).upscale([picture], seeds=[4])[0])
    assert found.alpha.shape == (52, 84)


def test_alone_it_keeps_sixteen_bits_and_refuses_what_infer_refuses(exports, loaded, tmp_path, photo):
    picture = models.picture(photo, 13, 21)[0].astype(np.uint16) * 257
    picture[::2] -= 1  # within the levels of 8 bits
    picture = np.maximum(picture, 1)
    write_image(tmp_path / "in" / "a.tif", picture, Metadata(text={"Title": "t"}))
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "in" / "b.tif")
    arguments = ("--model", exports("step"), "--input", "in", "--output", "out", "--format", "source")
    status, out, lines = alone(tmp_path, *arguments)
    assert (status, out, len(lines)) == (1, "out/a.tif\n", 2), lines
    with pytest.raises(UserError) as caught:
        read_image(tmp_path / "in" / "b.tif")
    assert lines[0] == f"error: {caught.value}".replace(f"{tmp_path}/", "")
    assert lines[1] == "error: 1 of 2 pictures could not be done: the lines above say why"
    found = read_image(tmp_path / "out" / "a.tif")
    np.testing.assert_array_equal(found.rgb, loaded("step").upscale([picture], seeds=[0])[0])
    assert found.rgb.dtype == np.uint16 and len(np.unique(found.rgb % 257)) > 100


@pytest.mark.parametrize(
    ("options", "sampling"),
    [
        ("--steps 4 --temperature 1 --no-consistency", {"steps": 4, "temperature": 1.0, "consistency": False}),
        ("--eta 0.5 --spacing trailing --tile 0", {"eta": 0.5, "spacing": "trailing"}),
        ("--sampler dpmpp_2m_sde --steps 3 --max-memory 64", {"sampler": "dpmpp_2m_sde", "steps": 3}),
    ],
)
def test_it_samples_as_infer_does(options, sampling, exports, loaded, command, photo):
    command("--model", exports("step"), "--input", "in.png", "--output", "out.png", *options.split())
    (expected,) = loaded("step").upscale([models.picture(photo, 13, 21)[0]], seeds=[0], **sampling)
    np.testing.assert_array_equal(read_rgb("out.png"), expected)


def test_a_size_between_is_infers(exports, command, photo, monkeypatch):
    picture, _ = models.picture(photo, 13, 21)
    write_image("in.png", np.dstack([picture, picture[..., 0]]))
    given = ["--model", str(exports("whole")), "--input", "in.png", "--outscale", "3.3"]
    command(*given, "--output", "out.png", "--compare")
    monkeypatch.setattr(sys, "argv", ["infer.py", *given, "--output", "infer.png", "--compare", "--device", "CPU"])
    infer.main()
    for end in ("", "_compare"):
        found, expected = (read_image(f"{name}{end}.png") for name in ("out", "infer"))
        np.testing.assert_array_equal(found.rgb, expected.rgb)
    out = read_image("out.png")
    np.testing.assert_array_equal(out.alpha, imresize(picture[..., 0], size=(43, 69)))
    assert out.rgb.shape == (43, 69, 3)


@pytest.mark.parametrize("name", ["step", "whole"])
def test_tiles_are_those_of_infer(name, exports, command, photo):
    picture, _ = models.picture(photo, 60, 40)
    write_image("in.png", picture)
    command("--model", exports(name), "--input", "in.png", "--output", "out.png", "--tile", 96, "--halo", 16)
    up = load_upscaler(exports(name), "CPU", tile_options=TileOptions(tile=96, halo=16))
    assert not up.tiling.grid(1, 60, 40).whole
    np.testing.assert_array_equal(read_rgb("out.png"), up.upscale([picture], seeds=[0])[0])


def test_several_samples(exports, loaded, command, photo, capsys):
    command("--model", exports("step"), "--input", "in.png", "--output", "out", "--samples", 2, "--compare")
    names = ["1", "2", "mean", "std", "best", "compare"]
    assert capsys.readouterr().out.split() == [f"out/in_{name}.png" for name in names]
    drawn = loaded("step").upscale([models.picture(photo, 13, 21)[0]], seeds=[1])
    np.testing.assert_array_equal(read_rgb("out/in_2.png"), drawn[0])


def test_exports_of_before_say_less(exports, loaded, command, tmp_path, photo):
    """Format 3 began without reach, cost and the part that LR↑ has: infer.py asks the configuration."""
    for file in (exports("step")).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    fields = ("reach", "cost", "lr_up")
    models.rewrite(tmp_path / "m.onnx", lambda about: [about.pop(name) for name in fields])
    picture, _ = models.picture(photo, 13, 21)
    command("--model", "m.onnx", "--input", "in.png", "--output", "out.png")
    np.testing.assert_array_equal(read_rgb("out.png"), loaded("step").upscale([picture], seeds=[0])[0])
    up, whole = load_upscaler(tmp_path / "m.onnx", "CPU"), loaded("step")
    assert up.tiling.settings() == whole.tiling.settings()
    assert up.tiling.memory(up.tiling.grid(1, 13, 21), 1) == whole.tiling.memory(whole.tiling.grid(1, 13, 21), 1)
    with pytest.raises(UserError, match="does not say how far its networks see .*: export it anew"):
        command("--model", "m.onnx", "--input", "in.png", "--max-memory", "2")


@pytest.mark.parametrize("size", [(16, 12), (5, 9), (30, 20)])
def test_steps_of_one_size(size, exports, loaded, photo):
    """As a conversion for Ascend makes them."""
    picture, _ = models.picture(photo, *size)
    artefact = Artefact(exports("one size"))
    assert artefact.fixed_size == (1, 16, 12) and loaded("one size").tiling.batch(4, *size) == 1
    found, same, free = (
        up.upscale([picture], seeds=[3])[0] for up in (upscaler_of(artefact), loaded("one size"), loaded("step"))
    )
    assert found.shape == (4 * size[0], 4 * size[1], 3)
    np.testing.assert_array_equal(found, same)
    if size == (16, 12):
        assert np.abs(found.astype(int) - free).max() <= 1


def test_what_an_upscaler_needs_is_in_the_description(exports, loaded):
    about = json.loads(description_path(exports("step")).read_text())
    up = upscaler_of(Artefact(exports("step")))
    assert (up.name, up.system, up.scale) == (about["config"]["name"], "srdiff", 4)
    assert up.sampling == loaded("step").sampling
    np.testing.assert_array_equal(up.schedule.alphas_cumprod, about["alphas_cumprod"])
    assert about["lr_up"] == "part" and about["reach"]["local"] is True


MISTAKES = {
    "--model none.onnx": "none.onnx does not exist",
    "--model .": "expected one exported model in the folder ., found none: name its file",
    "--input none.png": "no picture or folder at none.png (--input)",
    "--input broken.png": "cannot read broken.png",
    "--steps 0": "the number of sampling steps must be from 1 to 4 for this model, not 0",
    "--temperature nan": "the temperature must be a number from 0 to 100, not nan",
    "--seed -1": "--seed must be from 0 to 2^64 - 1",
    f"--seed {'9' * 42}": "--seed must be from 0 to 2^64 - 1",
    "--threads 0": "--threads must be from 1 to 1024",
    "--samples 0": "--samples from 1 to 1000",
    "--sampler ddpm --eta 0.5": "eta is an option of the sampler ddim, ddpm has none",
    "--sampler euler": "sampler must be one of ddpm, ddim, dpmpp_2m, dpmpp_2m_sde, sr3, not 'euler'",
    "--spacing log": "must be one of uniform",
    "--runtime mindspore": "the runtime for .onnx must be onnxruntime, not 'mindspore'",
    "--output in.png/x.png": "cannot make the folder in.png",
    "--count 2": "--count and --size are for models that make pictures from nothing: leave --input out",
    "--model {whole} --steps 3": "this model samples nothing: leave steps out",
    "--model {sampler} --steps 3": "steps is 2 in this graph of a whole sampler, not 3: leave it out, or export",
    "--model {sampler} --tile 64": "only: leave --tile and --max-memory out",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes_are_one_line(arguments, exports, command, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    given = [word.format(whole=exports("whole"), sampler=exports("sampler")) for word in arguments.split()]
    with pytest.raises(UserError) as caught:
        command("--model", exports("step"), "--input", "in.png", "--output", "out.png", *given)
    assert MISTAKES[arguments] in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out.png").exists()


def test_a_size_between_is_of_pictures_that_are_enlarged(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["offline.pyz", "--model", "x.onnx", "--outscale", "2"])
    with pytest.raises(
        UserError, match="--samples, --compare, --outscale, --format and --quality are for --input: name"
    ):
        runner.main()


def test_a_mistake_is_status_2(tmp_path):
    status, out, lines = alone(tmp_path, "--model", "none.onnx", "--input", "x")
    assert (status, out) == (2, "") and lines[0].startswith("error: ") and len(lines) == 1


def test_alone_it_takes_sub_folders_and_skips_what_is_done(exports, tmp_path, photo):
    picture, _ = models.picture(photo, 13, 21)
    for name in ("a.png", "sub/a.png"):
        write_image(tmp_path / "in" / name, picture)
    arguments = ("--model", exports("step"), "--input", "in", "--output", "out", "--recursive")
    status, out, lines = alone(tmp_path, *arguments)
    assert (status, out.splitlines(), lines) == (0, ["out/a.png", "out/sub/a.png"], [])
    (tmp_path / "out" / "a.png").unlink()
    status, out, lines = alone(tmp_path, *arguments, "--skip-existing")
    told = ["skipped, since they are done: 1 of 2 pictures (sub/a.png)"]
    assert (status, out.splitlines(), lines) == (0, ["out/a.png"], told)
    status, out, lines = alone(tmp_path, *arguments, "--skip-existing", "--seed", 1)
    assert (status, len(out.splitlines()), lines) == (0, 2, [])
