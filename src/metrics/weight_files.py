"""Files of other people's weights that are no part of this project: where they are found, and their download."""

import hashlib
import http.client
import logging
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from tqdm import tqdm

from ..errors import UserError
from ..host.files import cache_folder, replacing
from ..weights.torch_file import read_torch

_CHUNK = 1 << 18
_LPIPS = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/"


@dataclass(frozen=True)
class WeightFile:
    name: str  # in the cache folder
    url: str
    sha256: str  # of the published bytes, hexadecimal; or its beginning, where no more is published
    also: tuple[str, ...]  # patterns of other names under which the same tensors are found


def _torchvision(model, sha256):  # which checks the eight digits in the name alone
    name = f"{model}-{sha256[:8]}.pth"
    also = f"{model}-*.pth", f"{model.split('-')[0]}_features.pth"
    return WeightFile(name, f"https://download.pytorch.org/models/{name}", sha256, also)


def _pytorch_fid(model, sha256):
    name = f"pt_{model}-{sha256[:8]}.pth"
    site = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    return WeightFile(name, site + name, sha256, (f"*{model}*.pth",))


def _linear(net, sha256):
    return WeightFile(f"lpips_lin_{net}_v0.1.pth", f"{_LPIPS}{net}.pth", sha256, (f"{net}.pth",))


_VGG16 = _torchvision("vgg16", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0")
# For LPIPS, torchvision's classifier and the linear layers of LPIPS v0.1.
FILES = {
    "alex": (
        _torchvision("alexnet-owt", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"),
        _linear("alex", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"),
    ),
    "vgg": (
        _VGG16,
        _linear("vgg", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"),
    ),
    "squeeze": (
        _torchvision("squeezenet1_1", "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b"),
        _linear("squeeze", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76"),
    ),
    "vgg16": (_VGG16,),
    "vgg19": (_torchvision("vgg19", "dcbb9e9d"),),
    "inception": (
        _pytorch_fid("inception-2015-12-05", "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"),
    ),
}
LPIPS_NETS = tuple(net for net, files in FILES.items() if len(files) == 2)


class WeightsMissing(UserError):
    """The weights are not on this machine; the message says how to get them."""


def find_weights(net, location=None, download=False, remedy=None):
    """Return the paths of the files with the weights of ``net``, one of :data:`FILES`, or raise WeightsMissing.

    ``location`` is a folder with the files, under their own or other usual names, or one file with all tensors (of
    LPIPS, the state of the lpips package's whole model); None takes the cache folder, which ``download`` completes.
    ``remedy`` is what the error tells the user to do, by default with eval.py's options.
    """
    if net not in FILES:
        raise UserError(f"there are weights of {', '.join(FILES)}, not {net!r}")
    folder = cache_folder("inception" if net == "inception" else "lpips") if location is None else Path(location)
    if folder.is_file():
        return [folder]
    paths = {file: find(file, folder) for file in FILES[net]}
    missing = [file for file, path in paths.items() if path is None]
    if missing and not download:
        who, option = (f"LPIPS ({net}) needs" if net in LPIPS_NETS else f"{net.upper()} needs"), "lpips"
        if net == "inception":
            who, option = "FID and IS need", "fid"
        remedy = remedy or (
            f"fetch what is missing with --{option}-download, name a folder or file with --{option}-weights, or do "
            f"without by --{option} none"
        )
        raise WeightsMissing(f"{who} {' and '.join(file.name for file in missing)} in {folder}: {remedy}")
    for file in missing:
        paths[file] = fetch(file, folder)
    return list(paths.values())


def find(file, folder):
    """Return the path of a file in a folder, under its own name before any other, or None."""
    patterns = (file.name, *file.also)
    return next((path for each in patterns for path in sorted(folder.glob(each)) if path.is_file()), None)


def fetch(file, folder, timeout=30):
    """Download a :class:`WeightFile` into a folder, where it appears whole, checked, or not at all; return its path.

    The usual proxy variables (``https_proxy``) are honoured; ``timeout`` seconds of silence end the attempt.
    """
    path = folder / file.name
    logging.info("fetching %s", file.url)
    with replacing(path, what="weights") as temporary, open(temporary, "wb") as output:
        digest = hashlib.sha256()
        for chunk in _receive(file, timeout):
            digest.update(chunk)
            output.write(chunk)
        if not digest.hexdigest().startswith(file.sha256):
            raise UserError(
                f"{file.url} gave a file with the checksum {digest.hexdigest()[:8]}…, expected {file.sha256[:8]}…: "
                f"try again, or bring {file.name} from elsewhere into {folder}"
            )
    return path


def _receive(file, timeout):
    """Yield the bytes of a file in pieces, with a progress bar; raise UserError for whatever the network does."""
    received = 0
    try:
        request = Request(file.url, headers={"User-Agent": "mindspore-sr"})
        with urlopen(request, timeout=timeout) as response:
            total = int(response.headers.get("Content-Length") or 0) or None
            with tqdm(total=total, desc=file.name, unit="B", unit_scale=True) as bar:
                while chunk := response.read(_CHUNK):
                    received += len(chunk)
                    bar.update(len(chunk))
                    yield chunk
        if total and received < total:
            raise ConnectionError(f"the connection ended after {received} of {total} bytes")
    # ValueError: a proxy variable or a Content-Length that makes no sense.
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise UserError(
            f"cannot download {file.url}: {reason}; check the network and the proxy, or bring the file from elsewhere"
        ) from error


def build_from_files(net, paths, build):
    """Return ``build(arrays)`` of all tensors in a network's files, {name: array}; a UserError names the files."""
    arrays = {}
    try:
        for path in paths:
            content = read_torch(path)
            if not isinstance(content, dict):
                raise UserError(f"expected a dict of tensors, found a {type(content).__name__}")
            arrays |= content
        return build(arrays)
    except UserError as error:
        title, source = net.upper(), " of torchvision"
        if net in LPIPS_NETS:
            title, source = "LPIPS", ", or one file of the lpips package's whole model"
        elif net == "inception":
            title, source = "Inception", " of pytorch-fid"
        files, expected = " and ".join(map(str, paths)), " and ".join(file.name for file in FILES[net])
        raise UserError(f"{title} weights {files}: {error}; expected {expected}{source}") from error
