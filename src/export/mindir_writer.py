"""Cells as files of MindSpore's own formats, each a single file."""

import mindspore as ms

from src.errors import UserError


def save(path, cell, inputs):
    """Write a Cell.

    Args:
        path: ``X.mindir`` or ``X.air``; MindSpore may put files of its own beside.
        cell: the ``nn.Cell``.
        inputs: its inputs as tensors; None in a shape is free.

    Raises:
        UserError: MindSpore has spread the weights over several files, as it does from 1 GB up.
    """
    ms.export(cell, *inputs, file_name=str(path), file_format=path.suffix[1:].upper())
    if not path.is_file():
        size = sum(parameter.nbytes for parameter in cell.get_parameters()) / 2**30
        raise UserError(
            f"expected one file of up to 1 GB, but MindSpore splits the {size:.1f} GB of this model's weights over "
            "several: --precision float16 halves them"
        )
