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

from src.errors import UserError
from src.export.artefact import Artefact, file_hash, read_description
from src.host.files import CACHE_VARIABLE, cache_folder

LIMIT = 2 << 30  # bytes of all exports together
_SOURCE = Path(__file__).resolve().parents[1]
SHIPPED = _SOURCE.parent / "checkpoints"  # the project's own models, whose exports come with them, in exports/
_ABANDONED = 24 * 3600  # seconds; a process that was killed has left its folder


class CannotExport(UserError):
    """A checkpoint's network has no export that ONNX Runtime runs."""


def kept_export(checkpoint, write, ema=True, keep=True):
    """Return the export of a checkpoint's file as an :class:`Artefact` that runs on the CPU; the first use makes it.

    ``write(path)`` exports it to ``X.onnx``, with the weights that ``ema`` says, see ``src.build.load_model``. With
    ``keep`` it is looked for in the cache folder, and left there. Raises :class:`CannotExport`.
    """
    digest = file_hash(checkpoint)
    if shipped := _shipped(Path(checkpoint), digest):
        return shipped
    entry = cache_folder("exports") / export_key(digest, ema)
    if keep:
        with contextlib.suppress(UserError, OSError):  # not there, or damaged: made anew
            artefact = _open(entry)
            os.utime(entry)
            return artefact
    begun = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder, "model.onnx"))
            artefact = _open(folder)
            seconds = time.perf_counter() - begun
            if keep:
                _keep(folder, entry)
    except OSError as error:
        raise CannotExport(f"no temporary file can be written ({error.strerror})") from error
    except UserError as error:
        raise error if isinstance(error, CannotExport) else CannotExport(str(error)) from error
    logging.info("exported %s for ONNX Runtime in %.0f s%s", checkpoint, seconds, "; later starts find it" * keep)
    return artefact


def export_key(digest, ema):
    """A name for all that an export depends on: the checkpoint's SHA-256, which weights, and this source."""
    key = hashlib.sha256(json.dumps([digest, ema]).encode())
    for path in sorted(_SOURCE.rglob("*.py")):
        key.update(path.read_bytes())
    return key.hexdigest()[:32]


def _open(path):
    return Artefact(path, "onnxruntime", "CPU")


def _shipped(checkpoint, digest):
    """The export that comes with one of the project's own checkpoints, if it is of this very file."""
    if checkpoint.resolve().parent == SHIPPED:
        path = SHIPPED / "exports" / f"{checkpoint.stem}.onnx"
        with contextlib.suppress(UserError):
            if read_description(path)["checkpoint"]["sha256"] == digest:
                return _open(path)
    return None


def _keep(folder, entry):
    """Copy an export to its place in the cache, whole or not at all."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        _make_room(entry.parent, _size(folder))
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


def _make_room(cache, size):
    """Drop what was used longest ago until ``size`` bytes more are within the limit."""
    entries = sorted((path for path in cache.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for path in [path for path in entries if path.name.startswith(".")]:
        entries.remove(path)
        if time.time() - path.stat().st_mtime > _ABANDONED:
            shutil.rmtree(path, ignore_errors=True)
    sizes = [_size(path) for path in entries]
    while entries and sum(sizes) + size > LIMIT:
        shutil.rmtree(entries.pop(0), ignore_errors=True)
        sizes.pop(0)


def _size(folder):
    return sum(path.stat().st_size for path in Path(folder).iterdir())
