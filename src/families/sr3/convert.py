"""From the PyTorch SR3's and DDPM's checkpoints (arXiv 2104.07636; Janspiry's port) to our names and settings."""

import logging

import numpy as np

from src.errors import UserError
from src.weights.conversion import Conversion, check_shapes, conv, dense, finite_float32, indices, listed, size
from src.weights.schedule_tables import SR3, TABLES, schedule_settings
from src.weights.state_dict import find_state_dict

PREFIX = "denoise_fn."
FREQUENCIES = f"{PREFIX}time_mlp.0.inv_freq"  # a table of the DDPM network, no weight
_MLP = {"continuous": "noise_level_mlp", "discrete": "time_mlp"}


def noise_level_of(tensors):
    """Return the kind of noise level that the network is told, or None where it is no SR3 or DDPM."""
    kinds = [kind for kind, mlp in _MLP.items() if any(name.startswith(f"{PREFIX}{mlp}.") for name in tensors)]
    return kinds[0] if kinds else None


def sizes(tensors):
    """Infer the network's sizes.

    Args:
        tensors: {name: array}, names starting with ``denoise_fn.``.

    Returns:
        dict(width, multipliers, blocks, attends, noise_level, affine, conditional); ``attends`` tells for each level
        whether it has self-attention.

    Raises:
        UserError: a tensor that tells a size is missing, or the levels are unlike each other.
    """
    kind = noise_level_of(tensors)
    width = size(tensors, f"{PREFIX}{_MLP[kind]}.3.weight", 0, 2)
    inputs = size(tensors, f"{PREFIX}downs.0.weight", 1, 4)
    if inputs not in (3, 6):
        raise UserError(f"the first convolution takes {inputs} channels: expected 3 (x_t) or 6 (LR↑ and x_t)")
    levels = _levels(tensors)
    blocks = len(levels[0])
    if not blocks or any(len(level) != blocks for level in levels):
        counts = [len(level) for level in levels]
        raise UserError(f"expected as many blocks in every level, got {counts}: not supported")
    channels = [size(tensors, f"{level[0]}.res_block.block2.block.3.weight", 0, 4) for level in levels]
    if any(c % width for c in channels):
        raise UserError(f"the levels' channels {channels} are no multiples of the width {width}: not an SR3 U-Net")
    affine = False
    if kind == "continuous":
        affine = size(tensors, f"{levels[0][0]}.res_block.noise_func.noise_func.0.weight", 0, 2) == 2 * channels[0]
    return {
        "width": width,
        "multipliers": [c // width for c in channels],
        "blocks": blocks,
        "attends": [f"{level[0]}.attn.qkv.weight" in tensors for level in levels],
        "noise_level": kind,
        "affine": affine,
        "conditional": inputs == 6,
    }


def layout(width, multipliers, blocks, attends, noise_level, affine, conditional):
    """Return {their name: (our name, shape)} of a network of these sizes, from :func:`sizes`."""
    channels, mlp = [width * m for m in multipliers], _MLP[noise_level]
    last = len(channels) - 1

    def block(theirs, ours, inputs, level, attention=None):
        attention = attends[level] if attention is None else attention
        return _block(theirs, ours, inputs, channels[level], width, noise_level, affine, attention)

    table = _both(dense, f"{mlp}.1", "time_mlp.0", width, 4 * width)
    table |= _both(dense, f"{mlp}.3", "time_mlp.2", 4 * width, width)
    table |= _both(conv, "downs.0", "first_conv", 6 if conditional else 3, width, 3)
    skips, inputs = [width], width
    for level in range(last + 1):
        start = 1 + level * (blocks + 1)
        for number in range(blocks):
            table |= block(f"downs.{start + number}", f"down_blocks.{level * blocks + number}", inputs, level)
            inputs = channels[level]
            skips.append(inputs)
        if level < last:
            table |= _both(conv, f"downs.{start + blocks}.conv", f"halvings.{level}", inputs, inputs, 3)
            skips.append(inputs)
    table |= block("mid.0", "mid_block1", inputs, last, attention=True)
    table |= block("mid.1", "mid_block2", inputs, last, attention=False)
    for place, level in enumerate(range(last, -1, -1)):
        start, ours = place * (blocks + 2), place * (blocks + 1)
        for number in range(blocks + 1):
            table |= block(f"ups.{start + number}", f"up_blocks.{ours + number}", inputs + skips.pop(), level)
            inputs = channels[level]
        if level:
            table |= _both(conv, f"ups.{start + blocks + 1}.conv", f"doublings.{place}", inputs, inputs, 3)
    table |= _norm("final_conv.block.0", "last_block.norm", width)
    table |= _both(conv, "final_conv.block.3", "last_block.conv", width, 3, 3)
    return {PREFIX + theirs: (f"unet.{ours}", shape) for theirs, (ours, shape) in table.items()}


def _levels(tensors):
    """The beginnings of the names of the blocks on the way down, a list for each level."""
    count = len(indices(tensors, r"denoise_fn\.downs\.(\d+)\."))
    levels = [[]]
    for number in range(1, count):
        name = f"{PREFIX}downs.{number}"
        if f"{name}.conv.weight" in tensors:
            levels.append([])
        else:
            levels[-1].append(name)
    return levels


def _block(theirs, ours, inputs, outputs, embedding, noise_level, affine, attention):
    told = "noise_func.noise_func.0" if noise_level == "continuous" else "mlp.1"
    inner = f"{theirs}.res_block"
    table = _both(dense, f"{inner}.{told}", f"{ours}.modulation.dense", embedding, outputs * (2 if affine else 1))
    for number, channels in ((1, inputs), (2, outputs)):
        table |= _norm(f"{inner}.block{number}.block.0", f"{ours}.block{number}.norm", channels)
        table |= _both(conv, f"{inner}.block{number}.block.3", f"{ours}.block{number}.conv", channels, outputs, 3)
    if inputs != outputs:
        table |= _both(conv, f"{inner}.res_conv", f"{ours}.skip", inputs, outputs, 1)
    if attention:
        qkv = f"{ours}.attention.to_qkv.weight", (3 * outputs, outputs, 1, 1)
        table |= _norm(f"{theirs}.attn.norm", f"{ours}.attention.norm", outputs) | {f"{theirs}.attn.qkv.weight": qkv}
        table |= _both(conv, f"{theirs}.attn.out", f"{ours}.attention.to_out", outputs, outputs, 1)
    return table


def _both(kind, theirs, ours, *numbers):
    """{their name: (our name, shape)} of a layer that is called alike but for its beginning."""
    return {theirs + name: (ours + name, shape) for name, shape in kind("", *numbers).items()}


def _norm(theirs, ours, channels):
    return {f"{theirs}.weight": (f"{ours}.gamma", (channels,)), f"{theirs}.bias": (f"{ours}.beta", (channels,))}


_LOG = logging.getLogger(__name__)

IMAGE_SIZE = 128  # of that program's models for 16→128
SCALE = 8  # of its published models, 16→128 and 64→512
_GROUPS = 32  # its default


def is_sr3(obj):
    """Tell from the names whether a file holds an SR3 or DDPM network; ``obj`` as for :func:`from_sr3`."""
    return noise_level_of(find_state_dict(obj)[0]) is not None


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
    if noise_level_of(tensors) is None:
        raise UserError(f"expected an SR3 or DDPM network, got a file with {listed(tensors)}: name another")
    found_sizes = sizes(tensors)
    names = layout(**found_sizes)
    tables = [name for name in tensors if name in TABLES or name == FREQUENCIES]
    weights = {name: value for name, value in tensors.items() if name not in tables}
    _check_frequencies(tensors.get(FREQUENCIES), found_sizes["width"])
    check_shapes(weights, {name: shape for name, (_, shape) in names.items()})
    found, assumed = _settings(found_sizes, schedule_settings(tensors, SR3, last_beta=None), given or {})
    arrays = {ours: finite_float32(name, tensors[name]) for name, (ours, _) in names.items()}
    return Conversion(found, assumed, arrays, unused + tables, step=0)


def _check_frequencies(table, width):
    """Refuse an embedding of the step with other frequencies than 10000^(−2i / width)."""
    expected = 10000.0 ** (-np.arange(0, width, 2) / width)
    if table is not None and not (table.shape == expected.shape and np.allclose(table, expected, rtol=1e-4)):
        raise UserError(f"the table '{FREQUENCIES}' is not that of DDPM's embedding: not supported")


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
