"""Checkpoints of the PyTorch programs as read_torch returns them, made of NumPy arrays.

The names and shapes are those of the programs' own modules, written down without looking at ours.
"""

import numpy as np

from src.diffusion.schedule import cosine_betas, linear_betas
from src.families.sr3.convert import FREQUENCIES
from src.weights.schedule_tables import TABLES

ENCODER = {"features": 8, "growth": 4, "blocks": 2}
UNET = {"width": 8, "multipliers": [1, 2], "normalised": False, "attention": False, "add_lr_up": False}
SR3 = {
    "width": 8, "multipliers": [1, 2], "blocks": 1, "attends": [False, True], "noise_level": "continuous",
    "affine": False, "conditional": True,
}  # fmt: skip
SRDIFF_ATTENTION = 4 * 32  # heads times channels of each, fixed in that program


def tensors_of(shapes, seed=0):
    """Return {name: float32 array} of these shapes."""
    draw = np.random.default_rng(seed)
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def encoder_tensors(scale=4, **sizes):
    """Return an encoder's tensors, names starting with ``rrdb.``."""
    return tensors_of(encoder_shapes(**{**ENCODER, **sizes}, scale=scale))


def srdiff_tensors(scale=4, betas=None, encoder=None, **options):
    """Return a whole SRDiff's state dict."""
    encoder = {**ENCODER, **(encoder or {})}
    condition_channels = encoder["features"] * ((encoder["blocks"] + 1) // 3)
    unet = unet_shapes(**{**UNET, **options}, scale=scale, condition_channels=condition_channels)
    return schedule_tables(betas) | tensors_of(unet, seed=1) | encoder_tensors(scale, **encoder)


def sr3_tensors(tables=True, **sizes):
    """Return the state dict of a network of :data:`SR3` but for the sizes named; ``tables``: with its schedule's."""
    sizes = SR3 | sizes
    tensors = tensors_of(sr3_shapes(**sizes))
    if tables:
        tensors |= schedule_tables(linear_betas(20, 1e-4, 0.2))
    if sizes["noise_level"] == "discrete":
        width = sizes["width"]
        tensors[FREQUENCIES] = (10000.0 ** (-np.arange(0, width, 2) / width)).astype(np.float32)
    return tensors


def schedule_tables(betas=None):
    """Return every table that the program registers, float32 (T,)."""
    betas = cosine_betas(20) if betas is None else betas
    alpha_bar = np.cumprod(1 - betas)
    previous = np.append(1.0, alpha_bar[:-1])
    variance = betas * (1 - previous) / (1 - alpha_bar)
    tables = {
        "betas": betas,
        "alphas_cumprod": alpha_bar,
        "alphas_cumprod_prev": previous,
        "sqrt_alphas_cumprod": np.sqrt(alpha_bar),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - alpha_bar),
        "log_one_minus_alphas_cumprod": np.log(1 - alpha_bar),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / alpha_bar),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / alpha_bar - 1),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
        "posterior_mean_coef1": betas * np.sqrt(previous) / (1 - alpha_bar),
        "posterior_mean_coef2": (1 - previous) * np.sqrt(1 - betas) / (1 - alpha_bar),
    }
    assert tables.keys() == TABLES
    return {name: table.astype(np.float32) for name, table in tables.items()}


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
        shapes |= {"mid_attn.fn.g": (1,), "mid_attn.fn.fn.to_qkv.weight": (3 * SRDIFF_ATTENTION, channels[-1], 1, 1)}
        shapes |= conv("mid_attn.fn.fn.to_out", SRDIFF_ATTENTION, channels[-1], 1)
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


def conv(name, inputs, outputs, kernel):
    """Return {name: shape} of a convolution with bias."""
    return {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}


def dense(name, inputs, outputs):
    """Return {name: shape} of a linear layer with bias."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name, channels):
    """Return {name: shape} of a GroupNorm."""
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def sr3_shapes(width, multipliers, blocks, attends, noise_level, affine, conditional):
    """Return {name: shape} of an SR3 or DDPM U-Net of these sizes."""
    channels = [width * m for m in multipliers]
    last = len(channels) - 1

    def block(name, inputs, level, attention):
        return _sr3_block(name, inputs, channels[level], width, noise_level, affine, attention)

    mlp = "noise_level_mlp" if noise_level == "continuous" else "time_mlp"
    shapes = dense(f"{mlp}.1", width, 4 * width) | dense(f"{mlp}.3", 4 * width, width)
    shapes |= conv("downs.0", 6 if conditional else 3, width, 3)
    skips, inputs, place = [width], width, 1
    for level in range(last + 1):
        for _ in range(blocks):
            shapes |= block(f"downs.{place}", inputs, level, attends[level])
            inputs, place = channels[level], place + 1
            skips.append(inputs)
        if level < last:
            shapes |= conv(f"downs.{place}.conv", inputs, inputs, 3)
            place += 1
            skips.append(inputs)
    shapes |= block("mid.0", inputs, last, True) | block("mid.1", inputs, last, False)
    place = 0
    for level in range(last, -1, -1):
        for _ in range(blocks + 1):
            shapes |= block(f"ups.{place}", inputs + skips.pop(), level, attends[level])
            inputs, place = channels[level], place + 1
        if level:
            shapes |= conv(f"ups.{place}.conv", inputs, inputs, 3)
            place += 1
    shapes |= norm("final_conv.block.0", width) | conv("final_conv.block.3", width, 3, 3)
    return {f"denoise_fn.{name}": shape for name, shape in shapes.items()}


def _sr3_block(name, inputs, outputs, embedding, noise_level, affine, attention):
    inner, told = f"{name}.res_block", "noise_func.noise_func.0" if noise_level == "continuous" else "mlp.1"
    shapes = dense(f"{inner}.{told}", embedding, outputs * (2 if affine else 1))
    for number, channels in ((1, inputs), (2, outputs)):
        shapes |= norm(f"{inner}.block{number}.block.0", channels)
        shapes |= conv(f"{inner}.block{number}.block.3", channels, outputs, 3)
    if inputs != outputs:
        shapes |= conv(f"{inner}.res_conv", inputs, outputs, 1)
    if attention:
        shapes |= norm(f"{name}.attn.norm", outputs) | {f"{name}.attn.qkv.weight": (3 * outputs, outputs, 1, 1)}
        shapes |= conv(f"{name}.attn.out", outputs, outputs, 1)
    return shapes
