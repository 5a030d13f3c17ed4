"""What all converted checkpoints have in common: the result, and the checks of a file's tensors."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .state_dict import find_state_dict

_MOST = 1000  # blocks or levels: no network has as many, and each takes memory before it is found to be empty


class Conversion(NamedTuple):
    """A checkpoint whose program and settings are known; :func:`arrays_for` takes the weights out of it."""

    found: dict  # nested settings that the tensors, or the program that wrote them, fix
    assumed: dict  # nested settings that the file does not tell, with that program's defaults
    tensors: dict  # {their name: array} of the network
    their_name: Callable  # our parameter's name → their tensor's
    unused: list  # their names of what was recognised and is not needed
    form: str  # whose form the network has, for people
    step: int = 0  # optimiser steps done; 0 where the file does not say
    part: str = ""  # of the system's networks the one that it is; "" is what makes pictures


def arrays_for(conversion, shapes):
    """Return {name: float32 array} for the network's parameters, {name: shape}, that a conversion's settings describe.

    UserError where a tensor is missing, unknown, of another shape, not finite or of no floating-point type.
    """
    tensors = conversion.tensors
    expected = {conversion.their_name(name): tuple(shape) for name, shape in shapes.items()}
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    if missing:
        also = f"; and unknown: {listed(unknown)}" if unknown else ""
        raise UserError(f"tensors are missing: {listed(missing)}{also}; the file is not whole or is another network")
    if unknown:
        raise UserError(f"tensors are unknown: {listed(unknown)}; this is a variant that has no counterpart here")
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise UserError(f"'{name}' has the shape {tensors[name].shape}, but the other tensors make it {shape}")
    return {ours: _finite_float32(theirs, tensors[theirs]) for ours, theirs in zip(shapes, expected, strict=True)}


def _finite_float32(name, array):
    if array.dtype.kind != "f":
        raise UserError(f"'{name}' is {array.dtype}: expected floating-point weights, not quantised ones")
    with np.errstate(over="ignore"):  # a float64 too large becomes infinite, and is refused
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"'{name}' holds NaN or infinity: the training had diverged, take an earlier checkpoint")
    return array


def renamed(name, rules):
    """Apply each (pattern, replacement) that matches, from the first to the last."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def listed(names, shown=5):
    """Join names for a message; they come from a file that is not trusted."""
    names = [ascii(str(name))[1:-1][:80] for name in names]
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest


def size(tensors, name, axis, dimensions):
    """One side of a tensor that tells a size of the network; refuse one with other than so many dimensions."""
    if name not in tensors:
        raise UserError(f"the tensor '{name}' is missing, which tells a size of the network: the file is not whole")
    shape = tensors[name].shape
    if len(shape) != dimensions or 0 in shape:
        raise UserError(f"the tensor '{name}' has the shape {shape}: expected {dimensions} dimensions, none of them 0")
    return shape[axis]


def count(tensors, pattern):
    """How many different numbers the group of a pattern matches at the beginning of names."""
    found = len({match[1] for name in tensors if (match := re.match(pattern, name))})
    if found > _MOST:
        raise UserError(f"expected at most {_MOST} blocks or levels, got {found}: not a network that is known here")
    return found


def multipliers(channels, width, network):
    """The channels of a U-Net's levels as multiples of its width."""
    if any(c % width for c in channels):
        raise UserError(f"the levels' channels {channels} are no multiples of the width {width}: not {network}")
    return [c // width for c in channels]


_OTHER_NETWORKS = (
    (r"lin\d\.model\.", "LPIPS layers"),
    (r"(features\.)?0\.weight$", "a classification network"),
)


def unknown_network(obj, known):
    """The UserError of a file, as ``read_torch`` returns it, that is of none of the ``known`` families."""
    tensors, _ = find_state_dict(obj)
    for pattern, description in _OTHER_NETWORKS:
        if any(re.match(pattern, name) for name in tensors):
            return UserError(f"the file looks like {description}: expected {known}")
    return UserError(f"expected {known}, got a file with {listed(tensors)}: name another")


def combine(found, assumed, given=None):
    """Return the settings of a converted checkpoint; what none of the three gives is left out.

    ``given``, some settings, replaces what is assumed and must agree with what is found: a UserError has both values.
    """
    tells, named = _flat(found), _flat(given or {})
    for section in ("encoder", "generator"):
        if named.get(f"{section}.growth") == 0 and f"{section}.growth" in tells:  # 0 stands for features / 2
            named[f"{section}.growth"] = named.get(f"{section}.features", tells[f"{section}.features"]) // 2
    conflicts = [
        f"{name} is {named[name]} in the configuration, {value} in the checkpoint"
        for name, value in tells.items()
        if name in named and named[name] != value
    ]
    if conflicts:
        raise UserError(f"{'; '.join(conflicts)}: correct the configuration, or leave it out")
    return _merge(_merge(assumed, given or {}), found)


def _flat(settings, prefix=""):
    flat = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _merge(below, above):
    """``below`` with the leaves of ``above`` in their places."""
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _merge(below.get(key, {}), value) if isinstance(value, dict) else value
    return merged
