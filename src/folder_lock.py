"""One writer to a folder: a lock that the system releases when the process ends, in whatever way."""

import contextlib
import fcntl
import logging
import os
from pathlib import Path

from src.errors import UserError

LOCK_NAME = ".lock"


@contextlib.contextmanager
def locked(folder):
    """Make ``folder`` if needed and hold its lock while the block runs; the empty file ``.lock`` stays in it.

    A file system without locks, as some network ones are, is used without, with a warning.

    Raises:
        UserError: another process holds the lock, or the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror}; free some space or name another folder"
        ) from error
    try:
        _take(lock, folder)
        yield
    finally:
        os.close(lock)


def _take(lock, folder):
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(f"another run is writing to {folder}: wait for its end or name another folder") from error
    except OSError as error:
        logging.warning("%s cannot be locked (%s): start no second run in it", folder, error.strerror)
