"""eval.py with an exported model in place of a checkpoint."""

import importlib
import json

import pytest

from src.export.model import export_model, provenance
from src.imaging.io import write_image
from tests.export import models


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
def test_exports_score_like_their_checkpoint(system, tiny_checkpoints, photo, tmp_path, monkeypatch):
    checkpoint = tiny_checkpoints[system]
    exports = [models.write(checkpoint, tmp_path / f"m.{kind}")[-2] for kind in ("mindir", "onnx")]
    if system == "srdiff":
        exports += [models.write(checkpoint, tmp_path / "s.onnx", "sampler", (16, 16))[0]]
    write_image(tmp_path / "val" / "face.png", photo[60:124, 200:264])  # LR of the sampler's size
    arguments = ["--checkpoint", checkpoint, *exports, "--data", tmp_path / "val", "--lpips", "none", "--device", "CPU"]
    monkeypatch.setattr("sys.argv", ["eval.py", *map(str, [*arguments, "--output", tmp_path / "eval"])])
    importlib.import_module("src.cli.eval").main()
    report = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    means = list(report["mean"].values())[1:]  # without bicubic
    assert len(means) == 1 + len(exports)
    for exported in means[1:]:
        assert {name: round(value, 3) for name, value in exported.items() if value is not None} == {
            name: round(value, 3) for name, value in means[0].items() if value is not None
        }


def test_the_description_has_what_evaluation_needs(tiny_checkpoints):
    from src.build import load_model

    config, model = load_model(tiny_checkpoints["srdiff"])
    about = export_model(config, model)[1] | provenance(tiny_checkpoints["srdiff"], "mindir")
    assert about["config"]["eval"]["protocol"] == config.eval.protocol
