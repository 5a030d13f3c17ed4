"""What all converted checkpoints have in common: the result, and the checks of a file's tensors."""

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
