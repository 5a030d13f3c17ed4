"""Files of other people's weights that are no part of this project: where they are found, and their download."""

import hashlib
import http.client
import logging
from dataclasses import dataclass
from urllib.request import Request, urlopen

from tqdm import tqdm

from src.atomic_file import replacing
from src.errors import UserError

_CHUNK = 1 << 18


@dataclass(frozen=True)
class WeightFile:
    """A file of weights.

    Attributes:
        name: its name in the cache folder.
        url: where it is published.
        sha256: the checksum of the published bytes, as hexadecimal digits.
        also: patterns of other names under which the same tensors are found.
    """

    name: str
    url: str
    sha256: str
    also: tuple[str, ...]


def find(file, folder):
    """Return the path of a file in a folder, under its own name before any other, or None."""
    for pattern in (file.name, *file.also):
        for path in sorted(folder.glob(pattern)):
            if path.is_file():
                return path
    return None


def fetch(file, folder, timeout=30):
    """Download a file, check it and put it into a folder; it appears there whole or not at all.

    The usual proxy variables (``https_proxy``) are honoured.

    Args:
        file: WeightFile.
        folder: Path; made if needed.
        timeout: seconds of silence after which the server is given up.

    Returns:
        The path of the file.

    Raises:
        UserError: the server cannot be reached or has no such file, what came is not the published file, or
            the folder cannot be written.
    """
    path = folder / file.name
    logging.info("fetching %s", file.url)
    with replacing(path, what="weights") as temporary, open(temporary, "wb") as output:
        digest = hashlib.sha256()
        for chunk in _receive(file, timeout):
            digest.update(chunk)
            output.write(chunk)
        if digest.hexdigest() != file.sha256:
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


def tensors(content):
    """Return what was read from a file of weights, if it is a dict.

    Raises:
        UserError: it is something else.
    """
    if not isinstance(content, dict):
        raise UserError(f"expected a dict of tensors, found a {type(content).__name__}")
    return content
