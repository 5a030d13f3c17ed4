"""From the public PyTorch SRDiff's checkpoints (arXiv 2104.14951; LeiaLi/SRDiff) to our names and settings."""

import logging
import re

from src.errors import UserError
from src.weights.conversion import Conversion, check_shapes, conv, dense, finite_float32, indices, listed, size
from src.weights.schedule_tables import TABLES, schedule_settings
from src.weights.state_dict import find_state_dict, fold_weight_norm

ATTENTION_CHANNELS = 4 * 32  # heads times channels of each, fixed in that program


def encoder_sizes(tensors):
    """Infer the RRDB encoder's sizes.

    Args:
        tensors: {name: array}, names starting with ``rrdb.``.

    Returns:
        dict(features, growth, blocks, scale).

    Raises:
        UserError: a tensor that tells a size is missing, or the scale is not 2, 4 or 8.
    """
    features = size(tensors, "rrdb.conv_first.weight", 0, 4)
    octaves = len(indices(tensors, r"rrdb\.upconv(\d+)\.weight"))
    if octaves not in (1, 2, 3):
        raise UserError(f"expected 1, 2 or 3 upconv tensors (2, 4 or 8 times the size), got {octaves}: not supported")
    return {
        "features": features,
        "growth": size(tensors, "rrdb.RRDB_trunk.0.RDB1.conv1.weight", 0, 4),
        "blocks": len(indices(tensors, r"rrdb\.RRDB_trunk\.(\d+)\.")),
        "scale": 2**octaves,
    }


def unet_sizes(tensors):
    """Infer the conditional U-Net's sizes and options.

    Args:
        tensors: {name: array}, names starting with ``denoise_fn.``.

    Returns:
        dict(width, multipliers, normalised, attention, add_lr_up, scale).

    Raises:
        UserError: a tensor that tells a size is missing, or a level's channels are no multiple of the width.
    """
    width = size(tensors, "denoise_fn.mlp.2.weight", 0, 2)
    levels = indices(tensors, r"denoise_fn\.downs\.(\d+)\.")
    channels = [size(tensors, f"denoise_fn.downs.{i}.0.block1.block.1.weight", 0, 4) for i in range(len(levels))]
    if any(c % width for c in channels):
        raise UserError(f"the levels' channels {channels} are no multiples of the width {width}: not an SRDiff U-Net")
    return {
        "width": width,
        "multipliers": [c // width for c in channels],
        "normalised": "denoise_fn.final_conv.0.block.2.weight" in tensors,
        "attention": any(name.startswith("denoise_fn.mid_attn.") for name in tensors),
        "add_lr_up": any(name.startswith("denoise_fn.up_proj.") for name in tensors),
        "scale": size(tensors, "denoise_fn.cond_proj.weight", 2, 4) // 2,
    }


def encoder_shapes(features, growth, blocks, scale):
    """Return {name: shape} of an encoder of these sizes."""
    shapes = conv("rrdb.conv_first", 3, features, 3)
    for block in range(blocks):
        for part in (1, 2, 3):
            start = f"rrdb.RRDB_trunk.{block}.RDB{part}"
            for number in (1, 2, 3, 4, 5):
                outputs = growth if number < 5 else features
                shapes |= conv(f"{start}.conv{number}", features + (number - 1) * growth, outputs, 3)
    for name in ("trunk_conv", *(f"upconv{octave + 1}" for octave in range(scale.bit_length() - 1)), "HRconv"):
        shapes |= conv(f"rrdb.{name}", features, features, 3)
    return shapes | conv("rrdb.conv_last", features, 3, 3)


def unet_shapes(width, multipliers, normalised, attention, add_lr_up, scale, condition_channels):
    """Return {name: shape} of a U-Net of these sizes and options."""
    channels = [width * m for m in multipliers]
    shapes = {
        "cond_proj.weight": (condition_channels, width, 2 * scale, 2 * scale),
        "cond_proj.bias": (width,),
        **dense("mlp.0", width, 4 * width),
        **dense("mlp.2", 4 * width, width),
    }
    for i, (inputs, outputs) in enumerate(zip([3, *channels], channels, strict=False)):
        shapes |= _resnet(f"downs.{i}.0", inputs, outputs, width, normalised)
        shapes |= _resnet(f"downs.{i}.1", outputs, outputs, width, normalised)
        if i < len(channels) - 1:
            shapes |= conv(f"downs.{i}.2.conv.1", outputs, outputs, 3)
    for i, (inputs, outputs) in enumerate(zip(channels[:0:-1], channels[-2::-1], strict=True)):
        shapes |= _resnet(f"ups.{i}.0", 2 * inputs, outputs, width, normalised)
        shapes |= _resnet(f"ups.{i}.1", outputs, outputs, width, normalised)
        shapes |= conv(f"ups.{i}.2.conv.0", outputs, outputs, 4)
    for name in ("mid_block1", "mid_block2"):
        shapes |= _resnet(name, channels[-1], channels[-1], width, normalised)
    if attention:
        shapes |= {"mid_attn.fn.g": (1,), "mid_attn.fn.fn.to_qkv.weight": (3 * ATTENTION_CHANNELS, channels[-1], 1, 1)}
        shapes |= conv("mid_attn.fn.fn.to_out", ATTENTION_CHANNELS, channels[-1], 1)
    if add_lr_up:
        shapes |= conv("up_proj.1", 3, width, 3)
    shapes |= _block("final_conv.0", width, width, normalised)
    shapes |= conv("final_conv.1", width, 3, 1)
    return {f"denoise_fn.{name}": shape for name, shape in shapes.items()}


def _block(name, inputs, outputs, normalised):
    norm = {f"{name}.block.2.weight": (outputs,), f"{name}.block.2.bias": (outputs,)} if normalised else {}
    return conv(f"{name}.block.1", inputs, outputs, 3) | norm


def _resnet(name, inputs, outputs, embedding, normalised):
    shapes = dense(f"{name}.mlp.1", embedding, outputs)
    shapes |= _block(f"{name}.block1", inputs, outputs, normalised)
    shapes |= _block(f"{name}.block2", outputs, outputs, normalised)
    return shapes | (conv(f"{name}.res_conv", inputs, outputs, 1) if inputs != outputs else {})


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
    sizes = encoder_sizes(tensors)
    settings = {key: sizes[key] for key in ("features", "growth", "blocks")}
    found = {"data": {"scale": sizes["scale"]}, "encoder": settings | {"upsampler": "nearest"}}
    return found, encoder_shapes(**sizes)


def _unet(tensors, encoder_found, groups):
    """The same for the U-Net, which must fit the encoder."""
    sizes = unet_sizes(tensors)
    encoder, scale = encoder_found["encoder"], encoder_found["data"]["scale"]
    if sizes["scale"] != scale:
        raise UserError(f"the encoder is for x{scale}, the U-Net's cond_proj for x{sizes['scale']}: not one model")
    if sizes["normalised"] and not groups:
        groups = 8
        _LOG.info("GroupNorm in the U-Net: taking 8 groups, which no shape tells; --config can name another number")
    settings = {key: sizes[key] for key in ("width", "multipliers", "attention", "add_lr_up")}
    settings |= {"groups": groups if sizes["normalised"] else 0, "space_to_depth": 1}
    condition_channels = encoder["features"] * ((encoder["blocks"] + 1) // 3)
    return {"unet": settings}, unet_shapes(**sizes, condition_channels=condition_channels)
