"""infer.py with an exported model in place of a checkpoint."""

import pytest

from src.cli import infer
from src.errors import UserError
from src.imaging.io import read_rgb, write_image
from tests.export import models


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """A folder with the steps, the whole sampler, and the RRDB of a model; not to be changed."""
    folder = tmp_path_factory.mktemp("my exports é")
    checkpoint = models.checkpoint(folder / "w.ckpt", "srdiff folded")
    models.write(checkpoint, folder / "step.onnx")
    models.write(checkpoint, folder / "sampler.onnx", "sampler", (16, 12))
    models.write(models.checkpoint(folder / "rrdb.ckpt", "rrdb nearest"), folder / "rrdb.onnx")
    return folder


@pytest.fixture
def command(monkeypatch, capsys, tmp_path, photo):
    """``command(model, arguments…)`` runs infer.py's main on a picture; returns the names that it printed."""
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a picture.png", photo[100:120, 190:204])

    def command(model, *arguments):
        given = [*(["--model", model] if model else []), "--input", "a picture.png", "--output", "out"]
        monkeypatch.setattr("sys.argv", ["infer.py", *map(str, [*given, *arguments])])
        infer.main()
        return [line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines()]

    return command


@pytest.mark.parametrize("name", ["step", "sampler"])
def test_several_samples(exports, command, tmp_path, name):
    names = [f"a picture_{end}.png" for end in ("1", "2", "mean", "std", "best", "compare")]
    assert command(exports / f"{name}.onnx", "--samples", 2, "--compare", "--device", "CPU") == names
    one, two = (read_rgb(tmp_path / "out" / f"a picture_{k}.png") for k in (1, 2))
    assert one.shape == (80, 56, 3) and (one != two).any()


def test_an_rrdb(exports, command, tmp_path):
    assert command(exports / "rrdb.onnx") == ["a picture.png"]
    assert read_rgb(tmp_path / "out" / "a picture.png").shape == (80, 56, 3)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("sampler.onnx", ["--steps", 3], "steps is 2 in this graph of a whole sampler, not 3"),
        ("sampler.onnx", ["--tile", 64], "takes LR pictures of 12 x 16 only: leave --tile and --max-memory out"),
        ("rrdb.onnx", ["--samples", 2], "this model samples nothing"),
        ("step.onnx", ["--runtime", "mindspore"], "the runtime for .onnx must be onnxruntime, not 'mindspore'"),
        (".", [], "expected one exported model in the folder .*, found rrdb.onnx, sampler.onnx, step.onnx"),
    ],
)
def test_what_cannot_be_asked_for(exports, command, tmp_path, name, arguments, message):
    with pytest.raises(UserError, match=message):
        command(name and exports / name, *arguments)
    assert not list(tmp_path.glob("out/*"))


def test_interpolation_and_fusion(exports, command, tmp_path, photo):
    names = [f"a picture_{end}" for end in ("000.png", "001.png", "strip.png")] + ["a picture.webp"]
    for name in ("step", "sampler"):
        given = (exports / f"{name}.onnx", "--device", "CPU")
        assert command(*given, "--interpolate", 0, 5, "--frames", 2) == names
        ends = [read_rgb(tmp_path / "out" / f"a picture_00{k}.png") for k in (0, 1)]
        for end, seed in zip(ends, (0, 5), strict=True):
            command(*given, "--seed", seed)
            assert (read_rgb(tmp_path / "out" / "a picture.png") == end).all()
    write_image(tmp_path / "content.png", photo[200:260, 100:180])
    fuse = ("--device", "CPU", "--fuse", "content.png", "--box", "4,4,30,20")
    assert command(exports / "step.onnx", *fuse) == ["a picture.png"]
    with pytest.raises(UserError, match="or an export with --graph step"):
        command(exports / "sampler.onnx", *fuse)
