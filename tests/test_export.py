"""export.py from its command line."""

import pytest

import export
from src.errors import UserError
from src.runtime import select_device
from tests import tiny


@pytest.fixture
def command(monkeypatch):
    """``command(arguments…)`` runs export.py's main in this process."""

    def command(*arguments):
        select_device("CPU")
        monkeypatch.setattr("sys.argv", ["export.py", "--device", "CPU", *map(str, arguments)])
        export.main()

    return command


def test_it_exports_and_checks(tiny_checkpoints, tmp_path):
    output = tmp_path / "an export é" / "m.mindir"
    arguments = ["--checkpoint", tiny_checkpoints["srdiff"], "--output", output, "--check", "--device", "CPU"]
    (tmp_path / "cwd").mkdir()
    status, out, lines = tiny.run("export.py", *arguments, cwd=tmp_path / "cwd")
    assert status == 0, lines
    assert out.splitlines()[:3] == [str(output.with_name(name)) for name in ("m.encode.mindir", "m.mindir", "m.json")]
    assert out.splitlines()[3].startswith("largest deviation from the checkpoint: ")
    assert list((tmp_path / "cwd").iterdir()) == []


@pytest.mark.parametrize(
    ("form", "name", "message"),
    [
        ("air", "m.air", "--format air needs an Ascend machine .*: use --format mindir"),
        ("mindir", "m.onnx", "must end in .mindir"),
        ("mindir", "m", "must end in .mindir"),
    ],
)
def test_what_cannot_be_exported(command, tiny_checkpoints, tmp_path, form, name, message):
    with pytest.raises(UserError, match=message):
        command("--checkpoint", tiny_checkpoints["rrdb"], "--format", form, "--output", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_no_checkpoint(command, tmp_path):
    with pytest.raises(UserError, match="no checkpoint at"):
        command("--checkpoint", tmp_path / "w.ckpt", "--output", tmp_path / "m.mindir")


def test_a_check_that_fails(command, tiny_checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr("src.export.exporter.largest_deviation", lambda *pair: [((1, 1), 2e-4)])
    with pytest.raises(UserError, match="deviates by 2.0e-04, more than 0.0001: do not use it"):
        command("--checkpoint", tiny_checkpoints["rrdb"], "--output", tmp_path / "m.mindir", "--check")
