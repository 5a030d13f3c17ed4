"""Compiled graphs kept from one start to the next: MindSpore's compile cache under a key that tells graphs apart.

MindSpore (2.10) finds its files by the order of compilation alone: it takes another configuration's graph, or that of
an older source, without a word (``docs/inference_speed.md``). Here each folder belongs to one key of everything that
the graphs depend on, is written under a temporary name, and is verified before it is used. It holds no weights.
"""

import contextlib
import hashlib
import json
import logging
import os
import platform
import shutil
import sys
from pathlib import Path

from src.host.files import cache_folder

SWITCH = "MINDSPORE_SR_COMPILE_CACHE"  # "off" leaves it out
KEEP = 16  # folders of 0.5 to 3 MB; more are other models, or the source as it was once
_SUMS = "sums.json"
_SOURCE = Path(__file__).resolve().parents[1]
_used = False


def compile_graphs(cells, settings):
    """Compile Cells whose inputs are set, with the cache if there can be one; without it they are compiled as well.

    Once per process, since MindSpore fixes the folder when it first needs it and counts on through a process; and only
    from a script, which MindSpore reads. The user's own ``MS_COMPILER_CACHE_ENABLE`` is left alone.

    Args:
        cells: ``nn.Cell``s with ``set_inputs`` done, in an order that the settings determine.
        settings: text that determines the graphs, together with the source.
    """
    with _cache(settings):
        for cell in cells:
            cell.compile(*cell.get_inputs())


@contextlib.contextmanager
def _cache(settings):
    global _used
    try:
        folder = None if _used or not _possible() else _prepare(settings)
    except (OSError, RuntimeError) as error:  # a read-only home, or none at all
        logging.debug("graphs are compiled without a cache: %s", error)
        folder = None
    if folder is None:
        yield
        return
    _used = True
    final, written = folder
    os.environ |= {"MS_COMPILER_CACHE_ENABLE": "1", "MS_COMPILER_CACHE_PATH": str(written)}
    try:
        yield
    except BaseException:
        shutil.rmtree(written, ignore_errors=True)
        raise
    finally:
        del os.environ["MS_COMPILER_CACHE_ENABLE"], os.environ["MS_COMPILER_CACHE_PATH"]
    _finish(final, written)


def _possible():
    own = {"MS_COMPILER_CACHE_ENABLE", "MS_COMPILER_CACHE_PATH"}
    return os.environ.get(SWITCH) != "off" and not own & set(os.environ) and Path(sys.argv[0]).is_file()


def _prepare(settings):
    """Return the folder of the graphs, and where they are to be written: elsewhere as long as they are not there."""
    final = cache_folder("graphs") / cache_key(settings)
    if final.is_dir() and not _whole(final):
        shutil.rmtree(final)
    if final.is_dir():
        os.utime(final)
        return final, final
    written = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    written.mkdir(parents=True)
    return final, written


def cache_key(settings):
    """A name for all that compiled graphs depend on: versions, MindSpore's variables, the source and the settings."""
    import mindspore

    digest = hashlib.sha256()
    variables = {name: value for name, value in os.environ.items() if name.startswith("MS_")}
    device, mode = mindspore.get_context("device_target"), mindspore.get_context("mode")
    facts = [mindspore.__version__, platform.python_version(), platform.machine(), device, mode, variables, settings]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for path in [Path(sys.argv[0]).resolve(), *sorted(_SOURCE.rglob("*.py"))]:
        digest.update(f"\n{path}\n".encode(errors="surrogateescape") + path.read_bytes())
    return digest.hexdigest()[:32]


def _sums(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _SUMS)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _whole(folder):
    try:
        return json.loads((folder / _SUMS).read_text(encoding="utf-8")) == _sums(folder)
    except (OSError, ValueError):
        return False


def _finish(final, written):
    """Give what was written its name, if it is the first of it; drop what MindSpore found wrong and wrote anew."""
    try:
        if written == final:
            if not _whole(final):
                shutil.rmtree(final)
            return
        if sums := _sums(written):
            (written / _SUMS).write_text(json.dumps(sums), encoding="utf-8")
            with contextlib.suppress(OSError):  # another process was first
                written.rename(final)
        shutil.rmtree(written, ignore_errors=True)
        for old in sorted(_folders(final.parent), key=lambda path: path.stat().st_mtime)[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        logging.debug("compiled graphs are not kept: %s", error)
        shutil.rmtree(written, ignore_errors=True)


def _folders(root):
    return [path for path in root.iterdir() if path.is_dir() and (path / _SUMS).is_file()]
