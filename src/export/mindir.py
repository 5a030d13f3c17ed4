"""Write a MindIR file; read one as a list of operators with their constants, for whoever translates it.

MindIR is MindSpore's interchange format, a protobuf whose classes come with it (``mindspore/train/mind_ir_pb2.py``). On
export the Cells of this project are inlined into one flat graph, which is all that is read here.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import mindspore as ms
import numpy as np

from ..errors import UserError

# Numbers that mind_ir.proto gives element types; those of ONNX are the same.
DTYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64}


class Operator(NamedTuple):
    kind: str  # its name in MindSpore, such as "Conv2D"
    inputs: tuple[str, ...]  # names of values
    output: str  # the name of its value, a tensor or a tuple
    rank: int | None  # dimensions of the value, of a tuple of tensors those of its first; None where it is no tensor
    dtype: type | None  # NumPy's of the same; None where it is no tensor
    attributes: dict[str, Any]  # name → int, float, str, or tuple of these
    channels: int | None = None  # of a value (B, C, H, W)


class Graph(NamedTuple):
    """A flat graph in the order of computation."""

    inputs: list[str]  # names of the values given from outside, all tensors
    output: str  # the name of the result, a tensor or a tuple of tensors
    constants: dict[str, Any]  # name → array, number, str, tuple of these, or None for what only orders side effects
    operators: list[Operator]


def read_mindir(path):
    """Return the :class:`Graph` of a file that ``mindspore.export`` wrote; UserError where it has control flow."""
    from mindspore.train.mind_ir_pb2 import ModelProto

    model = ModelProto()
    model.ParseFromString(Path(path).read_bytes())
    if model.functions:
        raise UserError(f"{path} has control flow, which is not read here: export it as mindir instead")
    kinds = {f"REF::{primitive.name}": primitive for primitive in model.primitives}
    graph, operators = model.graph, []
    constants = {tensor.name: _array(tensor) for tensor in graph.parameter}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = _value(node.attribute[0])
        else:
            primitive = kinds[node.op_type]
            attributes = {attribute.name: _value(attribute) for attribute in primitive.attribute}
            shapes = next((attribute.tensors for attribute in node.attribute if attribute.name == "shape"), ())
            rank, dtype = (len(shapes[0].dims), DTYPES.get(shapes[0].data_type)) if shapes else (None, None)
            channels = shapes[0].dims[1] if rank == 4 else None
            operators.append(
                Operator(primitive.op_type, tuple(node.input), node.output[0], rank, dtype, attributes, channels)
            )
    return Graph([entry.name for entry in graph.input], graph.output[0].name, constants, operators)


def _array(tensor):
    return np.frombuffer(tensor.raw_data, DTYPES[tensor.data_type]).reshape(tuple(tensor.dims))


def _value(attribute):
    kind = attribute.AttributeType.Name(attribute.type)
    if kind in ("TUPLE", "LIST"):
        return tuple(_value(element) for element in attribute.values)
    if attribute.tensors:
        return _array(attribute.tensors[0])
    if kind == "STRING":
        return attribute.s.decode()
    if kind in ("FLOAT", "DOUBLE"):
        set_alone = [getattr(attribute, field) for field in ("f", "d") if attribute.HasField(field)]
        return [*set_alone, *attribute.floats, *attribute.doubles, 0.0][0]
    if kind.startswith(("INT", "UINT", "BOOL")):
        return attribute.ints[0] if attribute.ints else attribute.i
    return None


def write_mindir(path, role, cell, inputs, conditional=True):
    """Write a Cell as the one file ``path``; arguments as of ``src.export.onnx_model.write_onnx``."""
    with tempfile.TemporaryDirectory() as scratch:  # MindSpore puts files of its own beside
        exported = Path(scratch) / f"{role}{path.suffix}"
        save(exported, cell, inputs)
        shutil.copyfile(exported, path)


def save(path, cell, inputs):
    """Write a Cell to ``X.mindir`` or ``X.air``; None in a shape of its inputs, tensors, is free.

    UserError where MindSpore has spread the weights over several files, as it does from 1 GB up. It may put files of
    its own beside.
    """
    ms.export(cell, *inputs, file_name=str(path), file_format=path.suffix[1:].upper())
    if not path.is_file():
        size = sum(parameter.nbytes for parameter in cell.get_parameters()) / 2**30
        raise UserError(
            f"expected one file of up to 1 GB, but MindSpore splits the {size:.1f} GB of this model's weights over "
            "several: --precision float16 halves them"
        )
