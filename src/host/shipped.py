"""What comes with the project: ``checkpoints/`` and ``configs/``, in the installed package, else beside src/."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
HOUSE = _PACKAGE if (_PACKAGE / "checkpoints").is_dir() else _PACKAGE.parent
CHECKPOINTS = HOUSE / "checkpoints"


def shipped(path):
    """The ``Path``, or where that is not, ``checkpoints/…`` and ``configs/…`` of the project itself."""
    path = Path(path)
    if os.path.exists(path):
        return path
    own = path.parts[:1] in (("checkpoints",), ("configs",)) and ".." not in path.parts
    return HOUSE / path if own and os.path.exists(HOUSE / path) else path
