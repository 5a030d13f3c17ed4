"""Pictures as Inception wants them, in the two ways that published FIDs were measured: they give other numbers.

Both enlarge or reduce to 299×299 by linear interpolation between the nearest pixels, without antialiasing. They
differ in where the pixels of the result lie and in the range of values.
"""

import numpy as np

_SIDE = 299


def as_pytorch_fid(picture):
    """Return a picture as pytorch-fid prepares it: pixels' centres are aligned, 0…255 becomes −1…1.

    Args:
        picture: uint8 (H, W, 3) RGB of any size.

    Returns:
        float32 (3, 299, 299).
    """
    rows, columns = (np.maximum((np.arange(_SIDE) + 0.5) * n / _SIDE - 0.5, 0) for n in picture.shape[:2])
    return _interpolated(picture, rows, columns) / np.float32(127.5) - 1


def as_torch_fidelity(picture):
    """Return a picture as torch-fidelity does, and TensorFlow 1 for the first FIDs: (v − 128)/128.

    The centres of the first pixels are aligned, the last pixels lie further in: pixel i at i·n/299.

    Args:
        picture: uint8 (H, W, 3) RGB of any size.

    Returns:
        float32 (3, 299, 299).
    """
    rows, columns = (np.arange(_SIDE) * n / _SIDE for n in picture.shape[:2])
    return (_interpolated(picture, rows, columns) - 128) / np.float32(128)


PREPARATIONS = {"pytorch-fid": as_pytorch_fid, "torch-fidelity": as_torch_fidelity}


def _interpolated(picture, rows, columns):
    """Return the picture at rows × columns, which are positions counted in pixels, as float32 (3, rows, columns)."""
    (top, bottom, down), (left, right, across) = (
        _neighbours(positions, n) for positions, n in zip((rows, columns), picture.shape, strict=False)
    )
    above, below = picture[top].astype(np.float32), picture[bottom].astype(np.float32)
    lines = above + (below - above) * down[:, None, None]
    before, behind = lines[:, left], lines[:, right]
    result = before + (behind - before) * across[:, None]
    return np.ascontiguousarray(result.transpose(2, 0, 1))


def _neighbours(positions, count):
    """Return for each position the pixel before it, the one after it, and the float32 share of the latter."""
    before = np.floor(positions).astype(int)
    return before, np.minimum(before + 1, count - 1), (positions - before).astype(np.float32)
