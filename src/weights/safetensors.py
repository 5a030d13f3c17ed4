"""Read a safetensors file: a length, a JSON table of names, and the bytes of the tensors, without the package."""

import json
import math
from pathlib import Path

import numpy as np

from ..errors import UserError

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2",
    "BF16": "<u2",  # NumPy has no bfloat16: its bits are the upper half of a float32's
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_safetensors(path):
    """Return {name: C-contiguous array} of a ``.safetensors`` file; bfloat16 becomes float32.

    UserError where the file is damaged, of another format, or holds tensors of another type.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; name a .safetensors file") from error
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        if start > len(data):
            raise ValueError("the table reaches beyond the file")
        header, tensors = json.loads(data[8:start]), memoryview(data)[start:]
        return {name: _array(entry, tensors) for name, entry in header.items() if name != "__metadata__"}
    except UserError as error:
        raise UserError(f"{path} {error}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is a damaged safetensors file, or none: fetch the file again") from error


def _array(entry, data):
    """The array of an entry of the table."""
    if entry["dtype"] not in _DTYPES:
        raise UserError(f"holds tensors of the type {ascii(entry['dtype'])[:60]}: convert them to float32 first")
    dtype, shape, (begin, end) = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"]), entry["data_offsets"]
    if any(side < 0 for side in shape) or not 0 <= begin <= end <= len(data):
        raise ValueError("a tensor reaches beyond the file")
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError("a tensor has not as many elements as its shape says")
    array = np.frombuffer(data, dtype, math.prod(shape), begin)
    if entry["dtype"] == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(array.dtype.newbyteorder("=")).reshape(shape)
