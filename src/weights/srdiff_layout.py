"""Which tensors the PyTorch SRDiff (arXiv 2104.14951) has for which sizes, under its own names."""

from src.errors import UserError
from src.weights.layout import conv, dense, indices, size

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
