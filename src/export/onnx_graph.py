"""From MindIR to ONNX, operator by operator: no network is written twice, and sizes that are free stay free.

MindSpore's own exporter (2.10) fixes all sizes, stops at opset 11, and lacks operators that the networks need. ONNX is
written here with opset 15, which every Ascend ATC from CANN 7 on reads.
"""

import collections

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from src.errors import UserError
from src.export import onnx_operators
from src.export.onnx_operators import Name

OPSET = 15
IR_VERSION = 8  # what came with opset 15
_TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}


class Translation:
    """ONNX nodes and weights under construction.

    Args:
        parent: the translation whose graph holds this one, the body of a loop, and its weights.

    Attributes:
        nodes: list of ``NodeProto``.
        initializers: name → ``TensorProto``.
    """

    def __init__(self, parent=None):
        self.nodes = []
        self.initializers = parent.initializers if parent else {}
        self._names = parent._names if parent else collections.Counter()
        self._weights = parent._weights if parent else {}  # id of an array → (its name, the array)
        self._made = {}  # output → node
        self._real = np.float32
        self._labels, self._sources, self._uses, self._constants = {}, {}, {}, {}

    def translate(self, graph, inputs):
        """Add a graph.

        Args:
            graph: a :class:`src.export.mindir_reader.Graph`.
            inputs: names of the ONNX values that its inputs are.

        Returns:
            list of the names of its results.

        Raises:
            UserError: an operator has no translation.
        """
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
        """Append a node.

        Args:
            kind: ONNX's name of the operator.
            inputs: values, see :meth:`tensor`.
            outputs: how many results it has.

        Returns:
            the :class:`Name` of its result, or a list of several.
        """
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

        Args:
            inputs, outputs: list of (name, shape, "float32" or "int32"); a str in a shape is a size that is free.
        """
        nodes = _needed(self.nodes, [name for name, *_ in outputs])
        used = {name for node in all_nodes(nodes) for name in node.input}
        weights = [tensor for name, tensor in self.initializers.items() if name in used]
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


def write_model(path, model):
    """Check a model and write it to a file."""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


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
