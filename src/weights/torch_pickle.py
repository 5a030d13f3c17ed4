"""The pickles inside PyTorch checkpoints, read by Python's own interpreter cut down to what ``torch.save`` writes.

A pickle is a program. Of its instructions only those in ``_INSTRUCTIONS`` are left. Of those that reach for Python's
objects, names are looked up in ``_CALLS`` alone, only these functions are called, and attributes are never set. (The
interpreter that is written in Python is taken: the one in C allocates as much as an index in the file claims.)
"""

import pickle
import pickletools
import re
import struct
from dataclasses import dataclass
from types import FunctionType

from ..errors import UserError


@dataclass(frozen=True, eq=False)
class Storage:
    """The block of memory that one or more tensors look into; its bytes lie elsewhere in the file."""

    kind: str  # PyTorch's name of the type, such as "FloatStorage"
    key: str
    size: int  # elements


@dataclass(frozen=True, eq=False)
class StridedTensor:
    """A tensor as the pickle describes it: a view of a storage; everything is counted in elements."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


def load(stream, storages=None):
    """Read one pickle from a binary file or ``mmap``, leaving the stream behind its end.

    Returns nested dict, list and tuple of str, int, float, bool, None and :class:`StridedTensor`; ``storages`` becomes
    {key: :class:`Storage`} of all that the pickle names. UserError where it asks for a Python object, or uses an
    instruction, that weights do not need; ValueError, LookupError, TypeError or EOFError where it is damaged.
    """
    machine = _Machine(stream, encoding="latin1")  # of Python 2's strings
    machine.storages = {} if storages is None else storages
    try:
        value = machine.load()
    except (pickle.UnpicklingError, struct.error, AttributeError) as error:  # the last: something appended to no list
        raise ValueError(str(error)) from error
    if machine.stack or machine.metastack:
        raise ValueError("the pickle leaves more than one value")
    return value


_REMEDY = "refused, nothing of it was run; save only its state_dict with torch.save, where you trust the file"
_INSTRUCTIONS = [  # and EMPTY_DICT, REDUCE, BUILD, which _Machine has its own of
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "LONG4",
    "BINFLOAT", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_LIST",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "BINPUT",
    "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "BINPERSID",
]  # fmt: skip


class _Instructions(dict):
    def __missing__(self, code):
        name = pickletools.code2op[chr(code)].name  # a LookupError where nothing is called so
        raise UserError(f"uses the pickle instruction {name}, which weights do not need; {_REMEDY}")


class _Table(dict):
    def __setitem__(self, key, value):
        # Hashing a tuple of tuples that share their parts can take for ever.
        if not isinstance(key, (str, int, float, type(None))):
            raise TypeError("a dict's key is neither text nor number")
        super().__setitem__(key, value)


class _Machine(pickle._Unpickler):
    def find_class(self, module, name):
        full = f"{module}.{name}"
        if module in ("torch", "torch.storage") and re.fullmatch(r"\w+Storage|u?int\d+|float\d\w*", name):
            return name
        if full not in _CALLS:
            # The name comes from a file that is not trusted: keep the message one short line of printable text.
            raise UserError(f"asks for the Python object {ascii(full)[1:-1][:100]}; {_REMEDY}")
        return _CALLS[full]

    def persistent_load(self, pid):
        tag, kind, key, _device, size, *view = pid
        if tag != "storage" or not isinstance(kind, str) or not isinstance(key, str) or any(view):
            raise TypeError("a reference to data outside the pickle that is no storage")
        storage = self.storages.setdefault(key, Storage(kind, key, _count(size)))
        if (storage.kind, storage.size) != (kind, size):
            raise ValueError("a storage is named twice, with different types or sizes")
        return storage

    def empty_dict(self):
        self.append(_Table())

    def reduce(self):
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, FunctionType) or not isinstance(arguments, tuple):
            raise TypeError("something that is no function is called")
        self.append(function(*arguments))

    def build(self):
        self.stack.pop()  # the attributes of an OrderedDict: the modules' version numbers
        if not isinstance(self.stack[-1], dict):
            raise TypeError("attributes are set on something that has none")

    _codes = [getattr(pickle, name)[0] for name in _INSTRUCTIONS]
    dispatch = _Instructions(zip(_codes, map(pickle._Unpickler.dispatch.get, _codes), strict=True))
    dispatch |= {pickle.EMPTY_DICT[0]: empty_dict, pickle.REDUCE[0]: reduce, pickle.BUILD[0]: build}


def _count(value):
    if not isinstance(value, int) or value < 0:
        raise TypeError("a count is not a number of 0 or more")
    return int(value)


def _ordered_dict(pairs=()):
    table = _Table()
    for key, value in pairs:
        table[key] = value
    return table


def _tensor(storage, offset, shape, strides, *_gradient_and_hooks):
    shape, strides = tuple(map(_count, shape)), tuple(map(_count, strides))
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise TypeError("a tensor is no view of a storage")
    return StridedTensor(storage, _count(offset), shape, strides)


def _tensor_of_dtype(_storage, _offset, _shape, _strides, _gradient, _hooks, dtype, *_metadata):
    raise UserError(f"holds tensors of PyTorch's {ascii(dtype)[1:-1][:60]}: convert them to float32 first")


def _device(kind, index=None):
    if not isinstance(kind, str):  # the text of tuples that share their parts can fill the memory
        raise TypeError("the kind of a device is no text")
    return kind if index is None else f"{kind}:{_count(index)}"


_CALLS = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,  # of the types that have no storage of their own, as float8
    "torch._utils._rebuild_parameter": lambda data, *_gradient_and_hooks: data,
    "torch.Size": lambda sizes=(): tuple(map(_count, sizes)),
    "torch.device": _device,
}
