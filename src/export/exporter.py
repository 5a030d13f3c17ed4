"""Write an exported model's files, also of AIR as ``artefact.py`` says; noise is an input, never part of a graph."""

import contextlib
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path

from ..errors import UserError
from ..host.files import replacing, write_text
from .artefact import FORMAT, FORMAT_VERSION, OUTPUTS, describe_inputs, description_hash, file_hash


def export(output, kind, graphs, about, write, precision="float32", check=None):
    """Write graphs and their description. What stood there before is touched only when all is written and checked.

    Args:
        output: ``X.mindir``, ``X.onnx`` or ``X.air``.
        kind: "mindir", "onnx" or "air".
        graphs: role ("whole"; "encode" and "step", or of a model that makes pictures from nothing "step" alone; or
            "sampler") → (Cell, its inputs as tensors; None in a shape is free).
        about: what the description says beside the files, a dict.
        write: ``write(path, role, cell, inputs, conditional)``: ``src.export.mindir.write_mindir``, for AIR as well, or
            ``src.export.onnx_model.write_onnx``.
        precision: "float32" or "float16", that of the Cells, for the description.
        check: called with the path of the model under a temporary name; raises where it must not be kept.

    Returns:
        list of the files written, the description last.
    """
    output, conditional = Path(output), about["conditional"]
    description = {"format": FORMAT, "format_version": FORMAT_VERSION, "kind": kind, "precision": precision} | about
    with _folder_beside(output) as folder:
        staged, entries = folder / output.name, {}
        for role, (cell, inputs) in graphs.items():
            with replacing(graph_path(staged, role), "exported model") as temporary:
                write(temporary, role, cell, inputs, conditional)
        for role, (_, inputs) in graphs.items():
            path = graph_path(staged, role)
            described = {"inputs": describe_inputs(role, inputs, conditional), "outputs": OUTPUTS[role]}
            entries[role] = {"file": path.name, "sha256": file_hash(path)} | described
        description["graphs"] = entries
        description["sha256"] = description_hash(description)
        beside = staged.with_name(staged.name + ".json")
        write_text(beside, json.dumps(description, indent=1), "description of the exported model")
        if check is not None:
            check(staged)
        return [_moved(path, output) for path in [*(graph_path(staged, role) for role in graphs), beside]]


@contextlib.contextmanager
def _folder_beside(output):
    """A hidden folder beside the output, on the same disk."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=f".{output.stem[:32]}.", dir=output.parent)
    except OSError as error:
        raise UserError(f"cannot write the exported model {output}: {error.strerror}; name another --output") from error
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _moved(path, output):
    target = output.with_name(path.name)
    try:
        os.replace(path, target)
    except OSError as error:
        raise UserError(f"cannot write the exported model {target}: {error.strerror}; name another --output") from error
    return target


def check_request(output, kind, cut, precision, device, check=False):
    """Refuse what cannot be exported, before any work.

    ``kind``, ``cut`` and ``precision`` are export.py's --format, --graph and --precision, ``device`` is what mindspore
    runs on, and ``check`` says whether the export will be run.
    """
    if kind == "air" and device != "Ascend":
        raise UserError(
            "--format air needs an Ascend machine (MindSpore exports AIR nowhere else): use --format mindir or onnx"
        )
    if Path(output).suffix != f".{kind}":
        raise UserError(
            f"--output must end in .{kind} for --format {kind}, not '{Path(output).name}'; without --format it may end "
            "in .mindir, .onnx or .air"
        )
    if Path(output).is_dir():
        raise UserError(f"--output {output} is a folder: name a file in it")
    if kind == "onnx":
        for package, needed, remedy in (
            ("onnx", True, "use --format mindir"),
            ("onnxruntime", check, "leave the comparison out with --no-check"),
        ):
            if needed and importlib.util.find_spec(package) is None:
                raise UserError(f"--format onnx needs {package}: pip install {package}, or {remedy}")
    if kind == "air" and cut == "sampler":
        raise UserError("--format air takes --graph step: the loop of --graph sampler is for mindir and onnx")
    if kind == "air" and precision != "float32":
        raise UserError("--format air keeps float32; ATC chooses the precision on the device (--precision_mode)")


def graph_path(output, role):
    """The file of a graph: the output itself, or beside it for the encoder."""
    return output.with_name(f"{output.stem}.encode{output.suffix}") if role == "encode" else output
