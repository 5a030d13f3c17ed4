"""Read what ``torch.save`` wrote, without PyTorch and without running anything that the file contains.

Both formats are read: the zip archive of PyTorch 1.6 and later, and the stream of pickles before it.
"""

import io
import math
import mmap
import sys
import zipfile
from pathlib import Path

import numpy as np

from ..errors import UserError
from . import torch_pickle
from .torch_pickle import StridedTensor

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # the first pickle of the format before 1.6
_PROTOCOL_VERSION = 1001  # the second
_DEEPEST = 64  # levels of nesting; checkpoints have about five

_DTYPES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2",
    "BFloat16Storage": "u2",  # NumPy has no bfloat16: its bits are the upper half of a float32's
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip

_OTHER_FORMATS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: fetch it with 'git lfs pull'"),
    (b"<", "a web page: the download went wrong, fetch the file again"),
    (b"{", "a JSON text: name the .ckpt or .pth file"),
    (b"\x89HDF", "an HDF5 file: save the weights with torch.save"),
    (b"\x93NUMPY", "a NumPy array: save the weights with torch.save"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"\n", "perhaps a MindSpore checkpoint: ours need no conversion, of others docs/conversion.md tells"),
)

_DAMAGE = (
    (ValueError, LookupError, TypeError, EOFError, OverflowError, MemoryError)
    + (zipfile.BadZipFile, NotImplementedError)  # the latter: a zip of a version or method that Python does not read
)


def read_torch(path):
    """Read a ``.pth``, ``.pt`` or ``.ckpt`` file that ``torch.save`` wrote; nothing of it is ever executed.

    Returns nested dict, list and tuple of plain values, with every tensor or parameter as a C-contiguous NumPy array of
    its shape and dtype; bfloat16 becomes float32. UserError where the file is damaged or of another format, or its
    pickle asks for anything but tensors and plain values.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise UserError("is empty: fetch the file again")
        with open(path, "rb") as file:
            start = file.read(32)
        if start.startswith(b"PK\x03\x04"):
            return _read_zip(path)
        if not start.startswith(b"\x80"):
            raise UserError(f"is no PyTorch checkpoint but {_describe(start)}")
        return _read_stream(path)
    except UserError as error:
        raise UserError(f"{path} {error}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; name a .ckpt or .pth file") from error
    except _DAMAGE as error:
        raise UserError(f"{path} is a damaged or truncated PyTorch checkpoint: fetch the file again") from error


def _describe(start):
    if start[8:10] == b'{"':
        return "a safetensors file: let its name end in .safetensors"
    for prefix, description in _OTHER_FORMATS:
        if start.startswith(prefix) or start.lstrip().startswith(prefix):
            return description
    return "something else: name a .ckpt or .pth file that torch.save wrote"


def _read_zip(path):
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        # The top folder is named after the file at the time of saving, whatever it is called now.
        tops = [name[: -len("data.pkl")] for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(tops) != 1:
            raise UserError("is a zip archive but no PyTorch checkpoint: name a .ckpt or .pth file")
        top = tops[0]
        if any(name.startswith(top + "code/") for name in entries):
            raise UserError("is a TorchScript program: load it with torch.jit.load and save its state_dict")

        def record(name):
            entry = entries[top + name]
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise UserError("is a compressed or encrypted archive: save it again with torch.save")
            return archive.read(entry)

        storages = {}
        tree = torch_pickle.load(io.BytesIO(record("data.pkl")), storages)
        order = record("byteorder").decode("ascii") if top + "byteorder" in entries else "little"
        if order not in ("little", "big"):
            raise ValueError("the byte order is neither little nor big")
        _check_claims(storages, path.stat().st_size)
        blocks = {key: _typed(storage, record(f"data/{key}"), order) for key, storage in storages.items()}
    return _with_arrays(tree, blocks)


def _read_stream(path):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        if torch_pickle.load(stream) != _MAGIC_NUMBER:
            raise UserError("is a pickle but no PyTorch checkpoint: name a file that torch.save wrote")
        if torch_pickle.load(stream) != _PROTOCOL_VERSION:
            raise UserError("is of an unknown PyTorch format: load it with its PyTorch and save it with a newer one")
        order = "little" if torch_pickle.load(stream)["little_endian"] else "big"
        storages, blocks = {}, {}
        tree = torch_pickle.load(stream, storages)
        _check_claims(storages, len(stream))
        for key in torch_pickle.load(stream):
            size = int.from_bytes(stream.read(8), order, signed=True)
            if key not in storages or size != storages[key].size:
                raise ValueError("the data that follow are not those that the pickle names")
            blocks[key] = _typed(storages[key], stream.read(size * _dtype(storages[key]).itemsize), order)
    return _with_arrays(tree, blocks)


def _check_claims(storages, limit):
    if sum(storage.size * _dtype(storage).itemsize for storage in storages.values()) > limit:
        raise ValueError("the tensors claim more bytes than the file has")


def _dtype(storage):
    if storage.kind not in _DTYPES:
        raise UserError(f"holds tensors of PyTorch's {ascii(storage.kind)[1:-1][:60]}: convert them to float32 first")
    return np.dtype(_DTYPES[storage.kind])


def _typed(storage, data, order):
    """A storage's bytes as a writable vector (storage.size,) in this machine's byte order."""
    block = np.frombuffer(bytearray(data), _dtype(storage))
    if block.size != storage.size:
        raise ValueError("a storage has not as many elements as the pickle says")
    if order != sys.byteorder:
        block = block.byteswap()
    if storage.kind == "BFloat16Storage":
        block = (block.astype(np.uint32) << 16).view(np.float32)
    return block


def _with_arrays(tree, blocks):
    done = {}  # containers met before, by identity: parts may be shared many times over

    def convert(value, depth):
        if isinstance(value, StridedTensor):
            return _view(value, blocks[value.storage.key])
        if value is None or isinstance(value, (str, int, float)):
            return value
        if not isinstance(value, (dict, list, tuple)):
            raise TypeError("something is neither tensor nor plain value")
        if depth == _DEEPEST:
            raise ValueError("the values are nested too deeply, or contain themselves")
        if id(value) not in done:
            if isinstance(value, dict):
                done[id(value)] = {key: convert(item, depth + 1) for key, item in value.items()}
            else:
                done[id(value)] = type(value)(convert(item, depth + 1) for item in value)
        return done[id(value)]

    return convert(tree, 0)


def _view(tensor, block):
    """The tensor's elements of its storage's vector as a C-contiguous array."""
    count = math.prod(tensor.shape)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    # More elements than the storage has: a few bytes that are repeated to fill the memory.
    if count > block.size or (count and last >= block.size):
        raise ValueError("a tensor reaches beyond its storage")
    if not count:
        return np.empty(tensor.shape, block.dtype)
    strides = [step * block.itemsize for step in tensor.strides]
    view = np.lib.stride_tricks.as_strided(block[tensor.offset :], tensor.shape, strides)
    return np.ascontiguousarray(view).reshape(tensor.shape)
