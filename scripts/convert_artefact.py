#!/usr/bin/env python3
"""Convert an exported MindIR for Ascend at one size, with MindSpore Lite's converter_lite.

    python scripts/convert_artefact.py --model srdiff.mindir --size 128x128 --output srdiff_128x128

The folder that it writes is an exported model like the one that it was made from, with a description of its own. It
needs NumPy, Pillow, and converter_lite in PATH. docs/deployment.md says more.
"""

import argparse
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import run  # noqa: E402
from src.errors import UserError  # noqa: E402
from src.export.artefact import description_hash, description_path, file_hash, read_description  # noqa: E402

PRECISIONS = ("enforce_fp16", "preferred_optimal", "preferred_fp32", "enforce_fp32", "enforce_origin")


def arguments():
    """Return the parsed command line."""
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("--model", required=True, metavar="X.mindir", help="what export.py wrote, with its files beside it")
    p.add_argument("--size", required=True, metavar="HxW", help="the LR size that the result takes, such as 128x128")
    p.add_argument("--precision-mode", choices=PRECISIONS, default=PRECISIONS[0], help="of the arithmetic on the "
                   "device (default: enforce_fp16, as converter_lite's)")  # fmt: skip
    p.add_argument("--output", metavar="DIR", help="a folder; by default X_HxW_PRECISION beside X.mindir")
    return p.parse_args()


def main():
    """Convert, or find what an earlier call converted; print the model's path."""
    args = arguments()
    beside = description_path(args.model)
    about = read_description(args.model)
    height, width = checked_size(about, args.size)
    output = Path(args.output or beside.parent / f"{beside.stem[:-7]}_{height}x{width}_{args.precision_mode}")
    # What it was made from and how: the same call again has nothing to do
    origin = {"from": about["sha256"], "size": [height, width], "precision_mode": args.precision_mode}
    if output.exists():
        check_earlier(output / beside.name, origin)
    else:
        convert(beside, about, origin, output)
    print(output / beside.stem)


def checked_size(about, text):
    """(height, width) from "HxW", if the model can be converted and take it.

    Raises:
        UserError: it cannot.
    """
    if about["kind"] != "mindir" or about["cut"] == "sampler":
        raise UserError("only a MindIR of one step can be converted: export with --format mindir --graph step")
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if not match:
        raise UserError(f"the size must be HEIGHTxWIDTH of the LR picture, such as 128x128, not '{text}'")
    scale, sides = about["scale"], [int(side) for side in match.groups()]
    unit = math.lcm(scale, about["size_multiple"])
    if any(side * scale % unit or side * scale < 2 * unit for side in sides):
        raise UserError(f"both sides must be multiples of {unit // scale}, at least {2 * unit // scale}, not {text}")
    return sides


def check_earlier(beside, origin):
    """Refuse a folder that is there already, unless it holds just what would be written.

    Raises:
        UserError: it holds something else.
    """
    try:
        about = read_description(beside)
        files = [(beside.with_name(entry["file"]), entry["sha256"]) for entry in about["graphs"].values()]
        same = about.get("converted") == origin and all(file_hash(file) == found for file, found in files)
    except (UserError, OSError, KeyError):
        same = False
    if not same:
        raise UserError(f"{beside.parent} exists and holds something else: remove it, or name another --output")


def convert(beside, about, origin, output):
    """Write the folder ``output``, whole or not at all.

    Args:
        beside: the path of the description of the model to convert.
        about: that description.
        origin: what is noted in the new one.
        output: the folder.

    Raises:
        UserError: converter_lite is missing or fails, or a file is missing, damaged, or cannot be written.
    """
    tool = shutil.which("converter_lite")
    if tool is None:
        raise UserError("converter_lite is not in PATH: unpack MindSpore Lite, put its tools/converter/converter "
                            "into PATH and its tools/converter/lib into LD_LIBRARY_PATH")  # fmt: skip
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise UserError(f"cannot write {output} ({error}): name another --output") from error
    try:
        made, graphs = scratch / output.name, {}
        made.mkdir()
        for role, entry in about["graphs"].items():
            source = beside.with_name(entry["file"])
            if not source.is_file() or file_hash(source) != entry["sha256"]:
                raise UserError(f"{source} is missing or damaged: export it anew with export.py")
            inputs = fixed_inputs(about, entry["inputs"], origin["size"])
            names = input_names(source)
            if len(names) != len(inputs):
                raise UserError(f"{source} has {len(names)} inputs, not {len(inputs)}: export it anew with export.py")
            shapes = [f"{name}:{','.join(map(str, inputs[k]['shape']))}" for k, name in enumerate(names)]
            config = scratch / "converter.cfg"
            config.write_text(f"[ascend_context]\nprecision_mode={origin['precision_mode']}\n")
            run_converter(tool, source, made / source.name, ";".join(shapes), config)
            graphs[role] = {**entry, "inputs": inputs, "sha256": file_hash(made / source.name)}
        description = {**about, "graphs": graphs, "converted": origin}
        description["sha256"] = description_hash(description)
        (made / beside.name).write_text(json.dumps(description, indent=1), encoding="utf-8")
        made.rename(output)
    except OSError as error:
        raise UserError(f"cannot write {output} ({error}): name another --output") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def fixed_inputs(about, inputs, size):
    """A description's inputs of a graph, with the shapes for one LR picture of a size."""
    scale = about["scale"]
    # SRDiff's condition has the resolution at which its U-Net works, SR3's is LR↑
    folded = about["cut"] == "step" and about["config"]["system"] == "srdiff"
    divisor = about["config"]["unet"]["space_to_depth"] if folded else 1
    sides = {
        "lr": list(size),
        "x_t": [side * scale for side in size],
        "condition": [side * scale // divisor for side in size],
    }
    return [{**item, "shape": [1, *item["shape"][1:2], *sides.get(item["name"], [])]} for item in inputs]


def run_converter(tool, source, target, shapes, config):
    """Run converter_lite; it adds ``.mindir`` to the name that it is given.

    Raises:
        UserError: it fails, or leaves no file.
    """
    command = [
        tool, "--fmk=MINDIR", "--saveType=MINDIR", "--optimize=ascend_oriented", f"--modelFile={source}",
        f"--outputFile={target.with_suffix('')}", f"--inputShape={shapes}", f"--configFile={config}",
    ]  # fmt: skip
    print(" ".join(command), file=sys.stderr)
    try:
        status = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    except OSError as error:
        raise UserError(f"{tool} cannot be run ({error}): is it built for this machine?") from error
    if status:
        raise UserError(f"converter_lite failed on {source} (status {status}): its messages are above")
    if not target.is_file():
        left = ", ".join(sorted(p.name for p in target.parent.iterdir())) or "nothing"
        raise UserError(f"converter_lite was to write {target.name} but left {left}: its messages are above")


def input_names(path):
    """The names of the inputs of a MindIR's graph in order, as MindSpore Lite calls them: without the graph's name.

    MindIR is a protobuf (mind_ir.proto): a ModelProto's field 7 is the graph, its fields 5 are the inputs, whose field
    1 is the name. MindSpore itself need not be on this machine.
    """
    graph = next(value for field, value in _fields(memoryview(path.read_bytes())) if field == 7)
    inputs = [value for field, value in _fields(graph) if field == 5]
    names = [bytes(next(value for field, value in _fields(item) if field == 1)).decode() for item in inputs]
    return [name.partition(":")[2] or name for name in names]


def _fields(message):
    """Yield (number, value) of a protobuf message's fields that hold bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(message, at)
        elif kind == 2:
            length, at = _varint(message, at)
            yield key >> 3, message[at : at + length]
            at += length
        else:
            at += {1: 8, 5: 4}[kind]


def _varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def command():
    """:func:`main`, for which a field that the description lacks is a mistake like others."""
    try:
        main()
    except KeyError as missing:
        raise UserError(f"the model's description lacks {missing}: export it anew with export.py") from missing


if __name__ == "__main__":
    run(command)
