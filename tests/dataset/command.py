"""The command div2k_preprocess.py as these tests run it."""

import subprocess
import sys
from pathlib import Path

from src.dataset.div2k_preprocess import main

SCRIPT = Path(__file__).resolve().parents[2] / "src/dataset/div2k_preprocess.py"
SMALL = ["--patch-size", "32", "--stride", "24"]


def run(root, output, *options, dataset="div2k", workers="1"):
    """Run it in this process, for small patches; return its status."""
    return _main("--root", root, "--dataset", dataset, "--output", output, "--workers", workers, *SMALL, *options)


def run_squares(root, output, *options, dataset="folder", sizes="8,32"):
    """Run it in this process, for squares; return its status."""
    return _main("--root", root, "--dataset", dataset, "--output", output, "--sizes", sizes, "--workers", "1", *options)


def _main(*arguments):
    return main([str(argument) for argument in arguments])


def script(*arguments, **options):
    """Run it as a process; return that."""
    arguments = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, **options)


def files(folder):
    """Map the name of every file of an output to its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
