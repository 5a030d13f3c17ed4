"""From the public PyTorch SRDiff's checkpoints (arXiv 2104.14951; LeiaLi/SRDiff) to our names and settings."""

import logging
import re

from src.errors import UserError
from src.weights import srdiff_layout as layout
from src.weights.conversion import Conversion, check_shapes, finite_float32, listed
from src.weights.schedule_tables import TABLES, schedule_settings
from src.weights.state_dict import find_state_dict, fold_weight_norm

_LOG = logging.getLogger(__name__)

# Their names → ours: each rule that matches is applied, from the first to the last.
RULES = (
    # the RRDB encoder
    (r"^rrdb\.", "encoder."),
    (r"\.conv_first\.", ".first_conv."),
    (r"\.RRDB_trunk\.(\d+)\.RDB(\d)\.", r".trunk.\1.dense\2."),
    (r"\.upconv1\.", ".upsampler.up_convs.0."),
    (r"\.upconv2\.", ".upsampler.up_convs.1."),
    (r"\.upconv3\.", ".upsampler.up_convs.2."),
    (r"\.HRconv\.", ".upsampler.hr_conv."),
    (r"\.conv_last\.", ".upsampler.last_conv."),
    # the conditional U-Net, from the outside in
    (r"^denoise_fn\.", "unet."),
    (r"\.cond_proj\.", ".condition_conv."),
    (r"\.up_proj\.1\.", ".lr_up_conv.conv."),
    (r"^unet\.mlp\.", "unet.time_mlp."),
    (r"\.downs\.(\d+)\.2\.conv\.1\.", r".halvings.\1.conv."),
    (r"\.ups\.(\d+)\.2\.conv\.0\.", r".ups.\1.up."),
    (r"\.(downs|ups)\.(\d+)\.0\.", r".\1.\2.block1."),
    (r"\.(downs|ups)\.(\d+)\.1\.", r".\1.\2.block2."),
    (r"\.mid_attn\.fn\.g$", ".mid_attention.gate"),
    (r"\.mid_attn\.fn\.fn\.", ".mid_attention."),
    (r"\.final_conv\.0\.", ".last_block."),
    (r"\.final_conv\.1\.", ".last_conv."),
    (r"\.mlp\.1\.", ".time_dense."),
    (r"\.res_conv\.", ".skip."),
    (r"\.block\.1\.", ".conv.conv."),
    (r"\.block\.2\.weight$", ".norm.gamma"),
    (r"\.block\.2\.bias$", ".norm.beta"),
)

_OTHER_NETWORKS = (
    (r"(model\.)?1\.sub\.\d+\.", "an ESRGAN generator with the names of 2018: rename its tensors first"),
    (r"body\.\d+\.rdb1\.", "a BasicSR or Real-ESRGAN generator"),
    (r"lin\d\.model\.", "LPIPS layers"),
    (r"(features\.)?0\.weight$", "a classification network"),
)

_KNOWN = "an SRDiff, an RRDB pre-training, an SR3 or a DDPM network"

_UNUSED = re.compile(r"ssim_loss\.")  # the window of a training loss


def from_srdiff(obj, groups=0):
    """Convert a whole SRDiff, or an RRDB pre-training, of the public PyTorch program.

    Args:
        obj: from :func:`~src.weights.torch_file.read_torch`; the state dict may be nested.
        groups: GroupNorm groups, where the U-Net has that norm; no shape tells them, 0 takes 8.

    Returns:
        :class:`Conversion`. Every tensor of the file is either in ``arrays``, under its new name, or in ``unused``.

    Raises:
        UserError: it is another network, or a tensor is missing, unknown, of another shape or not finite.
    """
    tensors, unused = find_state_dict(obj)
    tensors = fold_weight_norm(tensors)
    system = _system(tensors)
    if system == "rrdb" and not any(name.startswith("rrdb.") for name in tensors):
        tensors = {name if _UNUSED.match(name) else f"rrdb.{name}": value for name, value in tensors.items()}
    found, shapes = _encoder(tensors)
    assumed = {"name": f"{system}_x{found['data']['scale']}_converted"}
    if system == "srdiff":
        unet_found, unet_shapes = _unet(tensors, found, groups)
        found |= unet_found
        shapes |= unet_shapes
        found["diffusion"] = {"lr_divisor": 256, "prediction": "noise", **schedule_settings(tensors)}
        assumed["diffusion"] = {"residual_scale": 2.0, "clip": True, "loss": "l1"}
        assumed["eval"] = {"steps": min(100, found["diffusion"]["steps"])}
    known_unused = [n for n in tensors if _UNUSED.match(n) or (system == "srdiff" and n in TABLES)]
    check_shapes({name: value for name, value in tensors.items() if name not in known_unused}, shapes)
    arrays = {rename(name): finite_float32(name, tensors[name]) for name in shapes}
    return Conversion({"system": system, **found}, assumed, arrays, unused + known_unused, _step(obj))


def rename(name):
    """Return our name of a tensor that the PyTorch SRDiff calls ``name``."""
    for pattern, replacement in RULES:
        name = re.sub(pattern, replacement, name)
    return name


def _step(obj):
    step = obj.get("global_step")
    return step if isinstance(step, int) and 0 <= step < 2**63 else 0


def _system(tensors):
    """Tell a whole SRDiff from an RRDB alone by names; refuse anything else, saying what it looks like."""
    for pattern, description in _OTHER_NETWORKS:
        if any(re.match(pattern, name) for name in tensors):
            raise UserError(f"the file looks like {description}: expected {_KNOWN}")
    if any(name.startswith("denoise_fn.") for name in tensors):
        return "srdiff"
    if any(name.removeprefix("rrdb.").startswith("conv_first.") for name in tensors):
        return "rrdb"
    raise UserError(f"expected {_KNOWN}, got a file with {listed(tensors)}: name another")


def _encoder(tensors):
    """Return the settings that the encoder's shapes tell, and {their name: shape} of all of its tensors."""
    sizes = layout.encoder_sizes(tensors)
    settings = {key: sizes[key] for key in ("features", "growth", "blocks")}
    found = {"data": {"scale": sizes["scale"]}, "encoder": settings | {"upsampler": "nearest"}}
    return found, layout.encoder_shapes(**sizes)


def _unet(tensors, encoder_found, groups):
    """The same for the U-Net, which must fit the encoder."""
    sizes = layout.unet_sizes(tensors)
    encoder, scale = encoder_found["encoder"], encoder_found["data"]["scale"]
    if sizes["scale"] != scale:
        raise UserError(f"the encoder is for x{scale}, the U-Net's cond_proj for x{sizes['scale']}: not one model")
    if sizes["normalised"] and not groups:
        groups = 8
        _LOG.info("GroupNorm in the U-Net: taking 8 groups, which no shape tells; --config can name another number")
    settings = {key: sizes[key] for key in ("width", "multipliers", "attention", "add_lr_up")}
    settings |= {"groups": groups if sizes["normalised"] else 0, "space_to_depth": 1}
    condition_channels = encoder["features"] * ((encoder["blocks"] + 1) // 3)
    return {"unet": settings}, layout.unet_shapes(**sizes, condition_channels=condition_channels)
