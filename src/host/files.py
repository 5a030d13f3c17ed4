"""Files that are whole or not there (temporary name, fsync, rename), a folder's lock, and the cache folder."""

import contextlib
import errno
import logging
import os
import re
from pathlib import Path

from ..errors import UserError

try:
    import fcntl
except ImportError:  # Windows, where offline.pyz may run, has no such lock
    fcntl = None

LOCK_NAME = ".lock"
CACHE_VARIABLE = "MINDSPORE_SR_CACHE"
_TEMPORARY = re.compile(r"\..*\.(\d+)\.tmp(\.\w+)?")  # what replacing() calls them


@contextlib.contextmanager
def replacing(path, what="file"):
    """Yield a temporary path beside ``path``, whose folder is made; rename it to ``path`` when the block succeeds.

    When the block fails, what was written is removed and ``path`` is as it was before. Where the folder cannot be
    written, or the disk is full, a ``UserError`` calls the file ``what``, such as ``"checkpoint"``.
    """
    path = Path(path)
    # its suffix, since libraries choose a format by it, and the process, so that two never share one; names have an end
    temporary = path.with_name(f".{path.stem[:32]}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
        with contextlib.suppress(OSError):  # some network file systems cannot, and the file itself is whole
            flush(path.parent)
    except OSError as error:
        raise UserError(_explain(error, path, what)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def flush(path):
    """Wait until a file, or a folder's list of names, is on the disk and would survive a power cut."""
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # Windows flushes what may be written alone
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder):
    """Delete the temporary files that processes left in a folder when they were killed.

    Those of a process that runs on this machine stay; in a folder that several machines share, hold its lock.
    """
    for path in Path(folder).glob(".*.tmp*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _is_running(int(match[1])):
            path.unlink(missing_ok=True)


def write_text(path, text, what="file"):
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    with replacing(path, what) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _explain(error, path, what):
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk for the {what} {path}: free some space or name another folder"
    reason = error.strerror or str(error)
    return f"cannot write the {what} {path}: {reason}; name a folder that can be written"


def _is_running(pid):
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return pid != os.getpid()


@contextlib.contextmanager
def locked(folder):
    """Make ``folder`` if needed and hold its lock while the block runs: ``.lock``, with this process's number in it.

    A file system without locks, as some network ones are, is used without, with a warning; it is a ``UserError`` if
    another process holds the lock.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        remedy = "free some space or name another folder"
        raise UserError(f"cannot write to {folder}: {error.strerror}; {remedy}") from error
    try:
        try:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another run is writing to {folder} (process {os.read(lock, 20).decode()}): wait for its end or name "
                "another folder"
            ) from error
        except OSError as error:
            logging.warning("%s cannot be locked (%s): start no second run in it", folder, error.strerror)
        with contextlib.suppress(OSError):  # a full disk: what is written next says so
            os.ftruncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
        try:
            yield
        finally:
            os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def cache_folder(kind):
    """``$MINDSPORE_SR_CACHE/kind``, else ``mindspore-sr/kind`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser() / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mindspore-sr" / kind
