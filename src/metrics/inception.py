"""Inception with its weights: what FID and Inception Score see of pictures."""

import mindspore as ms
import numpy as np

from src.errors import UserError
from src.models.inception import SIDE, ConvReLU, InceptionV3

_EPSILON = 1e-3  # of the network's batch normalisation


class Inception:
    """Prepared pictures in, features and logits out; compiles once.

    Args:
        cell: an :class:`src.models.inception.InceptionV3` with its weights loaded.
    """

    def __init__(self, cell):
        self._cell = cell.set_train(False)
        self._cell.set_inputs(ms.Tensor(shape=[None, 3, SIDE, SIDE], dtype=ms.float32))

    def __call__(self, pictures):
        """Look at pictures.

        Args:
            pictures: float32 (B, 3, 299, 299), as :mod:`src.metrics.inception_input` makes them.

        Returns:
            features: float32 (B, 2048); logits: float32 (B, 1008), without the bias of the last layer. Both NumPy.
        """
        return tuple(output.asnumpy() for output in self._cell(ms.Tensor(pictures)))


def inception_from_arrays(arrays):
    """Return the network with the given weights.

    Batch normalisation is folded into the convolution before it, in float64: γ·(w∗x − μ)/√(σ² + ε) + β.

    Args:
        arrays: dict of name to float array with the names of pytorch-fid's file (``Mixed_5b.branch1x1.conv.weight``,
            ``Mixed_5b.branch1x1.bn.running_var``, …, ``fc.weight``). Other names are ignored.

    Returns:
        Inception.

    Raises:
        UserError: a tensor is missing, has another shape or holds something that is no number.
    """
    network = InceptionV3()
    for name, cell in network.cells_and_names():
        if isinstance(cell, ConvReLU):
            weight, bias = _folded(arrays, name, cell.conv.weight.shape)
            cell.conv.weight.set_data(ms.Tensor(weight))
            cell.conv.bias.set_data(ms.Tensor(bias))
    weight = _checked(arrays, "fc.weight", network.fc.weight.shape)
    network.fc.weight.set_data(ms.Tensor(weight.astype(np.float32)))
    return Inception(network)


def _folded(arrays, name, shape):
    """Return the weight and the bias, float32, of a convolution with the batch normalisation behind it."""
    weight = _checked(arrays, f"{name}.conv.weight", shape)
    names = ("weight", "bias", "running_mean", "running_var")
    gamma, beta, mean, variance = (_checked(arrays, f"{name}.bn.{part}", shape[:1]) for part in names)
    if variance.min() < 0:
        raise UserError(f"expected variances in {name}.bn.running_var, found a negative number")
    factor = gamma / np.sqrt(variance + _EPSILON)
    return (weight * factor.reshape(-1, 1, 1, 1)).astype(np.float32), (beta - mean * factor).astype(np.float32)


def _checked(arrays, name, shape):
    """Return an array as float64."""
    array = arrays.get(name)
    if not isinstance(array, np.ndarray) or array.shape != tuple(shape):
        found = f"shape {array.shape}" if isinstance(array, np.ndarray) else "nothing"
        raise UserError(f"expected {name} of shape {tuple(shape)}, found {found}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise UserError(f"expected numbers in {name}, found an infinity or NaN")
    return array
