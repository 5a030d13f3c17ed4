"""Hostile pickles are refused in both formats and leave no trace."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import pytest

from src.errors import UserError
from src.weights.torch_file import read_torch
from src.weights.torch_pickle import load
from tests.weights.torch_files import tensor_pickle

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
MAGIC += pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, 2)


class Call:
    """An object whose unpickling calls a function."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


@pytest.fixture(params=["zip", "legacy"])
def hostile_file(request, tmp_path):
    """Return write(pickle bytes) → path of a PyTorch file around them."""

    def write(data):
        path = tmp_path / "model.pth"
        if request.param == "legacy":
            path.write_bytes(MAGIC + data + pickle.dumps([], 2))
            return path
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/data.pkl", data)
        return path

    return write


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "wrap",
    [lambda x: x, lambda x: {"state_dict": {"model": [1, (x,)]}}, lambda x: OrderedDict(a=x), lambda x: {x: 1}],
    ids=["bare", "nested", "ordered", "key"],
)
def test_a_call_is_refused_and_not_made(hostile_file, tmp_path, protocol, wrap):
    trace = tmp_path / "trace"
    data = pickle.dumps(wrap(Call(os.mkdir, str(trace))), protocol)
    pickle.loads(data)  # the attack is real: Python's own pickle makes the folder
    trace.rmdir()
    # Protocol 0 has its own instructions for containers, which torch.save never writes: they are refused first.
    named = rf"{os.mkdir.__module__}\.mkdir.*" if protocol else ""
    with pytest.raises(UserError, match=f"{named}refused"):
        read_torch(hostile_file(data))
    assert not trace.exists()


@pytest.mark.parametrize(
    "name",
    ["os.system", "builtins.eval", "builtins.exec", "builtins.getattr", "builtins.__import__", "subprocess.Popen"]
    + ["torch.load", "torch.hub.load", "torch._utils.os", "torch.storage._load_from_bytes", "torch.Storage.os"]
    + ["numpy.load", "operator.attrgetter", "functools.partial", "collections.OrderedDict.__init__"],
)
def test_every_other_global_is_named_and_refused(hostile_file, name):
    module, _, attribute = name.rpartition(".")
    shown = name.replace(".", r"\.")
    for data in (
        f"c{module}\n{attribute}\n(X\x01\x00\x00\x00xtR.".encode(),  # GLOBAL, REDUCE
        b"\x80\x04" + pickle.dumps(module, 4)[2:-1] + pickle.dumps(attribute, 4)[2:-1] + b"\x93.",  # STACK_GLOBAL
    ):
        with pytest.raises(UserError, match=shown) as caught:
            read_torch(hostile_file(data))
        assert "refused" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data, instruction",
    [
        (b"(ccollections\nOrderedDict\no.", "OBJ"),
        (b"(icollections\nOrderedDict\n.", "INST"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
        (b"\x80\x04ccollections\nOrderedDict\n)}\x92.", "NEWOBJ_EX"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x05\x96\x04\x00\x00\x00\x00\x00\x00\x00abcd.", "BYTEARRAY8"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"\x80\x02K\x012.", "DUP"),
        (b"Pwhatever\n.", "PERSID"),
    ],
)
def test_other_instructions_are_named_and_refused(hostile_file, data, instruction):
    with pytest.raises(UserError, match=f"instruction {instruction},"):
        read_torch(hostile_file(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x0c\x00\x00\x00__defaults__K\x01sb.",  # BUILD on a function
        b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.",  # BUILD on a class
        b"\x80\x02]}b.",  # BUILD on a list
        b"\x80\x02K\x01)R.",  # a call of a number
        b"\x80\x02ctorch\nFloatStorage\n)R.",  # a call of a storage type
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00)))tR.",  # a tensor without a storage
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",  # too few arguments
        b"\x80\x02ctorch\nSize\n.",  # a function as the value
        b"\x80\x02K\x01e.",  # no mark
        b"\x80\x02(K\x01a.",  # the mark is where the list should be
        b"\x80\x02.",  # nothing
        b"\x80\x02K\x01K\x02.",  # two values
        b"\x80\x02]K\x01}\x93.",  # STACK_GLOBAL of other things than text
        b"\x80\x02" + b"]" * 100 + b"a" * 99 + b".",  # nested deeply
        b"\x80\x02]q\x00h\x00a.",  # a list in itself
        b"\x80\x02h\x07.",  # nothing remembered under this number
        b"\x80\x02}" + b")" + b"q\x00h\x00\x86" * 60 + b"K\x01s.",  # a key that takes 2^60 steps to hash
        b"\x80\x02X\xff\xff\xff\x7fab.",  # a text of 2 GiB that is not there
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fab.",  # of 2^63
        b"\x80\x02\x8b\xff\xff\xff\x7fab.",  # an integer of 2 GiB
        b"\xff\xfe garbage",
    ],
)
def test_nonsense_is_one_line(hostile_file, data):
    with pytest.raises(UserError, match="damaged") as caught:
        read_torch(hostile_file(data))
    assert "\n" not in str(caught.value)


def test_shared_containers_do_not_multiply(hostile_file):
    """Sixty pairs, each of the one before it twice: 2^60 tuples if they were copied one by one."""
    value = read_torch(hostile_file(b"\x80\x02)" + b"q\x00h\x00\x86" * 60 + b"."))
    depth = 0
    while value:
        assert value[0] is value[1]
        value, depth = value[0], depth + 1
    assert depth == 60


def test_a_huge_memo_index_allocates_nothing():
    value = load(io.BytesIO(b"\x80\x02K\x05r\xff\xff\xff\xff."))
    assert value == 5


def test_attributes_of_a_state_dict_are_dropped_and_not_set():
    hidden = Call(OrderedDict, [["a", 1]], state={"_metadata": {"": {"version": 1}}, "items": "hidden"})
    loaded = load(io.BytesIO(pickle.dumps(hidden, 2)))
    assert isinstance(loaded, dict) and list(loaded.items()) == [("a", 1)]


def test_the_readers_own_functions_stay_as_they_are(hostile_file):
    """BUILD with a pair sets attributes by name; Python's pickle would overwrite a function's defaults."""
    data = b"\x80\x02ccollections\nOrderedDict\nN}X\x0c\x00\x00\x00__defaults__)s\x86b."
    with pytest.raises(UserError, match="damaged"):
        read_torch(hostile_file(data))
    assert read_torch(hostile_file(b"\x80\x02ccollections\nOrderedDict\n)R.")) == {}


def test_control_characters_of_a_name_do_not_reach_the_terminal(hostile_file):
    with pytest.raises(UserError) as caught:
        read_torch(hostile_file(b"c\x1b[2Jos\nsys\rtem" + b"x" * 5000 + b"\n."))
    message = str(caught.value)
    assert message.isprintable() and len(message) < 400 + len(os.fspath(hostile_file(b".")))


@pytest.fixture(params=["zip", "legacy"])
def tensor_file(request, tmp_path):
    """Return write(pickle bytes) → path of a file with one storage of four float32, "0"."""

    def write(data):
        block = struct.pack("<4f", 1, 2, 3, 4)
        path = tmp_path / "tensor.pth"
        if request.param == "legacy":
            path.write_bytes(MAGIC + data + pickle.dumps(["0"], 2) + struct.pack("<q", 4) + block)
            return path
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("tensor/data.pkl", data)
            archive.writestr("tensor/data/0", block)
        return path

    return write


def test_the_handmade_tensor_is_read(tensor_file):
    assert read_torch(tensor_file(tensor_pickle())).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "claims",
    [
        {"offset": 1},
        {"offset": -1},
        {"offset": 2**62},
        {"shape": (3, 2)},
        {"shape": (-1, 2)},
        {"shape": (2, 2, 2)},
        {"strides": (3, 1)},
        {"strides": (-2, 1)},
        {"strides": (2**61, 1)},
        {"strides": (0, 0), "shape": (2**31, 2**31)},
        {"strides": (0, 0), "shape": (5, 1)},
        {"shape": (1,) * 70, "strides": (1,) * 70},
        {"elements": 5},
        {"elements": 3},
        {"elements": 2**60},
        {"elements": -4},
        {"kind": "DoubleStorage"},
        {"kind": "Size"},
        {"key": "1"},
        {"key": "../../etc/passwd"},
    ],
    ids=str,
)
def test_a_tensor_beyond_its_storage_is_refused(tensor_file, claims):
    with pytest.raises(UserError):
        read_torch(tensor_file(tensor_pickle(**claims)))


def test_one_storage_under_two_types_is_refused(tensor_file):
    first, second = tensor_pickle()[:-1], tensor_pickle(kind="IntStorage")[2:-1]
    with pytest.raises(UserError, match="damaged"):
        read_torch(tensor_file(first + second + b"\x86."))


def test_claims_together_may_not_exceed_the_file(tensor_file):
    many = b"".join(tensor_pickle(key=str(i), shape=(1,), strides=(1,), elements=10**6)[2:-1] for i in range(1000))
    with pytest.raises(UserError, match="damaged"):
        read_torch(tensor_file(b"\x80\x02(" + many + b"t."))
