"""Write an exported model: its graphs, and beside them a description of all that a runner must know.

``X.onnx`` is the graph that runs once per step (SRDiff), the whole network (RRDB), or a whole sampler. Beside it stand
``X.onnx.json`` and, with a step, ``X.encode.onnx``, which runs once per picture; also with ``.mindir``, ``.air``.
Noise is an input, never part of a graph. ``src/export/offline.py`` reads what is written here.
"""

import json
import shutil
import tempfile
from pathlib import Path

import mindspore as ms

from src.atomic_file import replacing, write_text
from src.errors import UserError
from src.export.offline import FORMAT, FORMAT_VERSION, INPUTS, OUTPUTS, description_hash, file_hash

KINDS = ("mindir", "onnx", "air")
CUTS = ("step", "sampler")
PRECISIONS = ("float32", "float16")


def export(output, kind, graphs, about, precision="float32"):
    """Write graphs and their description, all or nothing.

    Args:
        output: ``X.mindir``, ``X.onnx`` or ``X.air``.
        kind: one of :data:`KINDS`.
        graphs: role ("whole"; "encode" and "step"; or "sampler") → (Cell, its inputs as tensors; None in a shape is
            free).
        about: what the description says beside the files, a dict.
        precision: one of :data:`PRECISIONS`; of the Cells themselves for MindIR, whose writer does not change it.

    Returns:
        list of the files written, the description last.

    Raises:
        UserError: the folder cannot be written, or an operator cannot be exported.
    """
    output = Path(output)
    description = {"format": FORMAT, "format_version": FORMAT_VERSION, "kind": kind, "precision": precision} | about
    with tempfile.TemporaryDirectory() as scratch:
        written = {}
        for role, (cell, inputs) in graphs.items():
            written[role] = Path(scratch) / f"{role}.{kind}"
            _write(written[role], kind, role, cell, inputs, precision)
        description["graphs"] = {}
        for role, source in written.items():  # an older export is touched only when all graphs are there
            path = graph_path(output, role)
            with replacing(path, "exported model") as temporary:
                shutil.copyfile(source, temporary)
            entry = {"file": path.name, "sha256": file_hash(path), "inputs": _described(role, graphs[role][1])}
            description["graphs"][role] = entry | {"outputs": OUTPUTS[role]}
    description["sha256"] = description_hash(description)
    beside = output.with_name(output.name + ".json")
    write_text(beside, json.dumps(description, indent=1), "description of the exported model")
    return [graph_path(output, role) for role in graphs] + [beside]


def _write(path, kind, role, cell, inputs, precision):
    if kind == "onnx":
        from src.export.onnx_writer import write_onnx  # late: only ONNX needs the package onnx

        write_onnx(path, role, cell, inputs, precision)
    else:
        ms.export(cell, *inputs, file_name=str(path), file_format=kind.upper())


def _described(role, inputs):
    return [
        {"name": name, "shape": [None if n in (None, -1) else n for n in tensor.shape], "dtype": _dtype(tensor)}
        for name, tensor in zip(INPUTS[role], inputs, strict=True)
    ]


def _dtype(tensor):
    return str(tensor.dtype).rpartition(".")[2].lower()


def check_request(output, kind, cut, precision, device):
    """Refuse what cannot be exported, before any work.

    Args:
        output: the file to write.
        kind, cut, precision: one of :data:`KINDS`, :data:`CUTS` and :data:`PRECISIONS`.
        device: the device that mindspore runs on.

    Raises:
        UserError: the suffix is not the kind's; it is AIR and this is no Ascend machine, the only kind that MindSpore
            exports AIR on; or AIR is asked for what it does not do.
    """
    if kind == "air" and device != "Ascend":
        raise UserError(
            "--format air needs an Ascend machine (MindSpore exports AIR nowhere else): use --format mindir or onnx"
        )
    if Path(output).suffix != f".{kind}":
        raise UserError(f"--output must end in .{kind} for --format {kind}, not '{Path(output).name}'")
    if kind == "air" and cut == "sampler":
        raise UserError("--format air takes --graph step: the loop of --graph sampler is for mindir and onnx")
    if kind == "air" and precision != "float32":
        raise UserError("--format air keeps float32; ATC chooses the precision on the device (--precision_mode)")


def graph_path(output, role):
    """The file of a graph: the output itself, or beside it for the encoder."""
    return output.with_name(f"{output.stem}.encode{output.suffix}") if role == "encode" else output
