"""Where things are kept that can be had again: downloaded weights, compiled graphs."""

import os
from pathlib import Path

CACHE_VARIABLE = "MINDSPORE_SR_CACHE"


def cache_folder(kind):
    """Return the folder of one kind of things: ``$MINDSPORE_SR_CACHE/kind``.

    Without that variable it is ``mindspore-sr/kind`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser() / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mindspore-sr" / kind
