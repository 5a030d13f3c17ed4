"""From the public PyTorch SRDiff's checkpoints (arXiv 2104.14951; LeiaLi/SRDiff) to our names and settings."""

import logging
import re

from ...errors import UserError
from ...weights.conversion import Conversion, count, multipliers, renamed, size
from ...weights.schedule_tables import TABLES, schedule_settings
from ...weights.state_dict import find_state_dict, fold_weight_norm
from ..rrdb import convert as rrdb

RULES = (  # our names → theirs
    *rrdb.RULES,
    (r"^unet\.", "denoise_fn."),
    (r"\.condition_conv\.", ".cond_proj."),
    (r"\.lr_up_conv\.conv\.", ".up_proj.1."),
    (r"\.time_mlp\.", ".mlp."),
    (r"\.halvings\.(\d+)\.conv\.", r".downs.\1.2.conv.1."),
    (r"\.ups\.(\d+)\.up\.", r".ups.\1.2.conv.0."),
    (r"\.(downs|ups)\.(\d+)\.block1\.", r".\1.\2.0."),
    (r"\.(downs|ups)\.(\d+)\.block2\.", r".\1.\2.1."),
    (r"\.mid_attention\.gate$", ".mid_attn.fn.g"),
    (r"\.mid_attention\.", ".mid_attn.fn.fn."),
    (r"\.last_block\.", ".final_conv.0."),
    (r"^denoise_fn\.last_conv\.", "denoise_fn.final_conv.1."),
    (r"\.time_dense\.", ".mlp.1."),
    (r"\.skip\.", ".res_conv."),
    (r"\.conv\.conv\.", ".block.1."),
    (r"\.norm\.gamma$", ".block.2.weight"),
    (r"\.norm\.beta$", ".block.2.bias"),
)


def convert(obj, given):
    """Convert a whole SRDiff, see ``src.families.family.Family.convert``; of ``given``, ``unet.groups`` matters."""
    tensors, unused = find_state_dict(obj)
    if not any(re.match(r"denoise_fn\.(mlp|cond_proj)\.", name) for name in tensors):
        return None
    tensors = fold_weight_norm(tensors)
    found = rrdb.encoder_settings(tensors)
    scale = found["data"]["scale"]
    found |= {"system": "srdiff", "unet": _unet_settings(tensors, scale, given.get("unet", {}).get("groups", 0))}
    found["diffusion"] = {"lr_divisor": 256, "prediction": "noise", **schedule_settings(tensors)}
    assumed = {
        "name": f"srdiff_x{scale}_converted",
        "diffusion": {"residual_scale": 2.0, "clip": True, "loss": "l1"},
        "eval": {"steps": min(100, found["diffusion"]["steps"])},
    }
    others = [name for name in tensors if name in TABLES or re.match(rrdb.UNUSED, name)]
    weights = {name: value for name, value in tensors.items() if name not in others}
    form = "SRDiff (denoise_fn, and its encoder in rrdb)"
    return Conversion(found, assumed, weights, their_name, unused + others, form, rrdb.step_of(obj))


def their_name(ours):
    return renamed(ours, RULES)


def _unet_settings(tensors, scale, groups):
    """The settings that the U-Net's shapes tell; no shape tells GroupNorm's ``groups``, of which 0 takes 8."""
    own_scale = size(tensors, "denoise_fn.cond_proj.weight", 2, 4) // 2
    if own_scale != scale:
        raise UserError(f"the encoder is for x{scale}, the U-Net's cond_proj for x{own_scale}: not one model")
    normalised = "denoise_fn.final_conv.0.block.2.weight" in tensors
    if normalised and not groups:
        groups = 8
        logging.info("GroupNorm in the U-Net: taking 8 groups, which no shape tells; --config can name another number")
    width, levels = size(tensors, "denoise_fn.mlp.2.weight", 0, 2), count(tensors, r"denoise_fn\.downs\.(\d+)\.")
    channels = [size(tensors, f"denoise_fn.downs.{i}.0.block1.block.1.weight", 0, 4) for i in range(levels)]
    return {
        "width": width,
        "multipliers": multipliers(channels, width, "an SRDiff U-Net"),
        "attention": any(name.startswith("denoise_fn.mid_attn.") for name in tensors),
        "add_lr_up": any(name.startswith("denoise_fn.up_proj.") for name in tensors),
        "groups": groups if normalised else 0,
        "space_to_depth": 1,
    }
