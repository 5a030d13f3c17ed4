"""From a file to a model: the public face of the package."""

import importlib.util
import json
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .config.loader import config_from_dict
from .errors import UserError, first_line
from .families.registry import SCHEMAS, config_of, family_of
from .host.device import device_memory, is_cpu, known_device, select_device
from .host.shipped import shipped

if TYPE_CHECKING:
    from .inference.tile_size import TileOptions
    from .inference.upscaler import Upscaler

PathLike: TypeAlias = str | os.PathLike[str]


def load_model(path, ema=True):
    """Read a checkpoint; return its configuration and its network with the weights loaded.

    Of a training run's checkpoint, which holds both, ``ema`` takes the moving average of the weights, else the weights
    themselves. A finished model has only the average.
    """
    from .weights.checkpoint import load_checkpoint, load_into

    checkpoint = load_checkpoint(path)
    config = config_of(checkpoint)
    model = family_of(config).model()
    load_into(model, checkpoint.model_arrays(ema), path)
    return config, model


def load(path, device=None, graph=True, ema=True, tile_options=None, runtime=None, cache=True):
    """Return the configuration and the upscaler of one model; arguments as of :func:`load_upscaler`."""
    path, device = shipped(path), known_device(device)
    if not path.exists():
        raise UserError(f"no model at {path}: name a .ckpt from train.py or convert.py, or an export of export.py")
    if path.suffix in (".mindir", ".onnx") or (path.is_dir() and path.suffix != ".ckpt"):
        return _load_export(path, device, tile_options, runtime)
    if path.suffix != ".ckpt":
        raise UserError(
            f"{path} is neither a .ckpt nor a .mindir or .onnx file; PyTorch checkpoints are read by convert.py"
        )
    if runtime not in (None, "onnxruntime", "mindspore"):
        raise UserError(f"the runtime of a checkpoint must be onnxruntime or mindspore, not '{runtime}'")
    possible = runtime != "mindspore" and graph and is_cpu(device)
    if runtime == "onnxruntime" and not possible:
        raise UserError("onnxruntime runs checkpoints on the CPU, in graph mode: name that device, or mindspore")
    if possible and path.is_file() and (runtime or _installed("onnxruntime")):
        from .export.cache import CannotExport, kept_export

        try:
            artefact = kept_export(path, partial(write_export, path, ema=ema), ema, cache)
            return _of_export(artefact, tile_options)
        except CannotExport as error:
            if runtime:
                raise
            logging.warning("MindSpore runs %s, since ONNX Runtime cannot: %s", path, error)
    device = select_device(device, graph)
    config, model = load_model(path, ema)
    return config, family_of(config).model_upscaler(model, device, device_memory(), tile_options, alone=True)


def load_upscaler(
    path: PathLike | Sequence[PathLike],
    device: str | None = None,
    graph: bool = True,
    ema: bool = True,
    tile_options: "TileOptions | None" = None,
    runtime: str | None = None,
    cache: bool = True,
) -> "Upscaler":
    """Return an upscaler from a checkpoint (``.ckpt``) or an exported model (``.mindir``, ``.onnx``, or its folder).

    Args:
        path: the file; a list of several makes a cascade of them (``src.inference.cascade.Cascade``).
        device: "Ascend", "GPU", "CPU", in any letter case, or None for the first that works.
        graph: graph mode, else PyNative mode.
        ema: see :func:`load_model`.
        tile_options: ``src.inference.tile_size.TileOptions``; None for the defaults.
        runtime: what runs the networks: "mindspore", "onnxruntime" or "mindspore_lite". None takes ONNX Runtime for a
            checkpoint on the CPU, through an export that is made at the first use, MindSpore for one elsewhere, and
            for an exported model the first that is installed.
        cache: keep such an export for the next time (:mod:`src.export.cache`).

    Returns:
        ``src.inference.upscaler.Upscaler``; what cannot be one is a ``UserError``.
    """
    paths = path if isinstance(path, (list, tuple)) else [path]
    if len(paths) == 1:
        return load(paths[0], device, graph, ema, tile_options, runtime, cache)[1]
    from .inference.cascade import Cascade

    upscalers = []
    for each in paths:
        lite = runtime == "mindspore_lite" and Path(each).suffix == ".ckpt"  # it runs none
        upscalers.append(load(each, device, graph, ema, tile_options, None if lite else runtime, cache)[1])
    return Cascade(upscalers)


def write_export(checkpoint, output, ema=True):
    """Export a checkpoint as ONNX Runtime runs it on the CPU: any size, float32; else raise ``CannotExport``.

    Weights that float16 holds without loss, as those of the models that come with the project, are stored in it.
    """
    select_device("CPU")
    from .export.cache import CannotExport

    config, model = load_model(checkpoint, ema)
    try:
        from .export.exporter import export
        from .export.model import export_model, provenance
        from .export.onnx_model import write_onnx

        graphs, about = export_model(config, model)
        write = partial(write_onnx, for_cpu=True)
        export(output, "onnx", graphs, about | provenance(checkpoint, "onnx"), write)
    except Exception as error:  # whatever MindSpore or onnx stumbles over: MindSpore's own graphs are left
        raise CannotExport(first_line(error)) from error


def _load_export(path, device, tile_options, runtime):
    from .export.artefact import Artefact

    memory = None
    mindir = path.suffix == ".mindir" or (path.is_dir() and any(path.glob("*.mindir.json")))
    if runtime in (None, "mindspore") and mindir and _installed("mindspore"):
        select_device(device)
        device, runtime, memory = None, "mindspore", device_memory()
    return _of_export(Artefact(path, runtime, device), tile_options, memory)


def _of_export(artefact, tile_options, memory=None):
    """The configuration that an exported model carries, and its upscaler."""
    from .export.artefact import ADVICE
    from .export.load import upscaler_of

    about = artefact.description
    config = config_from_dict(about["config"], SCHEMAS, f"the configuration of {artefact.path}", stored=True)
    family = family_of(config)
    wanted = json.loads(json.dumps(family.description()))
    if not family.one_pass:
        wanted["cut"] = "sampler" if artefact.cut == "sampler" else "step"
    for name, value in wanted.items():
        if about.setdefault(name, value) != value and name not in ("config", "reach", "cost"):  # some older ones lack
            raise UserError(f"{artefact.path} contradicts its configuration in its field {name}: {ADVICE}")
    return config, upscaler_of(artefact, tile_options, memory)


def _installed(package):
    return package in sys.modules or importlib.util.find_spec(package) is not None
