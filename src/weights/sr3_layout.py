"""Which tensors the PyTorch SR3 and DDPM (arXiv 2104.07636) have for which sizes, under its names and ours.

That program numbers the layers of the way down, and those of the way up, from one end to the other: blocks, and what
halves or doubles the resolution.
"""

from src.errors import UserError
from src.weights.layout import conv, dense, indices, size

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
