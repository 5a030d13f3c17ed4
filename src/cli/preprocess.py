"""Prepare pictures for training: a name for ``src/dataset/div2k_preprocess.py``, which is run at its own path, too."""

from ..dataset.div2k_preprocess import main

__all__ = ["main"]
