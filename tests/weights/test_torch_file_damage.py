"""Damaged files and other formats give one clear line."""

import zipfile

import numpy as np
import pytest

from src.errors import UserError
from src.weights.torch_file import read_torch

FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])


@FORMATS
def test_truncated_anywhere_is_one_line(saved, tmp_path, is_zip):
    torch = pytest.importorskip("torch")
    data = saved({"a": torch.rand(40), "b": [torch.rand(2)]}, is_zip).read_bytes()
    cut = tmp_path / "cut.pth"
    for length in [*range(0, len(data), 7), len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(UserError) as caught:
            read_torch(cut)
        assert str(cut) in str(caught.value) and "\n" not in str(caught.value)


@FORMATS
def test_random_damage_never_escapes(saved, is_zip):
    """Whatever bytes are changed, the file is read or refused in one line; nothing else is raised."""
    torch = pytest.importorskip("torch")
    path = saved({"a": torch.rand(5), "b": [torch.rand(2, 3).T, {"c": (1, None)}]}, is_zip)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    draw = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = data.copy()
        places = draw.integers(0, len(data), size=draw.integers(1, 4))
        damaged[places] = draw.integers(0, 256, size=len(places))
        path.write_bytes(damaged.tobytes())
        try:
            read_torch(path)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 50


def test_a_flipped_byte_of_a_zip_is_found(saved):
    torch = pytest.importorskip("torch")
    path = saved({"a": torch.ones(64)})
    data = bytearray(path.read_bytes())
    data[data.index(np.ones(64, np.float32).tobytes()) + 17] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        read_torch(path)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"\n\n  <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        ((60).to_bytes(8, "little") + b'{"__metadata__":{}}', "safetensors"),
        (b"\x0a\x20\n\x1bconv.weight", "MindSpore"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b'{"a": 1}', "JSON"),
        (b"hello world", "name a .ckpt or .pth file"),
        (b"\x80", "damaged"),
        (b"\x80\x02K\x07.", "pickle but no PyTorch checkpoint"),
        (b"PK\x03\x04 and then nothing of a zip", "damaged"),
    ],
)
def test_other_files_say_what_they_are(tmp_path, content, message):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_torch(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match="cannot read .*nothing.pth: No such file"):
        read_torch(tmp_path / "nothing.pth")
    with pytest.raises(UserError, match="cannot read"):
        read_torch(tmp_path)


def test_other_archives_are_refused(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez(path, a=np.ones(3))
    with pytest.raises(UserError, match="no PyTorch checkpoint"):
        read_torch(path)


def test_torchscript_is_named(tmp_path):
    path = tmp_path / "program.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("program/data.pkl", b"\x80\x02}.")
        archive.writestr("program/code/__torch__.py", b"")
    with pytest.raises(UserError, match="TorchScript"):
        read_torch(path)


def test_compressed_archive_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(10_000_000))
    with pytest.raises(UserError, match="compressed"):
        read_torch(path)


def test_dtypes_that_numpy_has_not_are_named(saved):
    torch = pytest.importorskip("torch")
    with pytest.raises(UserError, match="ComplexFloatStorage"):
        read_torch(saved({"a": torch.zeros(2, dtype=torch.complex64)}))


def test_modules_saved_whole_are_refused_with_the_remedy(saved):
    torch = pytest.importorskip("torch")
    with pytest.raises(UserError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict"):
        read_torch(saved(torch.nn.Linear(2, 2)))
