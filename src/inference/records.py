"""What made each result, so that a later run need not make it again."""

import hashlib
import json
import logging
import os
from contextlib import suppress
from pathlib import Path

from ..host.files import write_text
from .jobs import listed

FOLDER = ".mindspore-sr"  # beside the results; what is in it may be deleted


class Records:
    """A small file for each finished picture: what made it, of which source, and the sizes of all that was written.

    ``made`` is what a result depends on, as JSON holds it: the model's SHA-256 and the options that change pixels or
    files. Files are whole or not there, each picture has its own, and it goes before the picture's files are written
    anew and comes after them. So a run may be killed at any time, and several may write to one folder.
    """

    def __init__(self, made):
        self._stamps = {}  # of the sources whose results are being made
        self._made = json.loads(json.dumps({"version": 1, **made}))

    def unfinished(self, jobs, source):
        """Those of the jobs of a picture or folder that are yet to be done; the others are counted and named."""
        root, left, names = source if source.is_dir() else source.parent, [], []
        for job in jobs:
            if self.has(job):
                names.append(os.path.relpath(job.source, root))
            else:
                left.append(job)
        if names:
            logging.info("skipped, since they are done: %d of %d pictures (%s)", len(names), len(jobs), listed(names))
        return left

    def has(self, job):
        """Whether all files of a job are there as the same source, model and options made them."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or one that somebody damaged
            record = json.loads(_place(job).read_text(encoding="utf-8"))
            same = (record["made"], record["source"]) == (self._made, stamp(job.source))
            return same and all(_size(job, name) == size for name, size in record["files"].items())
        return False

    def begin(self, job):
        """Forget a job whose files are about to be written, and keep what its source was."""
        if job.source.is_file():
            self._stamps[job.result] = stamp(job.source)
        with suppress(OSError):
            _place(job).unlink()

    def end(self, job, paths):
        """Remember a job whose files are all written; nothing of one whose source can be read only once."""
        if source := self._stamps.pop(job.result, None):
            files = {p.name: _size(job, p.name) for p in paths}
            record = {"made": self._made, "source": source, "files": files}
            write_text(_place(job), json.dumps(record, indent=1), "record of what is done")


def stamp(path):
    """What tells a file from another, or from what it was: its name, size and time."""
    path = Path(path)
    about = path.stat()
    return [path.name, about.st_size, about.st_mtime_ns]


def _place(job):
    key = hashlib.sha256(job.result.name.encode(errors="surrogateescape")).hexdigest()[:32]  # names may be too long
    return job.result.parent / FOLDER / f"{key}.json"


def _size(job, name):
    return (job.result.parent / name).stat().st_size
