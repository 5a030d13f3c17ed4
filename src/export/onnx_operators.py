"""What each operator of MindIR is in ONNX (opset 15).

Every function takes the translation under construction (:class:`src.export.onnx_model.Translation`), the operator, and
the values of its inputs, and returns its own value. A value is a :class:`Name` of an ONNX tensor, a :class:`Size`, a
constant (NumPy array or number), or a tuple of values.
"""

from operator import add, floordiv, mul, sub

import numpy as np
from onnx import TensorProto

from ..errors import UserError

_END = 2**31 - 1  # beyond any axis


class Name(str):
    """A tensor in the ONNX graph."""


class Size(Name):
    """A size that is known only when the graph runs: an int64 tensor of one element."""


class Shape(tuple):
    """The shape of a tensor, whose sizes are looked up where they are needed: (name,)."""


def _node(kind, count):
    """The ONNX node that takes the same first ``count`` inputs."""
    return lambda t, operator, args: t.add(kind, *args[:count])


def _same(t, operator, args):
    return args[0]


def _tuple_get_item(t, operator, args):
    value, index = args
    if isinstance(value, Shape):
        shape = t.add("Shape", value[0])
        return Size(t.add("Slice", shape, (index,), (index + 1,)))
    return value[index]


def _scalar(kind, function):

    def translated(t, operator, args):
        if not any(isinstance(value, Name) for value in args):
            return function(*args)
        return Size(t.add(kind, *(value if isinstance(value, Name) else (value,) for value in args)))

    return translated


def _sizes(t, sizes):
    """A shape as a tensor; a single size that is unknown is left to be found out, as −1, if nothing else is."""
    if isinstance(sizes, Shape):
        return t.add("Shape", sizes[0])
    unknown = [isinstance(size, Name) for size in sizes]
    if not any(unknown):
        return tuple(sizes)
    if sum(unknown) == 1 and -1 not in sizes:
        return tuple(-1 if isinstance(size, Name) else size for size in sizes)
    return t.add("Concat", *(size if isinstance(size, Name) else (size,) for size in sizes), axis=0)


def _strided_slice(t, operator, args):
    x, begin, end, strides, begin_mask, end_mask, ellipsis_mask, new_axis_mask, dropped_mask = args
    if ellipsis_mask or new_axis_mask:
        raise UserError("a slice with an ellipsis or a new axis has no translation to ONNX here: use --format mindir")
    begin = [0 if begin_mask >> axis & 1 else first for axis, first in enumerate(begin)]
    end = [_END if end_mask >> axis & 1 else last for axis, last in enumerate(end)]
    cut = [axis for axis, bounds in enumerate(zip(begin, end, strict=True)) if bounds != (0, _END)]
    bounds = [tuple(values[axis] for axis in cut) for values in (begin, end)]
    x = t.add("Slice", x, *bounds, tuple(cut), tuple(strides[axis] for axis in cut))
    dropped = tuple(axis for axis in range(len(begin)) if dropped_mask >> axis & 1)
    return t.add("Squeeze", x, dropped) if dropped else x


def _convolution(kind):
    """A convolution or a transposed one, whose third input, the size of its result, follows from the others."""

    def translated(t, operator, args):
        a = operator.attributes
        top, bottom, left, right = (0, 0, 0, 0) if a["pad_mode"].lower() == "valid" else a["pad"]
        return t.add(
            kind, args[0], args[1], kernel_shape=list(a["kernel_size"]), strides=list(a["stride"][-2:]),
            dilations=list(a["dilation"][-2:]), pads=[top, left, bottom, right], group=a["group"],
        )  # fmt: skip

    return translated


def _matmul(t, operator, args):
    a, b, transpose_a, transpose_b = args
    return t.add("Gemm", a, b, transA=int(transpose_a), transB=int(transpose_b))


def _batch_matmul(t, operator, args):
    a, b, transpose_a, transpose_b = args
    last = [*range(operator.rank - 2), operator.rank - 1, operator.rank - 2]
    a, b = (t.add("Transpose", x, perm=last) if swap else x for x, swap in ((a, transpose_a), (b, transpose_b)))
    return t.add("MatMul", a, b)


def _bias_add(t, operator, args):
    """A bias, given to the convolution or product whose result it is added to, if nothing else takes that."""
    node = t.node(args[0])
    takes_bias = node is not None and node.op_type in ("Conv", "ConvTranspose", "Gemm") and len(node.input) == 2
    if takes_bias and isinstance(args[1], np.ndarray) and t.used_once(operator.inputs[0]):
        node.input.append(t.tensor(args[1]))
        return args[0]
    return t.add("Add", args[0], t.add("Reshape", args[1], (1, -1) + (1,) * (operator.rank - 2)))


def _mirror_pad(t, operator, args):
    pads = np.asarray(args[1])
    mode = {"REFLECT": "reflect"}[operator.attributes["mode"]]
    return t.add("Pad", args[0], tuple(map(int, [*pads[:, 0], *pads[:, 1]])), mode=mode)


def _mish(t, operator, args):
    """x·tanh(softplus(x)) = x·n/(n + 2) with n = eˣ(eˣ + 2): one exponential.

    onnxruntime's Softplus alone takes as long as all convolutions of the U-Net. Beyond the limit n/(n + 2) is 1 to the
    precision, and n would leave 16 bits' range.
    """
    limit = 5.5 if t.in_16_bits else 20.0
    e = t.add("Exp", t.add("Min", args[0], limit))
    n = t.add("Mul", e, t.add("Add", e, 2.0))
    return t.add("Mul", args[0], t.add("Div", n, t.add("Add", n, 2.0)))


def _select(t, operator, args):
    """A choice; that between Mish and x itself, where MindSpore's Mish overflows, is ONNX's Mish alone."""
    condition, chosen, other = (t.source(name) for name in operator.inputs)
    guard = condition is not None and condition.kind == "Greater" and condition.inputs[0] == operator.inputs[1]
    if guard and other is not None and other.kind == "Mish" and other.inputs[0] == operator.inputs[1]:
        return args[2]
    return t.add("Where", *args)


def _multiply(t, operator, args):
    """A product; of a residual with a number, perhaps a convolution of each channel, see ``onnx_model.write_onnx``."""
    factor, residual = args[1], t.source(operator.inputs[0])
    scales = isinstance(factor, float) and residual is not None and residual.kind == "Add"
    if t.for_cpu and scales and (operator.channels or 0) >= 16 and operator.channels % 16 == 0:
        weight = np.full((operator.channels, 1, 1, 1), factor, np.float32)
        return t.add("Conv", args[0], weight, group=operator.channels, kernel_shape=[1, 1])
    return t.add("Mul", *args[:2])


def _maximum(t, operator, args):
    """The larger of two; max(slope·x, x) is LeakyReLU (``nn.LeakyReLU`` for slopes below 1)."""
    product, x = t.source(operator.inputs[0]), operator.inputs[1]
    if product is not None and product.kind in ("Mul", "Muls") and x in product.inputs:
        slope = t.constant(next((name for name in product.inputs if name != x), None))
        if slope is not None and np.size(slope) == 1 and 0 <= float(slope) <= 1:
            return t.add("LeakyRelu", args[1], alpha=float(slope))
    return t.add("Max", *args)


def _softmax(t, operator, args):
    axis = operator.attributes.get("axis", args[1] if len(args) > 1 else -1)
    return t.add("Softmax", args[0], axis=axis[0] if isinstance(axis, tuple) else axis)


def _group_norm(t, operator, args):
    """GroupNorm as an instance norm of groups; x (B, C, H, W), weight and bias (C,). Its statistics are left out."""
    x, groups, weight, bias, eps = args
    ones, zeros = (np.full(groups, value, weight.dtype) for value in (1, 0))
    grouped = t.add("Reshape", x, (0, groups, -1))
    normal = t.add("InstanceNormalization", grouped, ones, zeros, epsilon=float(eps))
    normal = t.add("Reshape", normal, t.add("Shape", x))
    weight, bias = (t.add("Reshape", value, (1, -1, 1, 1)) for value in (weight, bias))
    return t.add("Add", t.add("Mul", normal, weight), bias), None, None


def _batch_norm(t, operator, args):
    """BatchNorm by its moving statistics; x, gamma, beta, mean, variance. What it gives besides is left out."""
    x, gamma, beta, mean, variance, _, epsilon = args[:7]
    return t.add("BatchNormalization", x, gamma, beta, mean, variance, epsilon=float(epsilon)), None, None, None, None


def _prelu(t, operator, args):
    """x, and slope·x below 0; one slope, which is LeakyReLU's then, or one for each channel."""
    x, slope = args
    if isinstance(slope, np.ndarray) and slope.size == 1:
        return t.add("LeakyRelu", x, alpha=float(slope[0]))
    return t.add("PRelu", x, t.add("Reshape", slope, (-1, 1, 1)))


def _reduce_mean(t, operator, args):
    x, axes, keep = args[:3]
    return t.add("ReduceMean", x, axes=[axes] if isinstance(axes, int) else list(axes), keepdims=int(keep))


# MindSpore's numbers of types
_CAST = {
    30: TensorProto.BOOL,
    34: TensorProto.INT32,
    35: TensorProto.INT64,
    42: TensorProto.FLOAT16,
    43: TensorProto.FLOAT,
}

TABLE = {
    "Load": _same,
    "Depend": _same,
    "UpdateState": lambda t, operator, args: None,
    "Shape": lambda t, operator, args: Shape((args[0],)),
    "TupleGetItem": _tuple_get_item,
    "MakeTuple": lambda t, operator, args: tuple(args),
    "ScalarAdd": _scalar("Add", add),
    "ScalarSub": _scalar("Sub", sub),
    "ScalarMul": _scalar("Mul", mul),
    "ScalarFloorDiv": _scalar("Div", floordiv),
    "Reshape": lambda t, operator, args: t.add("Reshape", args[0], _sizes(t, args[1])),
    "BroadcastTo": lambda t, operator, args: t.add("Expand", args[0], _sizes(t, args[1])),
    "Transpose": lambda t, operator, args: t.add("Transpose", args[0], perm=list(args[1])),
    "Concat": lambda t, operator, args: t.add("Concat", *args[0], axis=args[1]),
    "StridedSlice": _strided_slice,
    "Cast": lambda t, operator, args: t.add("Cast", args[0], to=_CAST[args[1]]),
    "Add": _node("Add", 2),
    "Sub": _node("Sub", 2),
    "Mul": _multiply,
    "Muls": _multiply,
    "Maximum": _maximum,
    "Div": _node("Div", 2),
    "Minimum": _node("Min", 2),
    "Greater": _node("Greater", 2),
    "Less": _node("Less", 2),
    "Select": _select,
    "Sqrt": _node("Sqrt", 1),
    "Sin": _node("Sin", 1),
    "Cos": _node("Cos", 1),
    "Mish": _mish,
    # x·σ(x) (arXiv 1606.08415), which ONNX has as one operator only from opset 24 on
    "SiLU": lambda t, operator, args: t.add("Mul", args[0], t.add("Sigmoid", args[0])),
    "MatMul": _matmul,
    "BatchMatMul": _batch_matmul,
    "Conv2D": _convolution("Conv"),
    "Conv2DTranspose": _convolution("ConvTranspose"),
    "BiasAdd": _bias_add,
    "MirrorPad": _mirror_pad,
    "Softmax": _softmax,
    "GroupNorm": _group_norm,
    "BatchNorm": _batch_norm,
    "PReLU": _prelu,
    "ReLU": _node("Relu", 1),
    "Tanh": _node("Tanh", 1),
    "ClampScalar": lambda t, operator, args: t.add("Clip", *args),
    "Gather": lambda t, operator, args: t.add("Gather", args[0], args[1], axis=int(args[2])),
    "ReduceMean": _reduce_mean,
}
