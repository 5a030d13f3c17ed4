"""From MindIR to ONNX, operator by operator: no network is written twice, and sizes that are free stay free.

MindSpore's own exporter (2.10) fixes all sizes, stops at opset 11, and lacks operators that the networks need. ONNX is
written here with opset 15, which every Ascend ATC from CANN 7 on reads.
"""

import collections
import logging
import tempfile
from pathlib import Path

import mindspore as ms
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..errors import UserError, first_line
from ..layers.graph import Graph
from . import onnx_operators
from .artefact import OPSET, OUTPUTS, OnnxGraph, describe_inputs, input_names
from .mindir import read_mindir, save
from .onnx_operators import Name

IR_VERSION = 8  # what came with opset 15
_TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}


class Translation:
    """ONNX nodes and weights under construction; ``parent``'s graph holds the weights of this one, a loop's body.

    ``for_cpu``: for ONNX Runtime on the CPU, see :func:`write_onnx`.
    """

    def __init__(self, parent=None, for_cpu=False):
        self.for_cpu = for_cpu
        self.nodes = []  # of ``NodeProto``
        self.initializers = parent.initializers if parent else {}  # name → ``TensorProto``
        self._names = parent._names if parent else collections.Counter()
        self._weights = parent._weights if parent else {}  # id of an array → (its name, the array)
        self._made = {}  # output → node
        self._real = np.float32
        self._labels, self._sources, self._uses, self._constants = {}, {}, {}, {}

    def translate(self, graph, inputs):
        """Add a ``src.export.mindir.Graph`` of these ONNX values; return the list of the names of its results."""
        self._sources = {operator.output: operator for operator in graph.operators}
        self._uses = collections.Counter(name for operator in graph.operators for name in operator.inputs)
        self._constants = graph.constants
        values = graph.constants | {name: Name(value) for name, value in zip(graph.inputs, inputs, strict=True)}
        self._labels = {id(value): name for name, value in graph.constants.items() if isinstance(value, np.ndarray)}
        for operator in graph.operators:
            function = onnx_operators.TABLE.get(operator.kind)
            if function is None:
                raise UserError(f"the operator {operator.kind} has no translation to ONNX here: use --format mindir")
            self._real = np.float16 if operator.dtype == np.float16 else np.float32
            values[operator.output] = function(self, operator, [values[name] for name in operator.inputs])
        result = values[graph.output]
        return [self.tensor(value) for value in (result if isinstance(result, tuple) else (result,))]

    def add(self, kind, *inputs, outputs=1, **attributes):
        """Append an ONNX operator of values, see :meth:`tensor`; return the :class:`Name` of its result, or a list."""
        names = [self.fresh(kind) for _ in range(outputs)]
        node = helper.make_node(kind, [self.tensor(value) for value in inputs], names, name=names[0], **attributes)
        self.nodes.append(node)
        self._made |= dict.fromkeys(names, node)
        return names[0] if outputs == 1 else names

    def fresh(self, label):
        """A name that nothing has yet."""
        self._names[label] += 1
        return Name(f"{label}_{self._names[label]}")

    def tensor(self, value):
        """The name of a value: as it is, or of a constant made a weight.

        Of constants arrays keep their dtype, numbers take that of the operator being translated, and tuples are sizes.
        """
        if isinstance(value, Name):
            return value
        if isinstance(value, tuple):
            value = np.array(value, np.int64)
        if isinstance(value, bool | int | float):
            value = np.array(value, self._real)
        if id(value) not in self._weights:
            name = self.fresh(self._labels.get(id(value), "constant").rpartition(":")[2])
            self.initializers[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
            self._weights[id(value)] = name, value  # the array stays alive, and its id its own
        return self._weights[id(value)][0]

    @property
    def in_16_bits(self):
        """Whether the operator being translated gives float16."""
        return self._real == np.float16

    def name_results(self, results, names):
        """Give results the names that they are to have outside."""
        for result, name in zip(results, names, strict=True):
            self.nodes.append(helper.make_node("Identity", [result], [name], name=name))

    def model(self, inputs, outputs):
        """The whole as a ``ModelProto``, without what no output needs.

        Inputs and outputs are (name, shape, "float32" or "int32"); a str in a shape is a size that is free.
        """
        nodes = _needed(self.nodes, [name for name, *_ in outputs])
        used = {name for node in all_nodes(nodes) for name in node.input}
        weights = [tensor for name, tensor in self.initializers.items() if name in used]
        if self.for_cpu:
            weights, casts = _halved(weights)
            nodes = casts + nodes
        described = [
            [helper.make_tensor_value_info(name, _TYPES[dtype], shape) for name, shape, dtype in group]
            for group in (inputs, outputs)
        ]
        graph = helper.make_graph(nodes, "mindspore-sr", *described, weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.producer_name = "mindspore-sr"
        return model

    def node(self, name):
        """The ONNX node that a value comes from, or None."""
        return self._made.get(name)

    def source(self, name):
        """The MindIR operator that a value of the graph being translated comes from, or None."""
        return self._sources.get(name)

    def constant(self, name):
        """The constant of that name in the graph being translated, or None."""
        return self._constants.get(name)

    def used_once(self, name):
        """Whether one operator alone of the graph being translated takes that value."""
        return self._uses[name] == 1


def _halved(weights):
    """The weights, in float16 where that loses nothing, and the nodes that give those their float32 values."""
    halved, casts = [], []
    for tensor in weights:
        array = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        if array.dtype == np.float32 and array.size > 1 and np.array_equal(half, array):
            casts.append(helper.make_node("Cast", [f"{tensor.name}_half"], [tensor.name], to=TensorProto.FLOAT))
            tensor = numpy_helper.from_array(half, f"{tensor.name}_half")
        halved.append(tensor)
    return halved, casts


def _needed(nodes, outputs):
    """Those nodes that the outputs depend on."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(name for inner in all_nodes([node]) for name in inner.input)
    return kept[::-1]


def all_nodes(nodes):
    """The nodes and those inside loops."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from all_nodes(attribute.g.node)


def write_onnx(path, role, cell, inputs, conditional=True, for_cpu=False):
    """Write a Cell of float32 results, or a ``Sampler`` of :mod:`src.export.sampler_graph`, as an ONNX model.

    Args:
        role: "whole", "encode", "step" or "sampler"; names inputs and outputs, see ``artefact.INPUTS``.
        inputs: the Cell's inputs as tensors; None in a shape is free.
        conditional: whether the model looks at a picture.
        for_cpu: for ONNX Runtime on the CPU: weights that float16 holds without loss are stored in it, and residuals
            are scaled by a convolution of each channel, for which its blocks of channels need not be taken apart.
    """
    translation, names = Translation(for_cpu=for_cpu), input_names(role, conditional)
    with tempfile.TemporaryDirectory() as scratch:
        if role == "sampler":
            results = _sampler(translation, cell, inputs, names, Path(scratch))
        else:
            results = translation.translate(_graph_of(cell, inputs, Path(scratch)), names)
    model = _finished(translation, results, role, inputs, conditional)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def _finished(translation, results, role, inputs, conditional):
    """The ``ModelProto`` of a translation with these results."""
    translation.name_results(results, OUTPUTS[role])
    taken = [(entry["name"], _named(entry), entry["dtype"]) for entry in describe_inputs(role, inputs, conditional)]
    outputs = [(name, [f"{name}_{n}" for n in range(4)], "float32") for name in OUTPUTS[role]]
    return translation.model(taken, outputs)


class CurrentGraph:
    """A Cell that ONNX Runtime runs with the weights that it had at the last :meth:`refresh`; it is compiled once.

    Where it cannot be exported, MindSpore runs it, with its present weights. Arguments are as of :func:`write_onnx`,
    but for the role "sampler".
    """

    def __init__(self, role, cell, inputs, conditional):
        self._role, self._cell, self._inputs, self._conditional = role, cell, inputs, conditional
        self._graph = self._run = None

    def refresh(self):
        """Take the Cell's present weights."""
        if isinstance(self._run, Graph):
            return
        try:
            self._run = self._session()
        except Exception as error:  # whatever MindSpore, onnx or ONNX Runtime stumbles over
            logging.warning("MindSpore runs the validation, since ONNX Runtime cannot: %s", first_line(error))
            self._run = Graph(self._cell, self._inputs)

    def _session(self):
        if self._graph is None:
            with tempfile.TemporaryDirectory() as scratch:
                self._graph = _graph_of(self._cell, self._inputs, Path(scratch))
        parameters = {parameter.name: parameter for parameter in self._cell.get_parameters()}
        constants = {
            name: parameters[own].asnumpy() if (own := name.rpartition(":")[2]) in parameters else value
            for name, value in self._graph.constants.items()
        }
        names, translation = input_names(self._role, self._conditional), Translation(for_cpu=True)
        results = translation.translate(self._graph._replace(constants=constants), names)
        model = _finished(translation, results, self._role, self._inputs, self._conditional)
        return OnnxGraph(model.SerializeToString(), names, OUTPUTS[self._role], "CPU")

    def __call__(self, *arrays):
        return self._run(*arrays)


def _named(entry):
    """The shape of an input, with names for the sizes that are free."""
    name = entry["name"]
    names = ("batch", "channels", f"{name}_height", f"{name}_width")
    return [names[axis] if size is None else size for axis, size in enumerate(entry["shape"])]


def _graph_of(cell, inputs, folder):
    path = folder / f"{type(cell).__name__}.mindir"
    save(path, cell, inputs)
    return read_mindir(path)


def _sampler(translation, cell, inputs, names, folder):
    """Translate a sampler's parts, the middle one as the body of a loop over k; return the names of its results."""
    *lr, noise = inputs  # one LR picture, or none
    picture = ms.Tensor(shape=tuple(noise.shape[1:]), dtype=ms.float32)
    k = ms.Tensor(shape=(), dtype=ms.int32)
    x, *rest = translation.translate(_graph_of(cell.start, inputs, folder), names)
    given, base = rest[:2], rest[2:]  # condition and goal, or nothing

    body, tensors = Translation(parent=translation), []
    if lr:  # the shape of the condition is known by encoding zeros
        condition = cell.start.model.encode(ms.Tensor(np.zeros(lr[0].shape, np.float32)))[0]
        tensors = [ms.Tensor(shape=condition.shape, dtype=ms.float32), lr[0]]
    advance = _graph_of(cell.advance, [k, picture, picture, noise, *tensors], folder)
    k_name, keep, x_in, before_in = (body.fresh(label) for label in ("k", "keep", "x", "before"))
    step = body.add("Cast", k_name, to=TensorProto.INT32)
    carried = body.translate(advance, [step, x_in, before_in, "noise", *given])
    kept = body.add("Identity", keep)
    shape = list(picture.shape)
    taken = [(k_name, TensorProto.INT64, []), (keep, TensorProto.BOOL, [])]
    taken += [(name, TensorProto.FLOAT, shape) for name in (x_in, before_in)]
    given = [(kept, TensorProto.BOOL, [])] + [(name, TensorProto.FLOAT, shape) for name in carried]
    graph = helper.make_graph(
        body.nodes, "step", *([helper.make_tensor_value_info(*entry) for entry in group] for group in (taken, given))
    )
    count, always = np.array(cell.count, np.int64), np.array(True)
    x, _ = translation.add("Loop", count, always, x, x, outputs=2, body=graph)
    finish = _graph_of(cell.finish, [picture, *([picture] * len(base)), *lr], folder)
    return translation.translate(finish, [x, *base, *names[:-1]])
