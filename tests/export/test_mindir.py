"""MindIR: equal to the checkpoint over sizes, refused when damaged, and run without the model's source."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.build import export_graphs, load_model, load_upscaler
from src.config.loader import config_to_dict
from src.errors import UserError
from src.export import exporter
from src.export.exporter import check_request, description_hash, export_mindir, largest_deviation
from src.imaging.io import read_rgb, write_image
from src.runtime import select_device
from tests import tiny

SIZES = ((1, 1), (8, 8), (5, 19), (16, 12))
MODELS = {
    "rrdb nearest": ("rrdb", "encoder.upsampler=nearest"),
    "rrdb pixelshuffle": ("rrdb", "encoder.upsampler=pixelshuffle"),
    "srdiff paper": (
        "srdiff", "unet.space_to_depth=1", "unet.attention=true", "unet.groups=4", "unet.add_lr_up=true",
        "diffusion.prediction=noise",
    ),
    "srdiff folded": ("srdiff", "unet.space_to_depth=4", "unet.multipliers=[1,2,2]"),
}  # fmt: skip


def export(checkpoint, output):
    select_device("CPU")
    config, model = load_model(checkpoint)
    return export_mindir(output, export_graphs(config, model), config_to_dict(config), checkpoint)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tiny_checkpoints):
    """The tiny SRDiff's export, not to be changed."""
    folder = tmp_path_factory.mktemp("ein Export – é")
    export(tiny_checkpoints["srdiff"], folder / "m.mindir")
    return folder


@pytest.fixture
def copied(exported, tmp_path):
    """A copy of the export that may be damaged."""
    for path in exported.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path / "m.mindir"


def rewrite(path, change, sign=True):
    """Change a description; ``sign`` it as export.py would."""
    description = json.loads(path.with_suffix(".json").read_text())
    change(description)
    if sign:
        description["sha256"] = description_hash(description)
    path.with_suffix(".json").write_text(json.dumps(description))


@pytest.mark.parametrize("name", MODELS)
def test_it_equals_the_checkpoint_over_sizes(name, tmp_path):
    checkpoint = tiny.save_untrained(tmp_path / "w.ckpt", tiny.config(MODELS[name][0], None, *MODELS[name][1:]))
    written = export(checkpoint, tmp_path / "m.mindir")
    roles = ["m.mindir"] if name.startswith("rrdb") else ["m.encode.mindir", "m.mindir"]
    assert [path.name for path in written] == [*roles, "m.json"]
    found = largest_deviation(load_upscaler(written[-2], "CPU"), load_upscaler(checkpoint, "CPU"), SIZES)
    assert [size for size, _ in found] == list(SIZES)
    assert max(deviation for _, deviation in found) < 1e-4


def test_a_batch_and_its_pictures(exported, tiny_checkpoints):
    lr = np.random.default_rng(0).uniform(-1, 1, (3, 3, 6, 7)).astype(np.float32)
    pair = load_upscaler(exported / "m.mindir", "CPU"), load_upscaler(tiny_checkpoints["srdiff"], "CPU")
    one, two = (up.sample(lr, seed=[4, 5, 6]) for up in pair)
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_the_description(exported, tiny_checkpoints):
    description = json.loads((exported / "m.json").read_text(encoding="utf-8"))
    assert description["checkpoint"] == {"name": "srdiff.ckpt", "sha256": exporter.sha256(tiny_checkpoints["srdiff"])}
    assert description["config"] == config_to_dict(tiny.config("srdiff"))
    assert sorted(path.name for path in exported.iterdir()) == ["m.encode.mindir", "m.json", "m.mindir"]


DAMAGES = {
    "no json": (lambda m: m.with_suffix(".json").unlink(), "lacks its description m.json"),
    "half a json": (lambda m: m.with_suffix(".json").write_text('{"format": '), "cannot be read as JSON"),
    "binary json": (lambda m: m.with_suffix(".json").write_bytes(b"\xff\xfe\x00"), "cannot be read as JSON"),
    "a list": (lambda m: m.with_suffix(".json").write_text("[]"), "does not describe a model of this project"),
    "another format": (lambda m: rewrite(m, lambda d: d.update(format="onnx")), "does not describe a model"),
    "another version": (lambda m: rewrite(m, lambda d: d.update(format_version=99)), "format version 99, this program"),
    "changed": (
        lambda m: rewrite(m, lambda d: d["config"]["data"].update(scale=2), False),
        "was changed after the exp",
    ),
    "no graphs": (lambda m: rewrite(m, lambda d: d.pop("graphs")), "m.json is incomplete"),
    "one graph": (lambda m: rewrite(m, lambda d: d["graphs"].pop("step")), "m.json is incomplete"),
    "graphs a list": (lambda m: rewrite(m, lambda d: d.update(graphs=[1])), "m.json is incomplete"),
    "no settings": (lambda m: rewrite(m, lambda d: d.update(config={})), "m.json is incomplete"),
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


def test_a_file_that_mindspore_cannot_load(copied):
    copied.write_bytes(b"rubbish")
    rewrite(copied, lambda d: d["graphs"]["step"].update(sha256=exporter.sha256(copied)))
    with pytest.raises(UserError, match="mindspore .* cannot load .*m.mindir"):
        load_upscaler(copied, "CPU")


def test_a_moved_export_still_runs_and_a_renamed_one_says_what_is_missing(copied):
    assert load_upscaler(copied, "CPU").scale == 4
    renamed = copied.rename(copied.with_name("other.mindir"))
    with pytest.raises(UserError, match="other.mindir lacks its description other.json"):
        load_upscaler(renamed, "CPU")


def test_a_failing_export_leaves_the_older_one(copied, tiny_checkpoints, monkeypatch):
    before = {path.name: path.read_bytes() for path in copied.parent.iterdir()}

    def fail(cell, *inputs, file_name, file_format):
        if "step" in file_name:
            raise ZeroDivisionError
        Path(file_name).write_bytes(b"new")

    monkeypatch.setattr(exporter.ms, "export", fail)
    with pytest.raises(ZeroDivisionError):
        export(tiny_checkpoints["srdiff"], copied)
    assert {path.name: path.read_bytes() for path in copied.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "kind", "device", "message"),
    [
        ("m.onnx", "mindir", "CPU", "must end in .mindir for --format mindir, not 'm.onnx'"),
        ("m.mindir", "air", "Ascend", "must end in .air for --format air, not 'm.mindir'"),
        ("m.air", "air", "CPU", "--format air needs an Ascend machine"),
        ("m.air", "air", "GPU", "--format air needs an Ascend machine"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_the_work(name, kind, device, message):
    with pytest.raises(UserError, match=message):
        check_request(name, kind, device)


def test_a_folder_that_is_a_file(tmp_path, tiny_checkpoints):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write the exported model"):
        export(tiny_checkpoints["rrdb"], tmp_path / "file" / "m.mindir")


def test_it_runs_without_the_models_source(exported, tiny_checkpoints, tmp_path, photo):
    needed = ["infer.py", "src/__init__.py", "src/*.py", "src/config", "src/imaging", "src/inference", "src/export"]
    needed += ["src/diffusion/__init__.py", "src/diffusion/process.py", "src/diffusion/schedule.py"]
    needed += ["src/diffusion/target.py", "src/diffusion/samplers"]
    for pattern in needed:
        for source in tiny.ROOT.glob(pattern):
            target = tmp_path / "copy" / source.relative_to(tiny.ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    write_image(tmp_path / "in.png", photo[100:107, 100:109])
    command = [sys.executable, tmp_path / "copy" / "infer.py", "--model", exported / "m.mindir", "--device", "CPU"]
    command += ["--input", tmp_path / "in.png", "--output", tmp_path / "out.png", "--seed", "5", "--steps", "3"]
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=bare)
    assert process.returncode == 0, process.stderr

    up = load_upscaler(tiny_checkpoints["srdiff"], "CPU")
    (expected,) = up.upscale([photo[100:107, 100:109]], seeds=[5], steps=3)
    difference = read_rgb(tmp_path / "out.png").astype(int) - expected
    assert np.abs(difference).max() <= 1 and np.mean(difference != 0) < 0.01  # 1e-4 may cross a rounding edge
