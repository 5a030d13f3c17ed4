"""MindIR: equal to the checkpoint over sizes, refused when damaged, and run without the model's source."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.build import load_upscaler
from src.config.loader import config_to_dict
from src.errors import UserError
from src.export import mindir
from src.export.artefact import Artefact, file_hash
from src.export.check import deviations, random_pictures
from src.export.exporter import check_request
from src.export.runner import pack
from src.imaging.io import read_rgb, write_image
from tests import tiny
from tests.export import models

SIZES = ((1, 1), (8, 8), (5, 19), (16, 12))


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tiny_checkpoints):
    """The tiny SRDiff's export, not to be changed."""
    folder = tmp_path_factory.mktemp("ein Export – é")
    models.write(tiny_checkpoints["srdiff"], folder / "m.mindir")
    return folder


@pytest.fixture
def copied(exported, tmp_path):
    """A copy of the export that may be damaged."""
    for path in exported.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path / "m.mindir"


@pytest.mark.parametrize("name", models.MODELS)
def test_it_equals_the_checkpoint_over_sizes(name, tmp_path):
    checkpoint = models.checkpoint(tmp_path / "w.ckpt", name)
    written = models.write(checkpoint, tmp_path / "m.mindir")
    roles = ["m.mindir"] if name.startswith("rrdb") else ["m.encode.mindir", "m.mindir"]
    assert [path.name for path in written] == [*roles, "m.mindir.json"]
    pair = load_upscaler(tmp_path / "m.mindir", "CPU"), load_upscaler(checkpoint, "CPU")
    found = list(deviations(*pair, random_pictures(SIZES)))
    assert len({entry.picture for entry in found}) == len(SIZES)
    assert max(entry.largest for entry in found) < 1e-4


def test_a_batch_and_its_pictures(exported, tiny_checkpoints):
    lr = np.random.default_rng(0).uniform(-1, 1, (3, 3, 6, 7)).astype(np.float32)
    pair = load_upscaler(exported / "m.mindir", "CPU"), load_upscaler(tiny_checkpoints["srdiff"], "CPU")
    one, two = (up.sample(lr, seed=[4, 5, 6]) for up in pair)
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_16_bits(tiny_checkpoints, exported, tmp_path):
    for system in ("rrdb", "srdiff"):
        models.write(tiny_checkpoints[system], tmp_path / f"{system}.mindir", precision="float16")
        pair = load_upscaler(tmp_path / f"{system}.mindir", "CPU"), load_upscaler(tiny_checkpoints[system], "CPU")
        found = [entry.largest for entry in deviations(*pair, random_pictures())]
        assert 0 < max(found) < 2e-2
    half, whole = (
        (folder / name).stat().st_size for folder, name in ((tmp_path, "srdiff.mindir"), (exported, "m.mindir"))
    )
    assert half < 0.9 * whole  # half of the weights; the graph itself is as large


def test_the_description(exported, tiny_checkpoints):
    description = json.loads((exported / "m.mindir.json").read_text(encoding="utf-8"))
    assert description["checkpoint"] == {"name": "srdiff.ckpt", "sha256": file_hash(tiny_checkpoints["srdiff"])}
    assert description["config"] == config_to_dict(tiny.config("srdiff"))
    facts = {"kind": "mindir", "cut": "step", "precision": "float32", "scale": 4, "size_multiple": 2}
    assert facts.items() <= description.items() and description["value_range"] == [-1, 1]
    assert description["sampling"]["times"] == [3, 0] and len(description["alphas_cumprod"]) == 4
    step = description["graphs"]["step"]
    assert [entry["name"] for entry in step["inputs"]] == ["x_t", "t", "condition"]
    assert step["inputs"][0]["shape"] == [None, 3, None, None] and step["inputs"][1]["dtype"] == "int32"
    assert sorted(path.name for path in exported.iterdir()) == ["m.encode.mindir", "m.mindir", "m.mindir.json"]


def description_of(m):
    return m.with_name("m.mindir.json")


DAMAGES = {
    "no json": (lambda m: description_of(m).unlink(), "lacks its description m.mindir.json"),
    "half a json": (lambda m: description_of(m).write_text('{"format": '), "cannot be read as JSON"),
    "binary json": (lambda m: description_of(m).write_bytes(b"\xff\xfe\x00"), "cannot be read as JSON"),
    "a list": (lambda m: description_of(m).write_text("[]"), "does not describe a model of this project"),
    "another format": (lambda m: models.rewrite(m, lambda d: d.update(format="onnx")), "does not describe a model"),
    "another version": (
        lambda m: models.rewrite(m, lambda d: d.update(format_version=99)),
        "format version 99, this program",
    ),
    "changed": (
        lambda m: models.rewrite(m, lambda d: d.update(scale=2), sign=False),
        "was changed after the export",
    ),
    "another scale": (
        lambda m: models.rewrite(m, lambda d: d.update(scale=2)),
        "contradicts its configuration in its field scale",
    ),
    "no graphs": (lambda m: models.rewrite(m, lambda d: d.pop("graphs")), "m.mindir.json is incomplete"),
    "one graph": (lambda m: models.rewrite(m, lambda d: d["graphs"].pop("step")), "m.mindir.json is incomplete"),
    "graphs a list": (lambda m: models.rewrite(m, lambda d: d.update(graphs=[1])), "m.mindir.json is incomplete"),
    "another cut": (lambda m: models.rewrite(m, lambda d: d.update(cut="?")), "m.mindir.json is incomplete"),
    "no settings": (lambda m: models.rewrite(m, lambda d: d.pop("config")), "m.mindir.json is incomplete"),
    "no step": (lambda m: m.write_bytes(b""), "m.mindir is damaged or from another export"),
    "half a step": (lambda m: m.write_bytes(m.read_bytes()[:1000]), "m.mindir is damaged or from another export"),
    "no encoder": (lambda m: m.with_name("m.encode.mindir").unlink(), "m.encode.mindir is missing"),
    "swapped": (lambda m: shutil.copy(m, m.with_name("m.encode.mindir")), "m.encode.mindir is damaged or from another"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_export_is_refused_in_one_line(copied, damage):
    change, message = DAMAGES[damage]
    change(copied)
    with pytest.raises(UserError, match=f"{message}.*export it anew with export.py") as caught:
        load_upscaler(copied, "CPU")
    assert "\n" not in str(caught.value)


def test_a_check_that_fails_leaves_the_older_export(copied, tiny_checkpoints):
    before = {path.name: path.read_bytes() for path in copied.parent.iterdir()}
    seen = []

    def check(path):
        seen.append(load_upscaler(path, "CPU").scale)
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        models.write(tiny_checkpoints["rrdb"], copied, check=check)
    assert seen == [4] and {path.name: path.read_bytes() for path in copied.parent.iterdir()} == before


def test_a_device_that_this_mindspore_has_not(copied):
    with pytest.raises(UserError, match="mindspore has no device Ascend here: use --device CPU"):
        Artefact(copied, "mindspore", "Ascend")


def test_a_file_that_mindspore_cannot_load(copied):
    copied.write_bytes(b"rubbish")
    models.rewrite(copied, lambda d: d["graphs"]["step"].update(sha256=file_hash(copied)))
    with pytest.raises(UserError, match="mindspore .* cannot load .*m.mindir"):
        load_upscaler(copied, "CPU")


def test_a_moved_export_still_runs_and_a_renamed_one_says_what_is_missing(copied):
    assert load_upscaler(copied, "CPU").scale == load_upscaler(copied.parent, "CPU").scale == 4
    renamed = copied.rename(copied.with_name("other.mindir"))
    with pytest.raises(UserError, match="other.mindir lacks its description other.mindir.json"):
        load_upscaler(renamed, "CPU")


def test_a_failing_export_leaves_the_older_one(copied, tiny_checkpoints, monkeypatch):
    before = {path.name: path.read_bytes() for path in copied.parent.iterdir()}

    def fail(cell, *inputs, file_name, file_format):
        if "step" in file_name:
            raise ZeroDivisionError
        Path(file_name).write_bytes(b"new")

    monkeypatch.setattr(mindir.ms, "export", fail)
    with pytest.raises(ZeroDivisionError):
        models.write(tiny_checkpoints["srdiff"], copied)
    assert {path.name: path.read_bytes() for path in copied.parent.iterdir()} == before


@pytest.mark.parametrize("kind", ["mindir", "onnx"])
def test_weights_that_mindspore_splits_are_refused(kind, tiny_checkpoints, tmp_path, monkeypatch):
    def split(cell, *inputs, file_name, file_format):
        Path(file_name.replace(".mindir", "_graph.mindir")).write_bytes(b"graph")

    monkeypatch.setattr(mindir.ms, "export", split)
    with pytest.raises(UserError, match="one file of up to 1 GB, but MindSpore splits .* --precision float16 halves"):
        models.write(tiny_checkpoints["rrdb"], tmp_path / f"m.{kind}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind", "cut", "precision", "device", "message"),
    [
        ("m.onnx", "mindir", "step", "float32", "CPU", "must end in .mindir for --format mindir, not 'm.onnx'"),
        ("m.mindir", "onnx", "step", "float32", "CPU", "must end in .onnx for --format onnx, not 'm.mindir'"),
        ("m.mindir", "air", "step", "float32", "Ascend", "must end in .air for --format air, not 'm.mindir'"),
        ("m.air", "air", "step", "float32", "CPU", "--format air needs an Ascend machine"),
        ("m.air", "air", "step", "float32", "GPU", "--format air needs an Ascend machine"),
        ("m.air", "air", "sampler", "float32", "Ascend", "--format air takes --graph step"),
        ("m.air", "air", "step", "float16", "Ascend", "ATC chooses the precision"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_the_work(name, kind, cut, precision, device, message):
    with pytest.raises(UserError, match=message):
        check_request(name, kind, cut, precision, device)


def test_a_folder_that_is_a_file(tmp_path, tiny_checkpoints):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write the exported model"):
        models.write(tiny_checkpoints["rrdb"], tmp_path / "file" / "m.mindir")


def test_it_runs_without_the_models_source(exported, tiny_checkpoints, tmp_path, photo):
    write_image(tmp_path / "in.png", photo[100:107, 100:109])
    command = [sys.executable, "-I", pack(tmp_path), "--model", exported / "m.mindir", "--device", "CPU"]
    command += ["--input", "in.png", "--output", "out.png", "--seed", "5", "--steps", "3"]
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert process.returncode == 0, process.stderr

    up = load_upscaler(tiny_checkpoints["srdiff"], "CPU")
    (expected,) = up.upscale([photo[100:107, 100:109]], seeds=[5], steps=3)
    difference = read_rgb(tmp_path / "out.png").astype(int) - expected
    assert np.abs(difference).max() <= 1 and np.mean(difference != 0) < 0.01  # 1e-4 may cross a rounding edge
