"""From an exported model to an upscaler."""

import importlib.util
import json
import sys
from pathlib import Path

from src.config.loader import config_from_dict
from src.errors import UserError
from src.export.model import describe
from src.export.offline import ADVICE, Artefact, ArtefactError
from src.families.registry import SCHEMAS, family_of
from src.host.device import device_memory, select_device
from src.inference.networks import as_numpy
from src.inference.sampler_upscaler import SamplerUpscaler
from src.inference.tile_size import FixedTiling


def load_export(path, device=None, tile_options=None, runtime=None):
    """Return an exported model's configuration and upscaler; arguments as for :func:`src.build.load_upscaler`."""
    if runtime in (None, "mindspore") and _is_mindir(path) and _installed("mindspore"):
        device, runtime = select_device(device), "mindspore"
    try:
        artefact = Artefact(path, runtime, None if runtime == "mindspore" else device)
        config = config_from_dict(artefact.config, SCHEMAS, f"the configuration of {path}", stored=True)
        family = family_of(config)
        _check_agreement(artefact, family)
        if artefact.cut == "sampler":
            return config, _sampler_upscaler(artefact, family, tile_options)
    except ArtefactError as error:
        raise UserError(str(error)) from error
    if artefact.fixed_size:
        tiling = _fixed_tiling(artefact, family, tile_options)
    else:
        memory = device_memory() if runtime == "mindspore" else None
        tiling = family.tiling(tile_options, device_memory=memory, alone=True)
    return config, family.upscaler(family.networks({role: _graph(artefact, role) for role in artefact.roles}), tiling)


def _fixed_tiling(artefact, family, options):
    batch, *size = artefact.fixed_size
    return FixedTiling(artefact.scale, family.size_multiple, size, batch, options)


def _check_agreement(artefact, family):
    """The description repeats for offline.py what the configuration in it says."""
    for name, value in describe(family).items():
        wanted = artefact.description.get(name) if name != "config" else value
        if name != "cut" and wanted != json.loads(json.dumps(value)):
            raise ArtefactError(f"{artefact.path} contradicts its configuration in its field {name}: {ADVICE}")
    if (artefact.cut == "whole") != family.one_pass:
        raise ArtefactError(f"{artefact.path} contradicts its configuration in its field cut: {ADVICE}")


def _is_mindir(path):
    return Path(path).suffix == ".mindir" or (Path(path).is_dir() and any(Path(path).glob("*.mindir.json")))


def _installed(package):
    return package in sys.modules or importlib.util.find_spec(package) is not None


def _graph(artefact, role):
    """A graph whose refusals are a user's errors."""

    def graph(*arrays):
        try:
            return artefact.graph(role)(*arrays)
        except ArtefactError as error:
            raise UserError(str(error)) from error

    return graph


def _sampler_upscaler(artefact, family, tile_options):
    graph, config = _graph(artefact, "sampler"), family.config
    return SamplerUpscaler(
        lambda *inputs: as_numpy(graph(*inputs)[0]), _fixed_tiling(artefact, family, tile_options), name=config.name,
        system=config.system, sampling=family.sampling(), batch=artefact.fixed_size[0],
        draws=artefact.description["noise_draws"], conditional=artefact.conditional,
    )  # fmt: skip
