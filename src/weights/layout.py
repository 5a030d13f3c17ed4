"""Names and shapes of tensors in PyTorch checkpoints: what the layouts of several programs have in common."""

import re

from src.errors import UserError


def conv(name, inputs, outputs, kernel):
    """Return {name: shape} of a convolution with bias."""
    return {f"{name}.weight": (outputs, inputs, kernel, kernel), f"{name}.bias": (outputs,)}


def dense(name, inputs, outputs):
    """Return {name: shape} of a linear layer with bias."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def size(tensors, name, axis, dimensions):
    """Return one side of a tensor that tells a size of the network.

    Raises:
        UserError: it is missing, or has another number of dimensions.
    """
    if name not in tensors:
        raise UserError(f"the tensor '{name}' is missing, which tells a size of the network: the file is not whole")
    shape = tensors[name].shape
    if len(shape) != dimensions or 0 in shape:
        raise UserError(f"the tensor '{name}' has the shape {shape}: expected {dimensions} dimensions, none of them 0")
    return shape[axis]


def indices(tensors, pattern):
    """Return the set of what the first group of a pattern matches at the beginning of names."""
    return {match[1] for name in tensors if (match := re.match(pattern, name))}
