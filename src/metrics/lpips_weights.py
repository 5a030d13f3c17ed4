"""Where the weights of LPIPS come from: a folder or file of the user's, a cache folder, or, if asked, a download.

They are other people's (torchvision's ImageNet networks; LPIPS' linear layers, BSD 2-Clause) and no part of
this project. Importing this module does not import mindspore.
"""

from pathlib import Path

from src.cache_folder import cache_folder
from src.errors import UserError
from src.metrics.weight_files import WeightFile, fetch, find, tensors

_TORCHVISION = "https://download.pytorch.org/models/"
_LINEAR_LAYERS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/"


class LPIPSUnavailable(UserError):
    """The weights are not on this machine; the message says how to get them."""


def _torchvision(name, sha256, *also):
    return WeightFile(name, _TORCHVISION + name, sha256, also)


def _linear(net, sha256):
    return WeightFile(f"lpips_lin_{net}_v0.1.pth", f"{_LINEAR_LAYERS}{net}.pth", sha256, (f"{net}.pth",))


# For each network, torchvision's classifier and the linear layers of LPIPS v0.1. The first eight digits of the
# checksums of torchvision's files are part of their names.
FILES = {
    "alex": (
        _torchvision(
            "alexnet-owt-7be5be79.pth",
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            *("alexnet-owt-*.pth", "alexnet_features.pth"),
        ),
        _linear("alex", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"),
    ),
    "vgg": (
        _torchvision(
            "vgg16-397923af.pth",
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            *("vgg16-*.pth", "vgg16_features.pth"),
        ),
        _linear("vgg", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"),
    ),
    "squeeze": (
        _torchvision(
            "squeezenet1_1-b8a52dc0.pth",
            "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
            *("squeezenet1_1-*.pth", "squeezenet1_1_features.pth"),
        ),
        _linear("squeeze", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76"),
    ),
}


def find_weights(net, location=None, download=False):
    """Return the paths of the files with a network's weights.

    Args:
        net: ``"alex"``, ``"vgg"`` or ``"squeeze"``.
        location: a folder with the two files of :data:`FILES`, or one file with the state of the lpips
            package's whole model; None takes the cache folder.
        download: fetch what is missing into the folder.

    Raises:
        LPIPSUnavailable: the files are not there.
        UserError: there is no such network, or a download failed.
    """
    if net not in FILES:
        raise UserError(f"LPIPS knows the networks {', '.join(FILES)}, not {net!r}")
    folder = cache_folder("lpips") if location is None else Path(location)
    if folder.is_file():
        return [folder]
    found = {file: find(file, folder) for file in FILES[net]}
    missing = [file for file, path in found.items() if path is None]
    if missing and not download:
        names = " and ".join(file.name for file in missing)
        raise LPIPSUnavailable(
            f"LPIPS ({net}) needs {names} in {folder}: fetch them with --lpips-download, "
            "name their folder with --lpips-weights, or leave LPIPS out with --lpips none"
        )
    for file in missing:
        found[file] = fetch(file, folder)
    return list(found.values())


def load_lpips(net, paths, read):
    """Return the LPIPS distance of a network with the weights of some files.

    Args:
        net: ``"alex"``, ``"vgg"`` or ``"squeeze"``.
        paths: from :func:`find_weights`.
        read: the function that reads a PyTorch file into a dict of NumPy arrays
            (:func:`src.weights.torch_file.read_torch`).

    Returns:
        :class:`src.metrics.lpips.LPIPSDistance`.

    Raises:
        UserError: a file is damaged, or belongs to another network.
    """
    from src.metrics.lpips import lpips_from_arrays  # imports mindspore: only when there is something to load

    arrays = {}
    try:
        for path in paths:
            arrays.update(tensors(read(path)))
        return lpips_from_arrays(net, arrays)
    except UserError as error:
        backbone, linear = (file.name for file in FILES[net])
        raise UserError(
            f"LPIPS weights {' and '.join(map(str, paths))}: {error}; expected {backbone} and {linear}, "
            "or one file of the lpips package's whole model"
        ) from error
