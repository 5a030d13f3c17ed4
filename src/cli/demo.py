"""Open a page in the browser on which pictures are enlarged: a name for ``src/commands/demo.py``."""

from ..commands.demo import main

__all__ = ["main"]
