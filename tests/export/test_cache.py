"""Exports kept for ONNX Runtime: made once, found again, and never in the way of a picture."""

import errno
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from src.build import load_upscaler, write_export
from src.errors import UserError
from src.export import cache
from src.export.cache import kept_export
from src.imaging.io import read_rgb, write_image
from src.inference.networks import RegressionNetworks
from src.layers.graph import Graph
from src.weights.checkpoint import config_json, save_model
from tests import tiny

LR = np.zeros((8, 9, 3), np.uint8)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Return an empty cache's folder of exports."""
    monkeypatch.setenv("MINDSPORE_SR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "exports"


@pytest.fixture
def checkpoint(tiny_checkpoints):
    return tiny_checkpoints["rrdb"]


@pytest.fixture
def never_exported(monkeypatch):
    """Return a function after whose call an export would be an error."""

    def write(*_, **__):
        raise AssertionError("exported once more")

    return lambda: monkeypatch.setattr("src.build.write_export", write)


def picture(checkpoint, **options):
    return load_upscaler(checkpoint, "CPU", **options).upscale([LR])[0]


def test_the_first_use_makes_it_and_the_second_finds_it(folder, checkpoint, never_exported, caplog):
    caplog.set_level(logging.INFO)
    first = picture(checkpoint)
    assert [message for message in caplog.messages if "for ONNX Runtime in" in message and "find it" in message]
    (entry,) = folder.iterdir()
    assert sorted(path.name for path in entry.iterdir()) == ["model.onnx", "model.onnx.json"]
    never_exported()
    np.testing.assert_array_equal(picture(checkpoint), first)


def test_a_second_start_imports_no_mindspore(folder, checkpoint, tmp_path):
    write_image(tmp_path / "in.png", LR)
    words = ("infer.py", "--checkpoint", checkpoint, "--input", "in.png", "--output", "out.png")
    assert tiny.run(*words, cwd=tmp_path)[0] == 0
    (tmp_path / "mindspore.py").write_text("raise SystemExit('mindspore was imported')")
    os.environ["PYTHONPATH"] = str(tmp_path)
    try:
        status, _, lines = tiny.run(*words, cwd=tmp_path)
    finally:
        del os.environ["PYTHONPATH"]
    assert (status, lines) == (0, [])


def test_another_checkpoint_other_weights_and_another_source_have_their_own(tmp_path, monkeypatch):
    keys = {cache.export_key(digest, ema) for digest in "ab" for ema in (True, False)}
    (tmp_path / "new.py").write_text("pass")
    monkeypatch.setattr(cache, "_SOURCE", tmp_path)
    assert len(keys | {cache.export_key("a", True)}) == 5


@pytest.mark.parametrize("damage", ["truncated", "without its description", "empty"])
def test_a_damaged_entry_is_made_anew(folder, checkpoint, damage):
    expected = picture(checkpoint)
    (entry,) = folder.iterdir()
    if damage == "truncated":
        os.truncate(entry / "model.onnx", 1000)
    for path in {"without its description": [entry / "model.onnx.json"], "empty": entry.iterdir()}.get(damage, ()):
        path.unlink()
    np.testing.assert_array_equal(picture(checkpoint), expected)
    assert len([*folder.iterdir()]) == 1 and len([*entry.iterdir()]) == 2


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch, tmp_path, checkpoint, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINDSPORE_SR_CACHE", str(tmp_path / "file" / "cache"))
    assert picture(checkpoint).shape == (32, 36, 3)
    message, exported = caplog.messages
    assert "cannot be kept in" in message and "name another folder with MINDSPORE_SR_CACHE" in message
    assert "later starts" not in exported


def test_a_cache_that_may_be_read_alone_is_read(monkeypatch, folder, checkpoint, never_exported):
    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    expected = picture(checkpoint)
    monkeypatch.setattr(os, "utime", refuse)
    never_exported()
    np.testing.assert_array_equal(picture(checkpoint), expected)


def test_weights_that_a_training_replaces_meanwhile_are_not_kept(monkeypatch, folder, tiny_checkpoints, tmp_path):
    path = Path(shutil.copy(tiny_checkpoints["rrdb"], tmp_path / "w.ckpt"))

    def replaced(checkpoint, output, ema=True):
        shutil.copy(tiny_checkpoints["srdiff"], path)
        write_export(checkpoint, output, ema)

    monkeypatch.setattr("src.build.write_export", replaced)
    picture(path)
    assert not folder.exists()


@pytest.mark.parametrize("damage", [b"", b"PK"])
def test_a_checkpoint_that_is_none_is_told_once(folder, tmp_path, damage, caplog):
    (tmp_path / "w.ckpt").write_bytes(damage)
    with pytest.raises(UserError, match="not a whole MindSpore checkpoint|of another kind"):
        load_upscaler(tmp_path / "w.ckpt", "CPU")
    assert caplog.messages == []


def test_a_checkpoint_that_may_not_be_read(monkeypatch, folder, checkpoint):
    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(cache, "file_hash", refuse)
    with pytest.raises(UserError, match="cannot be read .Permission denied.: name a file that you may read"):
        load_upscaler(checkpoint, "CPU")


def test_errors_name_the_checkpoint(folder, tmp_path):
    made = tiny.config("rrdb")
    weights = {p.name: np.full(p.shape, np.nan, np.float32) for p in tiny.model(made).get_parameters()}
    save_model(tmp_path / "w.ckpt", weights, config_json(made), 0)
    with pytest.raises(UserError, match=r"w\.ckpt gave numbers that are none"):
        picture(tmp_path / "w.ckpt")


def test_a_full_disk_leaves_no_half_an_export(monkeypatch, folder, checkpoint, caplog):
    def full(source, target, **_):
        Path(target, "half").touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copytree", full)
    assert picture(checkpoint).shape == (32, 36, 3)
    assert list(folder.iterdir()) == [] and "No space left on device" in caplog.text


def test_without_a_temporary_folder_mindspore_runs_it(monkeypatch, folder, checkpoint, caplog):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    assert picture(checkpoint).shape == (32, 36, 3)
    assert "MindSpore runs" in caplog.text


def test_what_cannot_be_exported_is_run_by_mindspore(monkeypatch, folder, checkpoint, caplog):
    from src.export import onnx_operators

    monkeypatch.setattr(onnx_operators, "TABLE", {})
    up = load_upscaler(checkpoint, "CPU")
    assert isinstance(up.networks, RegressionNetworks) and isinstance(up.networks.graph, Graph)
    (message,) = caplog.messages
    assert message.startswith(f"MindSpore runs {checkpoint}, since ONNX Runtime cannot: the operator ")
    with pytest.raises(UserError, match="has no translation to ONNX here"):
        load_upscaler(checkpoint, "CPU", runtime="onnxruntime")


def test_no_cache_keeps_nothing(folder, checkpoint):
    picture(checkpoint, cache=False)
    assert not folder.exists()


def test_two_processes_that_export_at_once(folder, checkpoint, tmp_path):
    write_image(tmp_path / "in.png", LR)
    words = ["infer.py", "--checkpoint", checkpoint, "--input", "in.png", "--output"]
    both = [tiny.start(*words, name, cwd=tmp_path) for name in ("1.png", "2.png")]
    assert [tiny.finish(process)[0] for process in both] == [0, 0]
    np.testing.assert_array_equal(read_rgb(tmp_path / "1.png"), read_rgb(tmp_path / "2.png"))
    (entry,) = folder.iterdir()
    assert len([*entry.iterdir()]) == 2


def test_what_was_used_longest_ago_is_dropped(monkeypatch, folder, tmp_path):
    def write(path):
        path.write_bytes(bytes(100))

    monkeypatch.setattr(cache, "LIMIT", 250)
    monkeypatch.setattr(cache, "_open", opened)
    for number in range(4):
        checkpoint = tmp_path / f"{number}.ckpt"
        checkpoint.write_bytes(bytes([number]))
        kept_export(checkpoint, write)
        if number == 1:
            os.utime(cache_entry(folder, tmp_path / "0.ckpt"), (2e9, 2e9))
    assert {path.name for path in folder.iterdir()} == {
        cache_entry(folder, tmp_path / f"{number}.ckpt").name for number in (0, 3)
    }


def cache_entry(folder, checkpoint):
    return folder / cache.export_key(cache.file_hash(checkpoint), True)


def opened(path, checkpoint):
    if not os.path.isdir(path):
        raise UserError("not there")
    return path
