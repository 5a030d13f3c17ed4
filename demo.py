#!/usr/bin/env python3
"""``mindspore-sr demo``, in the project's folder; its arguments are in src/commands/demo.py."""

from src.__main__ import start

if __name__ == "__main__":
    start("demo")
