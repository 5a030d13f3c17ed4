"""Write a model as MindIR: graphs with free batch, height and width, and what a runner must know about them.

``X.mindir`` is the graph that runs once per step (SRDiff), or the whole network (RRDB). Beside it stand
``X.encode.mindir``, run once per picture (SRDiff), and ``X.json``: configuration, hashes of the files and of itself.
Noise is an input, never part of a graph.
"""

import hashlib
import json
import logging
import shutil
import tempfile
from pathlib import Path

import mindspore as ms
import numpy as np

from src.atomic_file import replacing, write_text
from src.errors import UserError

FORMAT = "mindspore-sr"
FORMAT_VERSION = 1


def export_mindir(output, graphs, settings, checkpoint):
    """Write graphs and their description.

    Args:
        output: ``X.mindir``.
        graphs: role ("step", "encode" or "whole") → (Cell, its inputs as tensors; None in a shape is free).
        settings: the configuration as a plain dict.
        checkpoint: path of the weights, whose hash is recorded.

    Returns:
        list of the files written, the description last.

    Raises:
        UserError: the folder cannot be written.
    """
    output = Path(output)
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "mindspore": ms.__version__,
        "checkpoint": {"name": Path(checkpoint).name, "sha256": sha256(checkpoint)},
        "config": settings,
        "graphs": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        exported = {role: Path(scratch) / f"{role}.mindir" for role in graphs}
        for role, (cell, inputs) in graphs.items():
            ms.export(cell, *inputs, file_name=str(exported[role]), file_format="MINDIR")
        for role, source in exported.items():  # an older export is touched only when all graphs are there
            path = graph_path(output, role)
            with replacing(path, "exported model") as temporary:
                shutil.copyfile(source, temporary)
            description["graphs"][role] = {"file": path.name, "sha256": sha256(path)}
    description["sha256"] = description_hash(description)
    description_path = output.with_suffix(".json")
    write_text(description_path, json.dumps(description, indent=1), "description of the exported model")
    return [graph_path(output, role) for role in graphs] + [description_path]


def description_hash(description):
    """The SHA-256 of a description without its own hash, whatever the order and the layout of its JSON."""
    rest = {key: value for key, value in description.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def check_request(output, kind, device):
    """Refuse what cannot be exported, before any work.

    Args:
        output: the file to write.
        kind: "mindir" or "air".
        device: the device that mindspore runs on.

    Raises:
        UserError: the suffix is not the kind's, or it is AIR and this is no Ascend machine, the only kind that
            MindSpore exports AIR on.
    """
    if kind == "air" and device != "Ascend":
        raise UserError(
            "--format air needs an Ascend machine (MindSpore exports AIR nowhere else): use --format mindir"
        )
    if Path(output).suffix != f".{kind}":
        raise UserError(f"--output must end in .{kind} for --format {kind}, not '{Path(output).name}'")


def export_air(output, graphs):
    """Write each graph as AIR for Ascend's ATC; shapes are fixed, as AIR needs them.

    Returns:
        list of the files written.
    """
    output = Path(output)
    with tempfile.TemporaryDirectory() as scratch:
        for role, (cell, inputs) in graphs.items():
            exported = Path(scratch) / f"{role}.air"
            ms.export(cell, *inputs, file_name=str(exported), file_format="AIR")
            with replacing(graph_path(output, role), "exported model") as temporary:
                shutil.copyfile(exported, temporary)
    return [graph_path(output, role) for role in graphs]


def graph_path(output, role):
    """The file of a graph: the output itself, or beside it for the encoder."""
    return output.with_name(f"{output.stem}.encode{output.suffix}") if role == "encode" else output


def sha256(path):
    """The hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def largest_deviation(exported, original, sizes=((16, 16), (23, 37)), steps=4):
    """Run the exported model and the checkpoint on the same random pictures and seed.

    Args:
        exported, original: ``Upscaler`` objects.
        sizes: LR heights and widths to try.
        steps: sampling steps, where there are any.

    Returns:
        list of (size, largest absolute difference in [−1, 1] units).
    """
    found = []
    for number, (height, width) in enumerate(sizes):
        lr = np.random.default_rng(number).uniform(-1, 1, (1, 3, height, width)).astype(np.float32)
        pair = [upscaler.sample(lr, seed=number, steps=steps) for upscaler in (exported, original)]
        found.append(((height, width), float(np.abs(pair[0] - pair[1]).max())))
        logging.info("%d x %d: largest deviation %.1e", height, width, found[-1][1])
    return found
