"""From the PyTorch RRDBNet's checkpoints (ESRGAN's of 2019, SRDiff's pre-training) to our names and settings."""

import re

from ...errors import UserError
from ...weights.conversion import Conversion, count, renamed, size
from ...weights.state_dict import find_state_dict, fold_weight_norm

# Our names → theirs, which begin with "rrdb." inside an SRDiff.
RULES = (
    (r"^encoder\.", "rrdb."),
    (r"\.first_conv\.", ".conv_first."),
    (r"\.trunk\.(\d+)\.dense(\d)\.", r".RRDB_trunk.\1.RDB\2."),
    (r"\.upsampler\.up_convs\.(\d)\.", lambda match: f".upconv{int(match[1]) + 1}."),
    (r"\.upsampler\.hr_conv\.", ".HRconv."),
    (r"\.upsampler\.last_conv\.", ".conv_last."),
)
UNUSED = r"ssim_loss\."  # the window of a training loss


def convert(obj, given):
    """Convert an RRDB alone, see ``src.families.family.Family.convert``; the file tells all that ``given`` could."""
    tensors, unused = find_state_dict(obj)
    names = [name.removeprefix("rrdb.") for name in tensors if not name.startswith("denoise_fn.")]
    if len(names) < len(tensors) or not any(name.startswith("RRDB_trunk.") for name in names):
        return None
    tensors = fold_weight_norm(tensors)
    prefix = "rrdb." if any(name.startswith("rrdb.") for name in tensors) else ""
    found = encoder_settings(tensors, prefix)
    windows = [name for name in tensors if re.match(UNUSED, name)]
    return Conversion(
        {"system": "rrdb", **found},
        {"name": f"rrdb_x{found['data']['scale']}_converted"},
        {name: value for name, value in tensors.items() if name not in windows},
        lambda ours: prefix + renamed(ours, RULES).removeprefix("rrdb."),
        unused + windows,
        "ESRGAN's RRDBNet of 2019 (RRDB_trunk.N.RDB1)",
        step_of(obj),
    )


def encoder_settings(tensors, prefix="rrdb."):
    """The settings that an encoder's shapes tell, as a nested dict."""
    features = size(tensors, f"{prefix}conv_first.weight", 0, 4)
    octaves = count(tensors, rf"{re.escape(prefix)}upconv(\d+)\.weight")
    if octaves not in (1, 2, 3):
        raise UserError(f"expected 1, 2 or 3 upconv tensors (2, 4 or 8 times the size), got {octaves}: not supported")
    encoder = {
        "features": features,
        "growth": size(tensors, f"{prefix}RRDB_trunk.0.RDB1.conv1.weight", 0, 4),
        "blocks": count(tensors, rf"{re.escape(prefix)}RRDB_trunk\.(\d+)\."),
        "upsampler": "nearest",
    }
    return {"data": {"scale": 2**octaves}, "encoder": encoder}


def step_of(obj):
    step = obj.get("global_step")
    return step if isinstance(step, int) and 0 <= step < 2**63 else 0
