"""Exports of checkpoints for ONNX Runtime, kept from one start to the next in the user's cache folder."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

from ..errors import UserError
from ..host.files import CACHE_VARIABLE, cache_folder
from ..host.shipped import CHECKPOINTS
from .artefact import Artefact, file_hash, read_description

LIMIT = 2 << 30  # bytes of all exports together
_SOURCE = Path(__file__).resolve().parents[1]
_ABANDONED = 24 * 3600  # seconds; a process that was killed has left its folder


class CannotExport(UserError):
    """A checkpoint's network has no export that ONNX Runtime runs."""


def kept_export(checkpoint, write, ema=True, keep=True):
    """Return the export of a checkpoint's file as an :class:`Artefact` that runs on the CPU; the first use makes it.

    ``write(path)`` exports it to ``X.onnx``, with the weights that ``ema`` says, see ``src.build.load_model``. With
    ``keep`` it is looked for in the cache folder, and left there. Raises :class:`CannotExport`.
    """
    checkpoint = Path(checkpoint)
    digest = _hash(checkpoint)
    if shipped := _shipped(checkpoint, digest):
        return shipped
    entry = cache_folder("exports") / export_key(digest, ema)
    if keep:
        with contextlib.suppress(UserError, OSError):  # not there, or damaged: made anew
            artefact = _open(entry, checkpoint)
            with contextlib.suppress(OSError):  # a cache that may be read alone
                os.utime(entry)
            return artefact
    begun = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder, "model.onnx"))
            artefact = _opened(folder, checkpoint)
            seconds = time.perf_counter() - begun
            # not where a training has put other weights in the file meanwhile
            kept = keep and _hash(checkpoint) == digest and _keep(folder, entry)
    except OSError as error:
        raise CannotExport(f"no temporary file can be written ({error.strerror})") from error
    logging.info("exported %s for ONNX Runtime in %.0f s%s", checkpoint, seconds, "; later starts find it" * kept)
    return artefact


def _hash(checkpoint):
    try:
        return file_hash(checkpoint)
    except OSError as error:
        raise UserError(f"{checkpoint} cannot be read ({error.strerror}): name a file that you may read") from error


def export_key(digest, ema):
    """A name for all that an export depends on: the checkpoint's SHA-256, which weights, and this source."""
    key = hashlib.sha256(json.dumps([digest, ema]).encode())
    for path in sorted(_SOURCE.rglob("*.py")):
        key.update(path.read_bytes())
    return key.hexdigest()[:32]


def _open(path, checkpoint):
    return Artefact(path, "onnxruntime", "CPU", name=checkpoint)


def _opened(path, checkpoint):
    """What was just exported."""
    try:
        return _open(path, checkpoint)
    except UserError as error:
        raise CannotExport(str(error)) from error


def _shipped(checkpoint, digest):
    """The export that comes with one of the project's own checkpoints, if it is of this very file."""
    if checkpoint.resolve().parent == CHECKPOINTS:
        path = CHECKPOINTS / "exports" / f"{checkpoint.stem}.onnx"
        with contextlib.suppress(UserError, OSError):
            if read_description(path)["checkpoint"]["sha256"] == digest:
                return _open(path, checkpoint)
    return None


def _keep(folder, entry):
    """Copy an export to its place in the cache, whole or not at all; return whether it is there."""
    if (size := _size(folder)) > LIMIT:
        return False
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        _make_room(entry.parent, size)
        written = tempfile.mkdtemp(prefix=".", dir=entry.parent)
        try:
            shutil.copytree(folder, written, dirs_exist_ok=True)
            shutil.rmtree(entry, ignore_errors=True)  # a damaged one
            os.rename(written, entry)
        finally:
            shutil.rmtree(written, ignore_errors=True)
    except (OSError, shutil.Error) as error:
        if not entry.is_dir():  # no other process was first
            reason = getattr(error, "strerror", None) or "no space or no permission"
            logging.warning(
                "the export cannot be kept in %s (%s), every start makes it anew: name another folder with %s",
                entry.parent, reason, CACHE_VARIABLE,
            )  # fmt: skip
    return entry.is_dir()


def _make_room(cache, size):
    """Drop what was used longest ago until ``size`` bytes more are within the limit."""
    entries = []
    for path in cache.iterdir():
        with contextlib.suppress(OSError):  # another process has renamed or dropped it
            used = path.stat().st_mtime
            if not path.name.startswith("."):
                entries.append((used, _size(path), path))
            elif time.time() - used > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)
    total = size + sum(taken for _, taken, _ in entries)
    for _, taken, path in sorted(entries):
        if total > LIMIT:
            shutil.rmtree(path, ignore_errors=True)
            total -= taken


def _size(folder):
    return sum(path.stat().st_size for path in Path(folder).iterdir())
