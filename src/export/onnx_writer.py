"""Cells as ONNX files: exported to MindIR, translated, and for the whole sampler put around a loop."""

import tempfile
from pathlib import Path

import mindspore as ms
import numpy as np
from onnx import TensorProto, helper

from src.export.interface import described
from src.export.mindir_reader import read_mindir
from src.export.mindir_writer import save
from src.export.offline import OUTPUTS, input_names
from src.export.onnx_graph import Translation, write_model


def write_onnx(path, role, cell, inputs, conditional=True):
    """Write a Cell as an ONNX model.

    Args:
        path: the file.
        role: "whole", "encode", "step" or "sampler"; names inputs and outputs, see ``offline.INPUTS``.
        cell: the ``nn.Cell``, of float32 results; for the role "sampler" a ``Sampler`` or ``SamplerFromNothing`` of
            :mod:`src.export.sampler_graph`.
        inputs: its inputs as tensors; None in a shape is free.
        conditional: whether the model looks at a picture.

    Raises:
        UserError: an operator has no translation, or the weights do not fit one file.
    """
    translation, names = Translation(), input_names(role, conditional)
    with tempfile.TemporaryDirectory() as scratch:
        if role == "sampler":
            results = _sampler(translation, cell, inputs, names, Path(scratch))
        else:
            results = translation.translate(_graph_of(cell, inputs, Path(scratch)), names)
    translation.name_results(results, OUTPUTS[role])
    taken = [(entry["name"], _named(entry), entry["dtype"]) for entry in described(role, inputs, conditional)]
    outputs = [(name, [f"{name}_{n}" for n in range(4)], "float32") for name in OUTPUTS[role]]
    write_model(path, translation.model(taken, outputs))


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

    body = Translation(parent=translation)
    tensors = [ms.Tensor(shape=_condition_shape(cell, lr[0]), dtype=ms.float32), lr[0]] if lr else []
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


def _condition_shape(cell, lr):
    """The shape of the condition, by encoding zeros."""
    return cell.start.model.encode(ms.Tensor(np.zeros(lr.shape, np.float32)))[0].shape
