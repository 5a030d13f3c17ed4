"""Files of torch.save in both formats, against torch.load; damaged files and other formats give one clear line."""

import io
import zipfile

import numpy as np
import pytest

from src.errors import UserError
from src.weights.torch_file import read_torch

FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])


def assert_equal(ours, theirs):
    """Compare nested values with torch's: same structure, order, types, shapes, dtypes and every bit."""
    import torch

    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, np.ndarray) and ours.flags.c_contiguous and ours.shape == tuple(theirs.shape)
        theirs = theirs.detach()
        expected = (theirs.float() if theirs.dtype == torch.bfloat16 else theirs).numpy()
        assert ours.dtype == expected.dtype
        np.testing.assert_array_equal(ours, expected)
    elif isinstance(theirs, dict):
        assert type(ours) is dict and list(ours) == list(theirs)
        for key in theirs:
            assert_equal(ours[key], theirs[key])
    elif isinstance(theirs, (list, tuple)):
        assert type(ours) is (tuple if isinstance(theirs, tuple) else list) and len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert_equal(mine, other)
    elif isinstance(theirs, torch.device):
        assert ours == str(theirs)
    else:
        assert type(ours) is type(theirs) and ours == theirs


@pytest.mark.parametrize(
    "name",
    ["golden/srdiff_x4/model_ckpt_steps_1234.ckpt"]
    + [f"golden/{model}/I100_E1_gen.pth" for model in ("sr3_8_32", "ddpm_8_32", "sr3_uncond_32")]
    + [f"weights/lpips/lpips_lin_{net}_v0.1.pth" for net in ("alex", "vgg", "squeeze")]
    + ["weights/lpips/squeezenet1_1_features.pth"],
)
def test_real_files_equal_torch_load(shared, name):
    torch = pytest.importorskip("torch")
    assert_equal(read_torch(shared / name), torch.load(shared / name, weights_only=True, map_location="cpu"))


@FORMATS
@pytest.mark.parametrize(
    "dtype",
    ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"],
)
def test_every_dtype(saved, is_zip, dtype):
    torch = pytest.importorskip("torch")
    value = torch.tensor([[0.0, 1.0, -2.5], [100.25, 3.0, 0.0]]).abs().to(getattr(torch, dtype))
    assert_equal(read_torch(saved(value, is_zip)), value)


@FORMATS
def test_views_strides_and_shared_storages(saved, is_zip):
    torch = pytest.importorskip("torch")
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    value = {
        "base": base,
        "transposed": base.permute(2, 0, 1),
        "sliced": base[1:, ::2, 1:4],
        "row": base[2, 3],
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "of an empty slice": base[:, 4:],
        "channels last": torch.rand(1, 3, 4, 2).contiguous(memory_format=torch.channels_last),
    }
    assert_equal(read_torch(saved(value, is_zip)), value)


@FORMATS
def test_containers_parameters_and_plain_values(saved, is_zip):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3))
    optimiser = torch.optim.Adam(net.parameters())
    net(torch.rand(1, 2, 4, 4)).sum().backward()
    optimiser.step()
    value = {
        "state_dict": {"model": net.state_dict()},
        "optimizer_states": [optimiser.state_dict()],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "plain": [None, True, False, -1, 300, 70000, 2**40, -(2**70), 0.5, "ü", "x" * 300],
        "empty and nested": [(), (1,), (1, 2, 3, 4), [], {}],
        "size": torch.Size([1, 2]),
        "device": torch.device("cuda", 1),
        7: "a number as the key",
    }
    assert_equal(read_torch(saved(value, is_zip)), value)


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_binary_pickle_protocol(saved, is_zip, protocol):
    torch = pytest.importorskip("torch")
    value = {"a": torch.rand(3), "b": [1, True, 2.5, "text"] * 3, "c": (1, 2, (3, 70000, 2**40))}
    assert_equal(read_torch(saved(value, is_zip, pickle_protocol=protocol)), value)


def test_arrays_can_be_written_to(saved):
    torch = pytest.importorskip("torch")
    array = read_torch(saved({"a": torch.zeros(3)}))["a"]
    array += 1
    assert array.tolist() == [1, 1, 1]


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "uint16"])
def test_a_type_that_numpy_or_we_have_not_is_named(saved, dtype):
    torch = pytest.importorskip("torch")
    path = saved({"params": {"a": torch.zeros(2).to(getattr(torch, dtype))}})
    with pytest.raises(UserError, match=f"holds tensors of PyTorch's {dtype}: convert them to float32 first"):
        read_torch(path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
def test_big_endian_archive(saved, tmp_path, dtype):
    torch = pytest.importorskip("torch")
    value = torch.tensor([1, 2, 300]).to(getattr(torch, dtype))
    big = tmp_path / "big.pth"
    with zipfile.ZipFile(saved({"a": value})) as source, zipfile.ZipFile(big, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("/byteorder"):
                data = b"big"
            if "/data/" in name:
                size = value.element_size()
                data = b"".join(data[i : i + size][::-1] for i in range(0, len(data), size))
            target.writestr(name, data)
    assert_equal(read_torch(big), {"a": value})


def test_torch_is_not_imported(saved, monkeypatch):
    torch = pytest.importorskip("torch")
    path = saved({"a": torch.ones(2)})
    for name in ("torch", "torch._utils"):
        monkeypatch.setitem(__import__("sys").modules, name, None)  # importing it would now fail
    assert read_torch(path)["a"].tolist() == [1, 1]


def test_the_archive_is_found_under_any_top_folder(tmp_path):
    path = tmp_path / "renamed.pth"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("ärchive v2/data.pkl", b"\x80\x02}X\x01\x00\x00\x00aK\x05s.")
    path.write_bytes(buffer.getvalue())
    assert read_torch(path) == {"a": 5}


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
