"""From a file to a model: the public face of the package."""

import importlib.util
import json
import sys
from pathlib import Path

from src.config.loader import config_from_dict
from src.errors import UserError
from src.families.registry import SCHEMAS, config_of, family_of
from src.host.device import device_memory, release_isa, select_device


def load_model(path, ema=True):
    """Read a checkpoint; return its configuration and its network with the weights loaded.

    Args:
        path: the file.
        ema: of a training run's checkpoint, which holds both, take the moving average of the weights, else the
            weights themselves. A finished model has only the average.
    """
    from src.weights.checkpoint import load_checkpoint, load_into

    checkpoint = load_checkpoint(path)
    config = config_of(checkpoint)
    model = family_of(config).model()
    load_into(model, checkpoint.model_arrays(ema), path)
    return config, model


def load(path, device=None, graph=True, ema=True, tile_options=None, dedicated=False, runtime=None):
    """Return the configuration and the upscaler of one model; arguments as of :func:`load_upscaler`."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"no model at {path}: name a .ckpt from train.py or convert.py, or an export of export.py")
    if is_export(path):
        return _load_export(path, device, tile_options, runtime)
    if path.suffix != ".ckpt":
        raise UserError(
            f"{path} is neither a .ckpt nor a .mindir or .onnx file; PyTorch checkpoints are read by convert.py"
        )
    device = select_device(device, graph)
    config, model = load_model(path, ema)
    family = family_of(config)
    networks = _dedicated(family, model) if dedicated and graph and device == "CPU" else family.model_networks(model)
    tiling = family.tiling(tile_options, getattr(networks, "products", False), device_memory(), alone=True)
    return config, family.upscaler(networks, tiling)


def load_upscaler(path, device=None, graph=True, ema=True, tile_options=None, dedicated=False, runtime=None):
    """Return an upscaler from a checkpoint (``.ckpt``) or an exported model (``.mindir``, ``.onnx``, or its folder).

    Args:
        path: the file; a list of several makes a cascade of them (``src.inference.cascade.Cascade``).
        device: "Ascend", "GPU", "CPU", or None for the first that works.
        graph: graph mode, else PyNative mode.
        ema: see :func:`load_model`.
        tile_options: ``src.inference.tile_size.TileOptions``; None for the defaults.
        dedicated: this process runs nothing but this upscaler. On the CPU a checkpoint's networks then run as products
            (:mod:`src.layers.products`) with all that the processor has, which would make any convolution in this
            process a hundred times slower, and their graphs come from the user's cache (:mod:`src.host.compile_cache`).
        runtime: what runs an exported model, see ``src.export.artefact.Artefact``.

    Returns:
        ``src.inference.upscaler.Upscaler``.

    Raises:
        UserError: the file is missing, damaged or of another kind, or the device is not there.
    """
    paths = list(path) if isinstance(path, (list, tuple)) else [path]
    if len(paths) == 1:
        return load(paths[0], device, graph, ema, tile_options, dedicated, runtime)[1]
    from src.inference.cascade import Cascade

    # not dedicated: models that run as products and others cannot share a process
    return Cascade(
        [
            load(each, device, graph, ema, tile_options, runtime=runtime if is_export(each) else None)[1]
            for each in paths
        ]
    )


def _load_export(path, device, tile_options, runtime):
    """Return the configuration that an exported model carries, and its upscaler."""
    from src.export.artefact import ADVICE, Artefact
    from src.export.load import upscaler_of

    memory = None
    if runtime in (None, "mindspore") and _is_mindir(path) and _installed("mindspore"):
        device, runtime = select_device(device), "mindspore"
        memory = device_memory()
    artefact = Artefact(path, runtime, None if runtime == "mindspore" else device)
    about = artefact.description
    config = config_from_dict(about["config"], SCHEMAS, f"the configuration of {path}", stored=True)
    family = family_of(config)
    wanted = json.loads(json.dumps(family.description()))
    if not family.one_pass:
        wanted["cut"] = "sampler" if artefact.cut == "sampler" else "step"
    for name, value in wanted.items():
        if about.setdefault(name, value) != value and name not in ("config", "reach", "cost"):  # some older ones lack
            raise UserError(f"{artefact.path} contradicts its configuration in its field {name}: {ADVICE}")
    return config, upscaler_of(artefact, tile_options, memory)


def _is_mindir(path):
    return path.suffix == ".mindir" or (path.is_dir() and any(path.glob("*.mindir.json")))


def _installed(package):
    return package in sys.modules or importlib.util.find_spec(package) is not None


def is_export(path):
    """Return whether a path names an exported model, not a checkpoint."""
    path = Path(path)
    return path.suffix in (".mindir", ".onnx") or (path.is_dir() and path.suffix != ".ckpt")


def _dedicated(family, model):
    """Return the networks for a process that runs nothing else on the CPU, compiled."""
    from src.host.compile_cache import compile_graphs
    from src.weights.checkpoint import config_json

    networks = family.product_networks(model)
    if networks:
        release_isa()
    else:
        networks = family.model_networks(model)
    compile_graphs(networks.cells(), config_json(family.config))
    return networks
