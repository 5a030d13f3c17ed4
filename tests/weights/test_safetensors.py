"""safetensors files: as the package writes them, and damaged ones."""

import json

import numpy as np
import pytest

from src.errors import UserError
from src.weights.safetensors import read_safetensors


def written(path, entries, data):
    header = json.dumps(entries).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_every_type_and_shape(tmp_path):
    arrays = {
        "F32": np.arange(6, dtype="f4").reshape(2, 3), "F64": np.array(1.5), "F16": np.ones(3, "f2"),
        "I64": np.array([1, -2]), "BOOL": np.array([True, False]), "U8": np.zeros((0, 4), "u1"),
    }  # fmt: skip
    entries, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        entries[name] = entry(name, list(array.shape), len(data), len(data) + array.nbytes)
        data += array.tobytes()
    entries["BF16"] = entry("BF16", [1], len(data), len(data) + 2)
    data += (np.float32(-2.5).view(np.uint32) >> 16).astype("<u2").tobytes()
    read = read_safetensors(written(tmp_path / "w.safetensors", entries, data))
    assert read.pop("BF16") == [-2.5]
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype and read[name].flags.c_contiguous
        np.testing.assert_array_equal(read[name], array)


def test_the_package_s_own_file(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    arrays = {"a.weight": np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32), "b": np.ones(2, np.float16)}
    package.save_file(arrays, tmp_path / "w.safetensors")
    read = read_safetensors(tmp_path / "w.safetensors")
    assert read.keys() == arrays.keys()
    for name in arrays:
        np.testing.assert_array_equal(read[name], arrays[name])


@pytest.mark.parametrize(
    "change",
    [
        entry("F32", [2], 0, 400), entry("F32", [3], 0, 8), entry("F32", [-1], 0, 8), entry("F32", [2], 8, 0),
        entry("F32", [2.5], 0, 8), entry("F32", 2, 0, 8), {"dtype": "F32"}, [], None,
    ],
)  # fmt: skip
def test_claims_that_the_file_does_not_keep_are_refused(tmp_path, change):
    with pytest.raises(UserError, match="damaged safetensors file, or none: fetch the file again"):
        read_safetensors(written(tmp_path / "w.safetensors", {"a": change}, bytes(8)))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 40, bytes(8), (10).to_bytes(8, "little") + b"{}"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="safetensors"):
        read_safetensors(tmp_path / "w.safetensors")


def test_types_that_are_no_weights_and_files_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="type 'F8_E4M3': convert them to float32 first"):
        read_safetensors(written(tmp_path / "w.safetensors", {"a": entry("F8_E4M3", [8], 0, 8)}, bytes(8)))
    with pytest.raises(UserError, match="cannot read .* name a .safetensors file"):
        read_safetensors(tmp_path / "another.safetensors")
