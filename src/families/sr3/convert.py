"""From the PyTorch SR3's and DDPM's checkpoints (arXiv 2104.07636; Janspiry's port) to our names and settings."""

import logging

import numpy as np

from ...errors import UserError
from ...weights.conversion import Conversion, count, multipliers, renamed, size
from ...weights.schedule_tables import SR3, TABLES, schedule_settings
from ...weights.state_dict import find_state_dict

_MLP = {"continuous": "noise_level_mlp", "discrete": "time_mlp"}
FREQUENCIES = "denoise_fn.time_mlp.0.inv_freq"  # a table of the DDPM network, no weight

IMAGE_SIZE = 128  # of that program's models for 16→128
SCALE = 8  # of its published models, 16→128 and 64→512
_GROUPS = 32  # its default


def convert(obj, given):
    """Convert a ``*_gen.pth`` of SR3's PyTorch port; of ``given`` ``sr3.image_size`` matters, for attention."""
    tensors, unused = find_state_dict(obj)
    kinds = [kind for kind, mlp in _MLP.items() if any(name.startswith(f"denoise_fn.{mlp}.") for name in tensors)]
    if not kinds:
        return None
    sizes = _sizes(tensors, kinds[0])
    frequencies = 10000.0 ** (-np.arange(0, sizes["width"], 2) / sizes["width"])  # of the embedding of the step
    table = tensors.get(FREQUENCIES, frequencies)
    if table.shape != frequencies.shape or not np.allclose(table, frequencies, rtol=1e-4):
        raise UserError(f"the table '{FREQUENCIES}' is not that of DDPM's embedding: not supported")
    rules = _rules(sizes["blocks"], kinds[0])
    found, assumed = _settings(sizes, schedule_settings(tensors, SR3, last_beta=None), given)
    tables = [name for name in tensors if name in TABLES or name == FREQUENCIES]
    weights = {name: value for name, value in tensors.items() if name not in tables}
    form = "SR3 or DDPM of its PyTorch port (denoise_fn.downs.N)"
    return Conversion(found, assumed, weights, lambda ours: renamed(ours, rules), unused + tables, form)


def _rules(blocks, kind):
    """Our names → theirs, which count what halves or doubles a level along with the blocks before it."""
    told = "noise_func.noise_func.0" if kind == "continuous" else "mlp.1"
    return (
        (r"^unet\.", "denoise_fn."),
        (r"\.time_mlp\.(\d)\.", lambda match: f".{_MLP[kind]}.{int(match[1]) + 1}."),
        (r"\.first_conv\.", ".downs.0."),
        (r"\.down_blocks\.(\d+)\.", lambda match: f".downs.{1 + int(match[1]) + int(match[1]) // blocks}."),
        (r"\.halvings\.(\d+)\.", lambda match: f".downs.{(int(match[1]) + 1) * (blocks + 1)}.conv."),
        (r"\.mid_block1\.", ".mid.0."),
        (r"\.mid_block2\.", ".mid.1."),
        (r"\.up_blocks\.(\d+)\.", lambda match: f".ups.{int(match[1]) + int(match[1]) // (blocks + 1)}."),
        (r"\.doublings\.(\d+)\.", lambda match: f".ups.{(int(match[1]) + 1) * (blocks + 2) - 1}.conv."),
        (r"\.last_block\.norm\.", ".final_conv.block.0."),
        (r"\.last_block\.conv\.", ".final_conv.block.3."),
        (r"\.block(\d)\.norm\.", r".res_block.block\1.block.0."),
        (r"\.block(\d)\.conv\.", r".res_block.block\1.block.3."),
        (r"\.modulation\.dense\.", f".res_block.{told}."),
        (r"\.skip\.", ".res_block.res_conv."),
        (r"\.attention\.norm\.", ".attn.norm."),
        (r"\.attention\.to_(qkv|out)\.", r".attn.\1."),
        (r"\.gamma$", ".weight"),
        (r"\.beta$", ".bias"),
    )


def _sizes(tensors, kind):
    """Infer the settings of ``sr3``, and in ``attends`` for each level whether it has self-attention."""
    width = size(tensors, f"denoise_fn.{_MLP[kind]}.3.weight", 0, 2)
    inputs = size(tensors, "denoise_fn.downs.0.weight", 1, 4)
    if inputs not in (3, 6):
        raise UserError(f"the first convolution takes {inputs} channels: expected 3 (x_t) or 6 (LR↑ and x_t)")
    levels = [[]]  # the beginnings of the names of the blocks on the way down
    for number in range(1, count(tensors, r"denoise_fn\.downs\.(\d+)\.")):
        name = f"denoise_fn.downs.{number}"
        if f"{name}.conv.weight" in tensors:
            levels.append([])
        else:
            levels[-1].append(name)
    counts = [len(level) for level in levels]
    if not counts[0] or len(set(counts)) > 1:
        raise UserError(f"expected as many blocks in every level, got {counts}: not supported")
    channels = [size(tensors, f"{level[0]}.res_block.block2.block.3.weight", 0, 4) for level in levels]
    told = f"{levels[0][0]}.res_block.noise_func.noise_func.0.weight"
    return {
        "width": width,
        "multipliers": multipliers(channels, width, "an SR3 U-Net"),
        "blocks": counts[0],
        "attends": [f"{level[0]}.attn.qkv.weight" in tensors for level in levels],
        "noise_level": kind,
        "affine": kind == "continuous" and size(tensors, told, 0, 2) == 2 * channels[0],
        "conditional": inputs == 6,
    }


def _settings(sizes, schedule, given):
    """What the tensors fix and what they do not tell; log each guess that is not ``given``."""
    attends, named = sizes.pop("attends"), given.get("sr3", {})
    levels, conditional = len(attends), sizes["conditional"]
    image_size = named.get("image_size") or max(IMAGE_SIZE, 2 ** (levels - 1))
    divided = all(sizes["width"] * multiplier % _GROUPS == 0 for multiplier in sizes["multipliers"])
    groups = named.get("groups") or (_GROUPS if divided else sizes["width"] // 2)
    attention = [image_size >> level for level in range(levels) if attends[level]]
    found = {"system": "sr3", "sr3": sizes | {"attention": attention}, "diffusion": {"prediction": "noise", **schedule}}
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


def _log_guesses(guesses, given):
    split = [(*name.split("."), value) for name, value in guesses.items()]
    words = [f"{part}.{leaf}={value}" for part, leaf, value in split if leaf not in given.get(part, {})]
    if words:
        logging.warning("taking %s, which no tensor tells: name others as key=value or with --config", ", ".join(words))
