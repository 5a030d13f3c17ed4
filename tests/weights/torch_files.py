"""Files as torch.save writes them, made without it."""

import struct
import zipfile

import numpy as np

_KINDS = {"float16": "HalfStorage", "float32": "FloatStorage", "float64": "DoubleStorage", "int8": "CharStorage"}


def _text(text):
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _number(number):
    return b"\x8a\x08" + struct.pack("<q", number)


def _numbers(numbers):
    return b"(" + b"".join(map(_number, numbers)) + b"t"


def tensor_pickle(offset=0, shape=(2, 2), strides=(2, 1), elements=4, kind="FloatStorage", key="0"):
    """Return the pickle of one tensor, with these claims."""
    storage = _text("storage") + f"ctorch\n{kind}\n".encode() + _text(key) + _text("cpu") + _number(elements)
    arguments = b"(" + storage + b"tQ" + _number(offset) + _numbers(shape) + _numbers(strides) + b"\x89N"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR."


def write_torch(path, tensors, step=7):
    """Write {name: array} as the public SRDiff saves its model; return the path."""
    items = b""
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, array) in enumerate(tensors.items()):
            array = np.ascontiguousarray(array)
            strides, kind = [step // array.itemsize for step in array.strides], _KINDS[array.dtype.name]
            tensor = tensor_pickle(0, array.shape, strides, array.size, kind, str(number))
            items += _text(name) + tensor[2:-1]
            archive.writestr(f"archive/data/{number}", array.tobytes())
        model = b"ccollections\nOrderedDict\n)R(" + items + b"u"
        whole = _text("global_step") + _number(step) + _text("optimizer_states") + b"]}a"
        whole += _text("state_dict") + b"}" + _text("model") + model + b"s"
        archive.writestr("archive/data.pkl", b"\x80\x02}(" + whole + b"u.")
    return path
