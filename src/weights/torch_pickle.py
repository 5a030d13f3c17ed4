"""An interpreter for the pickles inside PyTorch checkpoints that cannot call anything.

A pickle is a program. Python's own ``pickle`` runs all of it, and even with a guarded ``find_class`` it
still sets attributes (BUILD) and allocates what the file claims (LONG_BINPUT). This interpreter knows only
the instructions that ``torch.save`` writes and builds only plain values; a reference to a Python object
that is not in its table, or any other instruction, ends the reading.
"""

import pickletools
from dataclasses import dataclass

from src.errors import UserError


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


@dataclass(frozen=True, eq=False)
class _Global:
    """A reference to a Python object, by its full name; never looked up."""

    name: str


def load(stream):
    """Read one pickle, leaving ``stream`` behind its end.

    Args:
        stream: a binary file, ``io.BytesIO`` or ``mmap`` (``read``, ``readline`` and ``tell`` are used).

    Returns:
        Nested dict, list and tuple of str, int, float, bool, None and :class:`StridedTensor`.

    Raises:
        UserError: the pickle asks for a Python object, or uses an instruction, that weights do not need.
        ValueError, LookupError, TypeError: the pickle is damaged.
    """
    machine = _Machine()
    for instruction, argument, _ in pickletools.genops(stream):
        name = instruction.name
        if name in _CONSTANTS:
            machine.stack.append(argument)
        elif name in _ACTIONS:
            _ACTIONS[name](machine, argument)
        elif name == "INST":
            raise _refused(argument.replace(" ", "."))
        elif name not in _IGNORED:
            raise UserError(f"uses the pickle instruction {name}, which weights do not need; {_REMEDY}")
    (value,) = machine.stack
    return value


_REMEDY = "refused, nothing of it was run; save only its state_dict with torch.save, where you trust the file"


def _refused(name):
    # The name comes from a file that is not trusted: keep the message one short line of printable text.
    return UserError(f"asks for the Python object {ascii(name)[1:-1][:100]}; {_REMEDY}")


class _Machine:
    """The stack and the memo of a pickle being read."""

    def __init__(self):
        self.stack = []
        self.marks = []  # heights of the stack where MARK was met
        self.memo = {}

    def pop(self):
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise ValueError("an instruction takes more than there is above the mark")
        return self.stack.pop()

    def pop_to_mark(self):
        height = self.marks.pop()
        items = self.stack[height:]
        del self.stack[height:]
        return items

    def push(self, value):
        self.stack.append(value)

    def remember(self, key):
        self.memo[key] = self.stack[-1]

    def push_global(self, module, name):
        full = f"{module}.{name}"
        if full not in _CALLS and not (module == "torch" and name.endswith("Storage")):
            raise _refused(full)
        self.push(_Global(full))

    def push_stack_global(self):
        name, module = self.pop(), self.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("the name of a Python object is no text")
        self.push_global(module, name)

    def append(self, items):
        target = self.stack[-1]
        if not isinstance(target, list):
            raise TypeError("items are appended to something that is no list")
        target.extend(items)

    def set_items(self, items):
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError("items are set in something that is no dict")
        _fill(target, zip(items[::2], items[1::2], strict=True))

    def call(self):
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, _Global) or function.name not in _CALLS or not isinstance(arguments, tuple):
            raise TypeError("something that is no function is called")
        self.push(_CALLS[function.name](*arguments))

    def build(self):
        self.pop()  # the attributes of an OrderedDict: the modules' version numbers
        if not isinstance(self.stack[-1], dict):
            raise TypeError("attributes are set on something that has none")

    def push_persistent(self):
        tag, kind, key, _device, size, *view = self.pop()
        if tag != "storage" or not isinstance(kind, _Global) or not isinstance(key, str) or any(view):
            raise TypeError("a reference to data outside the pickle that is no storage")
        self.push(Storage(kind.name.removeprefix("torch."), key, _count(size)))


def _fill(target, pairs):
    for key, value in pairs:
        # Hashing a tuple of tuples that share their parts can take for ever.
        if not isinstance(key, (str, int, float, type(None))):
            raise TypeError("a dict's key is neither text nor number")
        target[key] = value


def _count(value):
    if not isinstance(value, int) or value < 0:
        raise TypeError("a count is not a number of 0 or more")
    return int(value)


def _ordered_dict(pairs=()):
    result = {}
    _fill(result, pairs)
    return result


def _tensor(storage, offset, shape, strides, *_gradient_and_hooks):
    if not isinstance(storage, Storage):
        raise TypeError("a tensor is made of something that is no storage")
    shape, strides = tuple(map(_count, shape)), tuple(map(_count, strides))
    if len(shape) != len(strides):
        raise ValueError("a tensor has more sizes than strides, or fewer")
    return StridedTensor(storage, _count(offset), shape, strides)


def _parameter(data, *_gradient_and_hooks):
    return data


def _size(sizes=()):
    return tuple(map(_count, sizes))


def _device(kind, index=None):
    if not isinstance(kind, str):
        raise TypeError("the kind of a device is no text")
    return kind if index is None else f"{kind}:{_count(index)}"


_CALLS = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "torch.device": _device,
}

_CONSTANTS = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT")
    + ("BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
)
_IGNORED = frozenset(("PROTO", "FRAME", "STOP"))

_ACTIONS = {
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.push((machine.pop(),)),
    "TUPLE2": lambda machine, _: machine.push((machine.pop(), machine.pop())[::-1]),
    "TUPLE3": lambda machine, _: machine.push((machine.pop(), machine.pop(), machine.pop())[::-1]),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "BINPUT": lambda machine, key: machine.remember(key),
    "LONG_BINPUT": lambda machine, key: machine.remember(key),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "BINGET": lambda machine, key: machine.push(machine.memo[key]),
    "LONG_BINGET": lambda machine, key: machine.push(machine.memo[key]),
    "GLOBAL": lambda machine, names: machine.push_global(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.push_stack_global(),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.push_persistent(),
}
