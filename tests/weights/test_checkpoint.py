"""Checkpoint files: what goes in comes out, and everything else is refused in one line."""

import os
import stat

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.errors import UserError
from src.weights import checkpoint
from src.weights.checkpoint import load_arrays, load_checkpoint, load_into, path_of, paths_of, remove_old, save_model

ARRAYS = {
    "encoder.weight": np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2],  # not contiguous
    "optimizer.global_step": np.array([7], np.int32),
    "unet.bias": np.array(0.5, np.float32),
}


@pytest.fixture
def saved(tmp_path):
    """A small checkpoint in a folder whose name has a space and an accent."""
    path = tmp_path / "my run é" / "w.ckpt"
    save_model(path, ARRAYS, '{"name": "é"}', 12)
    return path


def test_what_goes_in_comes_out(saved):
    loaded = load_checkpoint(saved)
    assert (loaded.config_json, loaded.step, loaded.path) == ('{"name": "é"}', 12, saved)
    assert loaded.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert loaded.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded.arrays[name].reshape(array.shape), array)


def test_the_network_alone_with_and_without_its_average(tmp_path):
    arrays = ARRAYS | {"ema.unet.bias": np.array(0.25, np.float32), "run.counts": np.array([1, 2])}
    save_model(tmp_path / "w.ckpt", arrays, "{}", 1)
    loaded = load_checkpoint(tmp_path / "w.ckpt")
    averaged, raw = loaded.model_arrays(), loaded.model_arrays(ema=False)
    assert averaged.keys() == raw.keys() == {"encoder.weight", "unet.bias"}
    assert averaged["unet.bias"] == 0.25 and raw["unet.bias"] == 0.5


def test_the_file_can_be_replaced_and_read_by_others(saved):
    assert stat.S_IMODE(os.stat(saved).st_mode) == 0o644
    save_model(saved, {"a": np.ones(2, np.float32)}, "{}", 13)
    assert load_checkpoint(saved).step == 13 and os.listdir(saved.parent) == ["w.ckpt"]


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES = {
    "empty": lambda content: b"",
    "first half": lambda content: content[: len(content) // 2],
    "last byte missing": lambda content: content[:-1],
    "text": lambda content: b"hello " * 100,
    "zip, as PyTorch's": lambda content: b"PK\x03\x04" + bytes(200),
    "pickle, as PyTorch's": lambda content: b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
    "appended": lambda content: content + content,
} | {f"bit flipped at {k}/8": lambda content, k=k: flipped(content, len(content) * k // 8) for k in range(8)}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_in_one_line(saved, damage, capfd):
    saved.write_bytes(DAMAGES[damage](saved.read_bytes()))
    with pytest.raises(UserError, match="not a whole MindSpore checkpoint|carries no configuration") as caught:
        load_checkpoint(saved)
    assert str(saved) in str(caught.value)
    assert capfd.readouterr() == ("", "")  # mindspore's own lines are kept out


@pytest.mark.parametrize("name", ["missing.ckpt", "."])
def test_no_file(tmp_path, name):
    with pytest.raises(UserError, match="no checkpoint at .*: name a .ckpt file"):
        load_checkpoint(tmp_path / name)


@pytest.mark.parametrize("crc_check", [False, True])
def test_a_mindspore_checkpoint_without_configuration(tmp_path, crc_check):
    ms.save_checkpoint(nn.Dense(2, 2), str(tmp_path / "w.ckpt"), crc_check=crc_check)
    with pytest.raises(UserError, match="carries no configuration|not a whole MindSpore checkpoint"):
        load_checkpoint(tmp_path / "w.ckpt")


def test_another_suffix(tmp_path):
    with pytest.raises(UserError, match="must end in .ckpt, not 'w.pth'"):
        save_model(tmp_path / "w.pth", ARRAYS, "{}", 0)


def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(saved, monkeypatch):
    before = saved.read_bytes()

    def full(entries, name, **options):
        with open(name[: -len(".ckpt")] + ".tmp", "wb") as handle:  # as mindspore does
            handle.write(b"half")
        raise RuntimeError("Failed to save the checkpoint file: [Errno 28] No space left on device\nmore")

    monkeypatch.setattr(checkpoint.ms, "save_checkpoint", full)
    with pytest.raises(UserError, match="no space left on the disk for the checkpoint"):
        save_model(saved, ARRAYS, "{}", 13)
    assert saved.read_bytes() == before and os.listdir(saved.parent) == ["w.ckpt"]


def test_a_folder_that_is_a_file(saved):
    with pytest.raises(UserError, match="cannot write the checkpoint"):
        save_model(saved / "w.ckpt", ARRAYS, "{}", 0)


def test_arrays_go_into_a_network(saved):
    net = nn.Dense(2, 2)
    arrays = {"weight": np.full((2, 2), 2.0, np.float64), "bias": np.zeros(2, np.float32), "other": np.zeros(9)}
    load_into(net, arrays, saved)
    assert net.weight.dtype == ms.float32 and (net.weight.asnumpy() == 2).all()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"p.bias": np.zeros(2)}, "has no 'p.weight': its network is another one"),
        ({"p.weight": np.zeros((2, 2))}, "has no 'p.bias'"),
        (
            {"p.weight": np.zeros((2, 2)), "p.bias": np.zeros(3)},
            r"'p.bias' is \(3,\), but the configuration makes it \(2,\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_whole(arrays, message):
    net = nn.Dense(2, 2)
    before = net.weight.asnumpy().copy()
    with pytest.raises(UserError, match=message):
        load_arrays(net.get_parameters(), arrays, "w.ckpt", prefix="p.")
    np.testing.assert_array_equal(net.weight.asnumpy(), before)


def test_only_the_newest_are_kept(tmp_path):
    for step in (2, 100, 30, 4):
        path_of(tmp_path, step).touch()
    for other in ("step_x.ckpt", "step_5.ckpt.bak", ".step_00000006.9.tmp.ckpt", "best.ckpt"):
        (tmp_path / other).touch()
    assert paths_of(tmp_path) == [path_of(tmp_path, step) for step in (2, 4, 30, 100)]
    remove_old(tmp_path, 2, path_of(tmp_path, 30))  # resumed after 4: 100 is not counted
    assert paths_of(tmp_path) == [path_of(tmp_path, step) for step in (4, 30, 100)]
    remove_old(tmp_path, 1, path_of(tmp_path, 100))
    assert paths_of(tmp_path) == [path_of(tmp_path, 100)]
    assert len(list(tmp_path.iterdir())) == 5


def test_an_empty_or_missing_folder_has_no_checkpoints(tmp_path):
    assert paths_of(tmp_path) == paths_of(tmp_path / "missing") == []
