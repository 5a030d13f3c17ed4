"""Run an exported MindIR model; the project's network code is not needed for it."""

import json
from pathlib import Path

import mindspore as ms
from mindspore import nn

from src.errors import UserError
from src.export.exporter import FORMAT, FORMAT_VERSION, description_hash, sha256
from src.inference.networks import DiffusionNetworks, RegressionNetworks

_ADVICE = "export it anew with export.py, and keep the .mindir files and the .json together"


def load_mindir(path):
    """Load an exported model.

    Args:
        path: ``X.mindir``, with the files that export.py wrote beside it.

    Returns:
        the configuration as a plain dict, and the networks for an ``Upscaler``.

    Raises:
        UserError: a file is missing, damaged, of another version, or not written by export.py.
    """
    path = Path(path)
    description = _read_description(path)
    try:
        graphs = {role: _load_graph(path.with_name(entry["file"]), entry["sha256"])
                  for role, entry in description["graphs"].items()}  # fmt: skip
        settings = description["config"]
        if "whole" in graphs:
            return settings, RegressionNetworks(graphs["whole"])
        uses_lr_up = settings["unet"]["add_lr_up"]
        return settings, DiffusionNetworks(graphs["encode"], graphs["step"], uses_lr_up=uses_lr_up)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path.with_suffix('.json')} is incomplete ({error}): {_ADVICE}") from error


def _read_description(path):
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise UserError(f"{path} lacks its description {beside.name}: {_ADVICE}")
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{beside} cannot be read as JSON: {_ADVICE}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise UserError(f"{beside} does not describe a model of this project: {_ADVICE}")
    version = description.get("format_version")
    if version != FORMAT_VERSION:
        raise UserError(f"{beside} has format version {version}, this program reads {FORMAT_VERSION}: {_ADVICE}")
    if description.get("sha256") != description_hash(description):
        raise UserError(f"{beside} was changed after the export: {_ADVICE}")
    return description


def _load_graph(path, expected_hash):
    if not path.is_file():
        raise UserError(f"{path} is missing: {_ADVICE}")
    if sha256(path) != expected_hash:
        raise UserError(f"{path} is damaged or from another export: {_ADVICE}")
    try:
        return nn.GraphCell(ms.load(str(path)))
    except (RuntimeError, ValueError) as error:
        raise UserError(f"mindspore {ms.__version__} cannot load {path}: {_ADVICE}") from error
