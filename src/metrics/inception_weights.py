"""Where Inception's weights for FID and Inception Score come from: a file of the user's, a cache folder, a download.

They are TensorFlow's of 5 December 2015 in the PyTorch file of github.com/mseitzer/pytorch-fid (Apache 2.0), which
torch-fidelity and others publish under other names, and no part of this project. Importing this module does not
import mindspore.
"""

from pathlib import Path

from src.cache_folder import cache_folder
from src.errors import UserError
from src.metrics.weight_files import WeightFile, fetch, find, tensors

FILE = WeightFile(
    "pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ("*inception-2015-12-05*.pth",),
)


def find_inception(location=None, download=False):
    """Return the path of the file with the weights.

    Args:
        location: the file, or a folder that holds it under one of its usual names; None takes the cache folder.
        download: fetch it into the folder if it is missing.

    Raises:
        UserError: the file is not there, or the download failed.
    """
    folder = cache_folder("inception") if location is None else Path(location)
    if folder.is_file():
        return folder
    if path := find(FILE, folder):
        return path
    if download:
        return fetch(FILE, folder)
    raise UserError(
        f"FID and IS need {FILE.name} in {folder}: fetch it with --fid-download, name it or its folder with "
        "--fid-weights, or leave them out with --fid none"
    )


def load_inception(path, read):
    """Return the network with the weights of a file.

    Args:
        path: from :func:`find_inception`.
        read: the function that reads a PyTorch file into a dict of NumPy arrays
            (:func:`src.weights.torch_file.read_torch`).

    Returns:
        :class:`src.metrics.inception.Inception`.

    Raises:
        UserError: the file is damaged, or holds another network.
    """
    from src.metrics.inception import inception_from_arrays  # imports mindspore: only when there is something to load

    try:
        return inception_from_arrays(tensors(read(path)))
    except UserError as error:
        raise UserError(f"Inception weights {path}: {error}; expected {FILE.name} of pytorch-fid") from error
