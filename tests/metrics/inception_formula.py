"""Inception weights and small sets of pictures that anybody can make again, for numbers to compare."""

import zlib

import numpy as np


def formula_weights(shapes):
    """Return weights for pytorch-fid's names and shapes: each tensor from the generator that its name seeds.

    Convolutions keep the values' size from layer to layer (He); the normalisations shift and scale a little.
    """
    weights = {}
    for name, shape in shapes.items():
        draw = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        if name.endswith(("conv.weight", "fc.weight")):
            draw *= np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith("bn.weight"):
            draw = 1 + 0.1 * draw
        elif name.endswith("running_var"):
            draw = np.exp(0.2 * draw)
        else:
            draw *= 0.1
        weights[name] = draw.astype(np.float32)
    return weights


def pictures(photo):
    """Return two sets of three parts of the photograph, uint8 (h, w, 3): smaller and larger than 299 pixels."""
    small = photo[:64, :80], photo[100:220, 200:350], photo[20:319, 150:449]
    large = photo[:, 40:400], photo[180:300, 160:230], photo[300:333, 50:350]
    return small, large


def formula_logits(count=25, classes=1008):
    """Return logits, float32 (count, classes), of which each picture's largest belongs to another class."""
    draw = np.random.RandomState(5).standard_normal((count, classes))
    draw[np.arange(count), np.arange(count) * 7 % 11] += 4.0
    return draw.astype(np.float32)


def formula_features(seed, count, size=12):
    """Return correlated features, float64 (count, size), with a mean much larger than their deviation."""
    draw = np.random.RandomState(seed)
    return 50 + draw.standard_normal((count, size)) @ draw.standard_normal((size, size)) * 0.3 + 0.1 * seed
