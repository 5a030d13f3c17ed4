"""From the PyTorch SR3's and DDPM's checkpoints (arXiv 2104.07636; Janspiry's port) to our names and settings."""

import logging

import numpy as np

from src.errors import UserError
from src.weights import sr3_layout
from src.weights.conversion import Conversion, check_shapes, finite_float32, listed
from src.weights.schedule_tables import SR3, TABLES, schedule_settings
from src.weights.state_dict import find_state_dict

_LOG = logging.getLogger(__name__)

IMAGE_SIZE = 128  # of that program's models for 16→128
SCALE = 8  # of its published models, 16→128 and 64→512
_GROUPS = 32  # its default


def is_sr3(obj):
    """Tell from the names whether a file holds an SR3 or DDPM network; ``obj`` as for :func:`from_sr3`."""
    return sr3_layout.noise_level_of(find_state_dict(obj)[0]) is not None


def from_sr3(obj, given=None):
    """Convert a generator (``*_gen.pth``) of the PyTorch port of SR3, of its SR3 or of its DDPM network.

    Args:
        obj: from :func:`~src.weights.torch_file.read_torch`.
        given: nested dict of settings that somebody names, in which ``sr3.image_size`` matters here: attention is
            told by resolutions counted from it.

    Returns:
        :class:`~src.weights.conversion.Conversion`. Every tensor of the file is either in ``arrays``, under its new
        name, or in ``unused``.

    Raises:
        UserError: it is another network, or a tensor is missing, unknown, of another shape or not finite.
    """
    tensors, unused = find_state_dict(obj)
    if sr3_layout.noise_level_of(tensors) is None:
        raise UserError(f"expected an SR3 or DDPM network, got a file with {listed(tensors)}: name another")
    sizes = sr3_layout.sizes(tensors)
    layout = sr3_layout.layout(**sizes)
    tables = [name for name in tensors if name in TABLES or name == sr3_layout.FREQUENCIES]
    weights = {name: value for name, value in tensors.items() if name not in tables}
    _check_frequencies(tensors.get(sr3_layout.FREQUENCIES), sizes["width"])
    check_shapes(weights, {name: shape for name, (_, shape) in layout.items()})
    found, assumed = _settings(sizes, schedule_settings(tensors, SR3, last_beta=None), given or {})
    arrays = {ours: finite_float32(name, tensors[name]) for name, (ours, _) in layout.items()}
    return Conversion(found, assumed, arrays, unused + tables, step=0)


def _check_frequencies(table, width):
    """Refuse an embedding of the step with other frequencies than 10000^(−2i / width)."""
    expected = 10000.0 ** (-np.arange(0, width, 2) / width)
    if table is not None and not (table.shape == expected.shape and np.allclose(table, expected, rtol=1e-4)):
        raise UserError(f"the table '{sr3_layout.FREQUENCIES}' is not that of DDPM's embedding: not supported")


def _settings(sizes, schedule, given):
    """Return what the tensors fix and what they do not tell; log each guess that is not ``given``."""
    attends, told = sizes.pop("attends"), given.get("sr3", {})
    levels, conditional = len(attends), sizes["conditional"]
    image_size = told.get("image_size") or max(IMAGE_SIZE, 2 ** (levels - 1))
    groups = told.get("groups") or _likely_groups(sizes["width"], sizes["multipliers"])
    attention = [image_size >> level for level in range(levels) if attends[level]]
    found = {
        "system": "sr3",
        "sr3": sizes | {"attention": attention},
        "diffusion": {"prediction": "noise", **schedule},
    }
    name = "sr3" if sizes["noise_level"] == "continuous" else "ddpm"
    assumed = {
        "name": f"{name}_converted" if conditional else f"{name}_uncond_converted",
        "sr3": {"image_size": image_size, "groups": groups},
        "diffusion": {"clip": True, "loss": "l1"},
        "data": {"patch_size": image_size},
        "eval": {"protocol": "sr3", "sampler": "ddpm", "steps": schedule["steps"]},
    }
    guesses = {"sr3.groups": groups, "sr3.image_size": image_size}
    if conditional:
        assumed["data"]["scale"] = guesses["data.scale"] = SCALE
    else:
        found["data"] = {"scale": 1}
    _log_guesses(guesses, given)
    return found, assumed


def _likely_groups(width, multipliers):
    """That program's default number of GroupNorm groups, or half the width where that does not divide the channels."""
    return width // 2 if any(width * m % _GROUPS for m in multipliers) else _GROUPS


def _log_guesses(guesses, given):
    guesses = {name: value for name, value in guesses.items() if name.split(".")[1] not in _section(given, name)}
    if guesses:
        words = ", ".join(f"{name}={value}" for name, value in guesses.items())
        _LOG.warning("taking %s, which no tensor tells: name others as key=value or with --config", words)


def _section(given, name):
    return given.get(name.split(".")[0], {})
