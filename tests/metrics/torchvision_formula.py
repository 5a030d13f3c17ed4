"""Weights of torchvision's classifiers that anybody can make again: those of golden/lpips and golden/srgan."""

import numpy as np


def torchvision_weights(shapes):
    """Return {name: float32 array} for {name: shape}: He's deviation, small biases, a seed by a name's place."""
    arrays = {}
    for number, name in enumerate(sorted(shapes)):
        draw = np.random.RandomState(100 + number).standard_normal(shapes[name])
        factor = np.sqrt(2 / np.prod(shapes[name][1:])) if name.endswith("weight") else 0.05
        arrays[name] = (draw * factor).astype(np.float32)
    return arrays
