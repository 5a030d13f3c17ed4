"""Checkpoints of the PyTorch port of SR3 as read_torch returns them, made of NumPy arrays."""

import numpy as np

from src.diffusion.schedule import linear_betas
from src.families.sr3 import convert
from tests.weights.checkpoints import schedule_tables, tensors_of

SIZES = {
    "width": 8, "multipliers": [1, 2], "blocks": 1, "attends": [False, True], "noise_level": "continuous",
    "affine": False, "conditional": True,
}  # fmt: skip


def sr3_tensors(tables=True, **sizes):
    """Return the state dict of a network of :data:`SIZES` but for those named; ``tables``: with its schedule's."""
    sizes = SIZES | sizes
    tensors = tensors_of({name: shape for name, (_, shape) in convert.layout(**sizes).items()})
    if tables:
        tensors |= schedule_tables(linear_betas(20, 1e-4, 0.2))
    if sizes["noise_level"] == "discrete":
        width = sizes["width"]
        tensors[convert.FREQUENCIES] = (10000.0 ** (-np.arange(0, width, 2) / width)).astype(np.float32)
    return tensors
