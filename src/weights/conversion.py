"""What all converted checkpoints have in common: the result, and the checks of a file's tensors."""

import re
from typing import NamedTuple

import numpy as np

from src.errors import UserError


class Conversion(NamedTuple):
    """A converted checkpoint.

    Attributes:
        found: nested dict of the settings that the tensors, or the program that wrote them, fix.
        assumed: nested dict of settings that the file does not tell, with that program's defaults.
        arrays: {our parameter name: float32 array}.
        unused: their names of what was recognised and is not needed.
        step: optimiser steps done; 0 where the file does not say.
    """

    found: dict
    assumed: dict
    arrays: dict
    unused: list
    step: int


def check_shapes(tensors, shapes):
    """Refuse missing tensors, unknown ones and wrong shapes.

    Args:
        tensors: {name: array}.
        shapes: {name: shape} of what is expected.

    Raises:
        UserError: with the names.
    """
    missing = [name for name in shapes if name not in tensors]
    unknown = [name for name in tensors if name not in shapes]
    if missing:
        also = f"; and unknown: {listed(unknown)}" if unknown else ""
        raise UserError(f"tensors are missing: {listed(missing)}{also}; the file is not whole or is another network")
    if unknown:
        raise UserError(f"tensors are unknown: {listed(unknown)}; this is a variant that has no counterpart here")
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise UserError(f"'{name}' has the shape {tensors[name].shape}, but the other tensors make it {shape}")


def finite_float32(name, array):
    """Return an array of floating-point weights as float32.

    Raises:
        UserError: they are not finite, or of another kind.
    """
    if array.dtype.kind != "f":
        raise UserError(f"'{name}' is {array.dtype}: expected floating-point weights, not quantised ones")
    with np.errstate(over="ignore"):  # a float64 too large becomes infinite, and is refused
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"'{name}' holds NaN or infinity: the training had diverged, take an earlier checkpoint")
    return array


def listed(names, shown=5):
    """Join names for a message; they come from a file that is not trusted."""
    names = [ascii(str(name))[1:-1][:80] for name in names]
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest


def combine(found, assumed, given=None):
    """Return the settings of a converted checkpoint.

    Args:
        found: nested dict of what the checkpoint fixes.
        assumed: nested dict of what it does not tell.
        given: nested dict of a configuration, or of some settings; they replace what is assumed and must agree with
            what is found.

    Returns:
        nested dict; what none of the three gives is left out.

    Raises:
        UserError: the configuration contradicts the checkpoint; the message has both values of every setting.
    """
    given = given or {}
    conflicts = []
    for name, value in _flat(found).items():
        known, named = _named(given, name, found)
        if known and named != value:
            conflicts.append(f"{name} is {named} in the configuration, {value} in the checkpoint")
    if conflicts:
        raise UserError(f"{'; '.join(conflicts)}: correct the configuration, or leave it out")
    return _merge(_merge(assumed, given), found)


def _named(given, name, found):
    """Return whether a setting, by its full name, is among those given, and its value."""
    value = given
    for part in name.split("."):
        if part not in value:
            return False, None
        value = value[part]
    if name == "encoder.growth" and value == 0:
        value = given["encoder"].get("features", found["encoder"]["features"]) // 2
    return True, value


def _flat(settings, prefix=""):
    flat = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _merge(below, above):
    """Return ``below`` with the leaves of ``above`` in their places."""
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _merge(below.get(key, {}), value) if isinstance(value, dict) else value
    return merged


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
