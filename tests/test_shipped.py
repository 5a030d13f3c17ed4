"""The checkpoints that come with the project: small, whole, and as good as recorded."""

import json

import numpy as np
import pytest

from benchmarks.shipped_scores import RECORD, SHIPPED, scores
from src.build import load_upscaler
from src.config.loader import config_to_dict
from src.families.registry import config_of
from src.host.shipped import CHECKPOINTS
from src.inference.upscaler import to_network, to_pixels
from src.weights.checkpoint import load_checkpoint
from tests import tiny


def test_together_they_are_small():
    assert sum(path.stat().st_size for path in CHECKPOINTS.rglob("*") if path.is_file()) < 40e6


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_they_are_finished_models_in_float16_and_name_no_machine(path):
    checkpoint = load_checkpoint(path)
    assert {name.split(".")[0] for name in checkpoint.arrays} <= {"encoder", "unet", "generator"}
    assert {array.dtype for array in checkpoint.arrays.values()} == {np.dtype(np.float16)}
    config = config_of(checkpoint)
    assert config.name == path.stem
    sections = (value for value in config_to_dict(config).values() if isinstance(value, dict))
    texts = [text for section in sections for text in section.values() if isinstance(text, str)]
    assert len(texts) > 10 and not any(text.startswith("/") for text in texts)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_their_scores_are_those_recorded(path):
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))[path.name]
    for name, found in scores(path).items():
        assert found["psnr"] == pytest.approx(recorded[name]["psnr"], abs=0.02)
        assert found["ssim"] == pytest.approx(recorded[name]["ssim"], abs=0.001)
        assert found["lr_psnr"] == pytest.approx(recorded[name]["lr_psnr"], abs=0.2)


def test_infer_takes_them_when_nothing_is_named(tmp_path, photo):
    from src.imaging.io import read_rgb, write_image

    write_image(tmp_path / "photo.png", photo[:32, :40])
    status, out, lines = tiny.run("infer.py", "--input", "photo.png", "--output", "large.png", cwd=tmp_path)
    assert (status, out.strip()) == (0, "large.png"), lines
    assert "the model is checkpoints/srdiff_lite_x4_fewstep.ckpt" in lines[0]
    assert read_rgb(tmp_path / "large.png").shape == (128, 160, 3)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_their_exports_come_along(path, photo, tmp_path, monkeypatch):
    monkeypatch.setenv("MINDSPORE_SR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("src.build.load_model", None)
    exported = load_upscaler(path, "CPU")
    assert not (tmp_path / "cache").exists()
    monkeypatch.undo()
    lr = to_network([photo[100:180, 200:290]])
    both = exported, load_upscaler(path, "CPU", runtime="mindspore")
    ours, mindspores = (up.sample(lr, seed=1) for up in both)
    np.testing.assert_allclose(ours, mindspores, rtol=0, atol=1e-4)
    pixels, theirs = (to_pixels(each)[0].astype(int) for each in (ours, mindspores))
    # Over eight steps the order of sums moves numbers by 255 / 2^24 levels or two, and as many over an edge.
    assert np.abs(pixels - theirs).max() <= 1
    assert (pixels != theirs).mean() <= 2 * 255 / 2**24


def test_a_whole_sampler_is_exported_as_it_samples(tmp_path):
    options = ("--graph", "sampler", "--size", "40", "40", "--format", "onnx", "--output", "m.onnx")
    status, out, lines = tiny.run("export.py", *options, cwd=tmp_path)  # it compares the export with the checkpoint
    assert status == 0 and "picture" in out, lines
