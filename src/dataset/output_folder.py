"""The folder that preprocessing writes to: who may write it, what is in it already, what is cleared away."""

import contextlib
import os
import re
from pathlib import Path

from src.dataset.manifest import SPLITS, VERSION, part_names, read_manifest, write_manifest
from src.dataset.plan import same_plan
from src.dataset.pngs import PARTIAL, is_whole, output_paths
from src.errors import UserError
from src.folder_lock import LOCK_NAME
from src.folder_lock import locked as lock_held

_IMAGE = re.compile(r"image_[0-9]{4,}\.png")
_PARTIAL_IMAGE = re.compile(rf"image_[0-9]{{4,}}\.png\.[0-9]+{re.escape(PARTIAL)}")  # left by a killed run
_PART = re.compile(r"X[0-9]+|(hr|lr)_[0-9]+|sr_[0-9]+_[0-9]+")  # of a split, whatever the options were
_PARTIAL_MANIFEST = re.compile(r"\.manifest\.[0-9]+\.tmp\.json")


@contextlib.contextmanager
def locked(output):
    """Hold the folder's lock (:mod:`src.folder_lock`).

    Raises:
        UserError: another process holds it, or the system refuses something while it is held, as on a full disk.
    """
    try:
        with lock_held(output):
            yield
    except OSError as error:
        raise UserError(
            f"cannot write to {output}: {error.strerror}; free some space or name another folder"
        ) from error


def check_apart(output, source_folders):
    """Refuse an output inside a folder that pictures are read from.

    Raises:
        UserError: it is.
    """
    output = Path(output).resolve()
    for folder in source_folders:
        if output.is_relative_to(folder := folder.resolve()):
            raise UserError(f"the output {output} lies in {folder}, whose pictures are read: name a folder outside it")


def check_ours(output):
    """Refuse a folder with content that was not written by preprocessing.

    Raises:
        UserError: it is one, or ``output`` is a file.
    """
    if output.exists() and not output.is_dir():
        raise UserError(f"the output {output} is a file: name a folder")
    if not output.is_dir() or read_manifest(output) is not None:
        return
    if any(entry.name != LOCK_NAME and not _PARTIAL_MANIFEST.fullmatch(entry.name) for entry in output.iterdir()):
        raise UserError(f"{output} is not empty and was not written by this command: name a new folder")


def begin(output, plan, force):
    """Bring the locked output into the state in which the pictures of ``plan`` can be added to it.

    What an earlier run of the same plan has written stays, unless ``force``. The manifest, marked incomplete, is the
    first thing a run writes, so whatever is in the folder can be told to be ours.

    Raises:
        UserError: the folder holds something else, or the output of another plan and ``force`` is False.
    """
    check_ours(output)
    known = read_manifest(output)
    cleared = known is not None and "splits" not in known
    same = known is not None and not cleared and known["version"] == VERSION and same_plan(known, plan)
    if known is not None and (force or not same):
        if not force and not cleared:
            raise UserError(f"{output} differs in pictures, options or version: add --force to replace it")
        # a manifest without splits means "being cleared": if this is cut short, the next run starts here again
        write_manifest(output, {"complete": False})
        _clear(output)
    write_manifest(output, plan)
    for folder in _folders(output, plan):
        folder.mkdir(parents=True, exist_ok=True)
    _remove_partial(output, plan)


def finish(output, plan):
    """Make the output safe against a power cut, then mark its manifest complete."""
    _remove_partial(output, plan)  # a killed run's worker may have died after ``begin``
    os.sync()
    plan["complete"] = True
    write_manifest(output, plan)


def _remove_partial(output, plan):
    """Remove the half-written files that a killed run has left."""
    _remove(output, _PARTIAL_MANIFEST)
    for folder in _folders(output, plan):
        _remove(folder, _PARTIAL_IMAGE)


def _folders(output, plan):
    return [output / split / part for split in plan["splits"] for part in part_names(plan["options"])]


def is_done(output, split, entry, plan):
    """Return whether all pictures of one entry of the plan are there, whole."""
    numbers = output_paths(output / split, entry, plan["options"], plan["digits"])
    return all(is_whole(path) for paths in numbers for path in paths)


def _clear(output):
    """Remove the pictures of an earlier output, and nothing else."""
    for split in SPLITS:
        for folder in filter(_is_part, (output / split).glob("*")):
            _remove(folder, _PARTIAL_IMAGE)
            _remove(folder, _IMAGE)
            with contextlib.suppress(OSError):  # something else is in it
                folder.rmdir()
        with contextlib.suppress(OSError):  # the same, or there is none
            (output / split).rmdir()


def _is_part(folder):
    return _PART.fullmatch(folder.name) and folder.is_dir()


def _remove(folder, pattern):
    """Remove the files of a folder whose names match."""
    for entry in list(folder.iterdir()):
        if pattern.fullmatch(entry.name):
            entry.unlink()
