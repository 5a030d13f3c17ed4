#!/usr/bin/env python3
"""``mindspore-sr export``, in the project's folder; its arguments are in src/cli/export.py."""

from src.__main__ import start

if __name__ == "__main__":
    start("export")
