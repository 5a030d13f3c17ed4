"""How far the networks see and how much memory they need, from their sizes alone.

A radius of r pixels means that an output pixel depends on inputs at most r pixels away, in each dimension. The numbers
are upper bounds; tests hold them against the networks themselves. The bytes are estimates, fitted to peaks measured on
the CPU (docs/inference_speed.md).
"""

import math

from src.inference.tile_size import Cost, Reach

_BICUBIC = 2  # BicubicUpscale reads two LR pixels on each side


def rrdb_condition_radius(blocks):
    """Radius of ``RRDBNet.condition`` in LR pixels: a first and a last convolution, fifteen in each RRDB."""
    return 1 + 15 * blocks + 1


def rrdb_radius(blocks, scale, upsampler):
    """Radius of the whole RRDBNet, LR pixels of input to the pixels of output that belong to them."""
    if upsampler == "pixelshuffle":
        way_up = 2  # two convolutions at LR resolution
    else:  # one convolution after each doubling, two more at HR resolution
        way_up = math.ceil(sum(2.0**-octave for octave in range(1, scale.bit_length())) + 2 / scale) + 1
    return rrdb_condition_radius(blocks) + max(way_up, _BICUBIC)


def condition_radius(blocks, scale=4, upsampler=None):
    """Radius of SRDiff's condition in LR pixels: the encoder's features and their projection, or LR↑'s convolution.

    Args:
        blocks: of the encoder.
        scale, upsampler: of an encoder whose own picture is the base picture; None where LR↑ is.
    """
    base = rrdb_radius(blocks, scale, upsampler) if upsampler else _BICUBIC
    return max(rrdb_condition_radius(blocks), base) + 2


def unet_radius(levels, space_to_depth):
    """Radius of the conditional U-Net without attention and normalisation, HR pixels.

    Each level has four 3×3 convolutions on the way down and, but for the last, four on the way up; the middle has
    four. A strided convolution reads one pixel of the finer level, a transposed one of 4×4 one of the coarser.
    """
    down = sum(4 * 2**level for level in range(levels)) + sum(2**level for level in range(levels - 1))
    middle = 4 * 2 ** (levels - 1)
    up = sum((4 + 1) * 2**level for level in range(1, levels))
    folded = down + middle + up + 1
    return _unfolded(folded, space_to_depth)


def rrdb(features, blocks, growth, scale, upsampler, products=False):
    """Return the :class:`Reach` and :class:`Cost` of an RRDBNet as a model of its own; see :func:`srdiff`."""
    per_lr_pixel = _trunk_bytes(features, blocks, growth) + products * _gathered_bytes(features + 4 * growth)
    if upsampler == "nearest":  # three tensors of the trunk's width at HR size
        per_lr_pixel += 3 * 4 * features * scale**2
    reach = Reach(rrdb_radius(blocks, scale, upsampler) * scale)
    return reach, Cost(denoise=per_lr_pixel / scale**2, pictures=3)


def srdiff(
    features, blocks, growth, scale, width, levels, space_to_depth, local, products=False, every=3, upsampler=None
):
    """Return the :class:`Reach` and :class:`Cost` of an SRDiff.

    Args:
        features, blocks, growth, scale, width, levels, space_to_depth: the networks' sizes.
        local: whether no part of the U-Net sees the whole picture.
        products: computed as products of gathered rows, not as convolutions.
        every: the condition has the features of every so many blocks.
        upsampler: of an encoder whose own picture is the base picture; None where LR↑ is.
    """
    folded, factor = space_to_depth**2, scale // space_to_depth
    encode = _trunk_bytes(features, blocks, growth)
    if products:  # nine pixels of the widest concatenation, gathered and on the way; the same of the folded picture
        encode += _gathered_bytes(max(features + 4 * growth, features * ((blocks + 1) // every)))
        denoise = 4 * (9 * 3 * folded + 9 * width) / folded
    else:  # as 32 tensors of the first level
        denoise = 32 * 4 * width / folded
        if factor > 1:  # the transposed convolution's columns, and its result twice
            encode += 4 * width * ((2 * factor) ** 2 + 2 * factor**2)
    cost = Cost(
        denoise=denoise,
        encode=encode,
        features=4 * width / folded,
        pictures=5,  # x_t, x_0, LR↑, and, with some samplers, the noise and the x_0 before
    )
    return Reach(unet_radius(levels, space_to_depth), condition_radius(blocks, scale, upsampler), local), cost


def _unfolded(radius, space_to_depth):
    """Radius in pixels of one in folded cells: from the far side of one cell to that of another."""
    return radius * space_to_depth + space_to_depth - 1


def sr3_radius(levels, blocks, space_to_depth=1):
    """Radius of SR3's U-Net without attention and normalisation, HR pixels.

    Each block has two 3×3 convolutions: ``blocks`` of them in a level on the way down, one more on the way up, two in
    the middle. One convolution halves a level, reading the finer level, and one follows each doubling; a doubled pixel
    comes from one coarse pixel. Two more begin and end it all.
    """
    inside = sum(2 * (2 * blocks + 1) * 2**level for level in range(levels)) + 4 * 2 ** (levels - 1)
    halvings = doublings = sum(2**level for level in range(levels - 1))
    folded = inside + halvings + doublings + 2 ** (levels - 1) + 2
    return _unfolded(folded, space_to_depth)


def sr3(width, multipliers, blocks, attends, space_to_depth=1):
    """Return the :class:`Reach` and :class:`Cost` of SR3's U-Net, whose normalisation sees the whole picture.

    Args:
        width, multipliers, blocks: the network's sizes.
        attends: for each level whether it has attention.
        space_to_depth: r, where r×r pixels are folded into channels.
    """
    # A pixel of level l stands for 4^l of the first: the skips that are kept, and some tensors of the finest levels.
    kept = sum((blocks + 1) * multiplier / 4**level for level, multiplier in enumerate(multipliers))
    finest = 12 * max(multiplier / 4**level for level, multiplier in enumerate(multipliers))
    attended = [level for level, attention in enumerate(attends) if attention] + [len(multipliers) - 1]
    cost = Cost(
        denoise=4 * width * (kept + finest) / space_to_depth**2,
        # every pixel's weight for every other, before and after the softmax
        pairs=2 * 4 / (16 ** min(attended) * space_to_depth**4),
        features=12,  # LR↑
        pictures=5,  # as SRDiff's
    )
    return Reach(sr3_radius(len(multipliers), blocks, space_to_depth), _BICUBIC, local=False), cost


def _gathered_bytes(channels):
    """Bytes per pixel of nine neighbours, gathered and on the way."""
    return 2 * 9 * 4 * channels


def _trunk_bytes(features, blocks, growth):
    """Bytes per LR pixel: every block's output, and a dense block's concatenation three times."""
    return 4 * (features * (blocks + 1) + 3 * (features + 4 * growth))
