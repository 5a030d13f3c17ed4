"""export.py from its command line."""

import pytest

from src.cli import export
from src.commands.export import default_output
from src.errors import UserError
from src.export.check import Deviation
from src.host.device import select_device
from tests import tiny


@pytest.fixture
def command(monkeypatch):
    """``command(arguments…)`` runs export.py's main in this process."""

    def command(*arguments):
        select_device("CPU")
        monkeypatch.setattr("sys.argv", ["export.py", "--device", "CPU", *map(str, arguments)])
        export.main()

    return command


@pytest.mark.parametrize("kind", ["mindir", "onnx"])
def test_it_exports_and_checks(kind, tiny_checkpoints, tmp_path):
    output = tmp_path / "an export é" / f"m.{kind}"
    arguments = ["--checkpoint", tiny_checkpoints["srdiff"], "--output", output, "--format", kind, "--device", "CPU"]
    (tmp_path / "cwd").mkdir()
    status, out, lines = tiny.run("export.py", *arguments, cwd=tmp_path / "cwd")
    assert status == 0, lines
    names = (f"m.encode.{kind}", f"m.{kind}", f"m.{kind}.json", "offline.pyz")
    assert out.splitlines()[:4] == [str(output.with_name(name)) for name in names]
    assert out.splitlines()[4].split() == ["stage", "largest", "deviation", "at"]
    stages = [line.rsplit(maxsplit=1)[0][:14].strip() for line in out.splitlines()[5:]]
    assert stages == ["condition", "base picture", "step t=0", "step t=2", "step t=3", "picture"]
    assert list((tmp_path / "cwd").iterdir()) == []


def test_a_sampler_with_its_own_settings(command, tiny_checkpoints, tmp_path, capsys):
    arguments = ["--checkpoint", tiny_checkpoints["srdiff"], "--output", tmp_path / "m.onnx"]  # its format
    command(*arguments, "--graph", "sampler", "--size", 8, 12, "--batch", 2, "--sampler", "ddim", "--steps", 3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [str(tmp_path / name) for name in ("m.onnx", "m.onnx.json", "offline.pyz")]
    assert lines[4].startswith("picture ")


def test_without_the_check(command, tiny_checkpoints, tmp_path, capsys):
    command("--checkpoint", tiny_checkpoints["rrdb"], "--output", tmp_path / "m.mindir", "--no-check")
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--format", "air", "--output", "m.air"],
            "--format air needs an Ascend machine .*: use --format mindir or onnx",
        ),
        (["--output", "m.onnx", "--format", "mindir"], "must end in .mindir for --format mindir, not 'm.onnx'"),
        (["--output", "m"], "must end in .mindir"),
        (["--output", "m.mindir", "--size", 8, 8], "this export takes any, leave them out"),
        (["--output", "m.mindir", "--batch", 0], "this export takes any, leave them out"),
        (["--output", "m.mindir", "--graph", "sampler", "--batch", 0], "and --batch 1 or more, not 128 x 128 and 0"),
        (["--output", "m.mindir", "--batch", 2], "this export takes any, leave them out"),
        (["--output", "m.mindir", "--graph", "sampler", "--size", 0, 8], "must be multiples of 2, at least 4"),
        (["--output", "m.mindir", "--sampler", "euler"], "sampler must be one of"),
        (["--output", "m.mindir", "--temperature", -1], "the temperature must be a number from 0 to 100"),
        (["--output", "m.mindir", "--steps", 5], "the number of sampling steps must be from 1 to 4"),
    ],
)
def test_what_cannot_be_exported(command, tiny_checkpoints, tmp_path, arguments, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        command("--checkpoint", tiny_checkpoints["srdiff"], *arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_rrdb_samples_nothing(command, tiny_checkpoints, tmp_path):
    with pytest.raises(UserError, match="this model samples nothing: .* --consistency alone"):
        command("--checkpoint", tiny_checkpoints["rrdb"], "--output", tmp_path / "m.mindir", "--steps", 2)


def test_no_checkpoint(command, tmp_path):
    with pytest.raises(UserError, match="no checkpoint at"):
        command("--checkpoint", tmp_path / "w.ckpt", "--output", tmp_path / "m.mindir")


def test_a_check_that_fails(command, tiny_checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr("src.export.check.deviations", lambda *_: [Deviation("picture", "random", 2e-4)])
    with pytest.raises(UserError, match="deviates by 2.0e-04, more than 0.0001: nothing was written"):
        command("--checkpoint", tiny_checkpoints["rrdb"], "--output", tmp_path / "m.mindir")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("checkpoint", "arguments", "name"),
    [
        ("x/w.ckpt", ("mindir", "step", "float32"), "w/w.mindir"),
        ("x/w.ckpt", ("onnx", "sampler", "float16"), "w/w.sampler.float16.onnx"),
        ("runs/mine/model.ckpt", ("onnx", "step", "float32"), "mine/mine.onnx"),
        ("runs/mine/best.ckpt", ("air", "step", "float32"), "mine/mine.air"),
    ],
)
def test_where_it_goes_by_default(checkpoint, arguments, name, tmp_path):
    assert default_output(tmp_path / checkpoint, *arguments) == f"results/{name}"
