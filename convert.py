#!/usr/bin/env python3
"""``mindspore-sr convert``, in the project's folder; its arguments are in src/cli/convert.py."""

from src.__main__ import start

if __name__ == "__main__":
    start("convert")
