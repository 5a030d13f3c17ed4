"""What every command shares: the device flag, logging on stderr, and errors as one line with exit status 2."""

import argparse
import logging
import sys
import warnings

from src.errors import UserError
from src.interrupts import Terminated
from src.runtime import DEVICES, prepare


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def parser(description, **options):
    """Return an argument parser with one-line errors and defaults shown in its help."""
    return _Parser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, **options)


def add_device(arguments):
    """Add ``--device``; without it the first of Ascend, GPU, CPU that works is taken."""
    arguments.add_argument("--device", choices=DEVICES, help="where to run; by default the first that works")


def add_ema(arguments):
    """Add ``--no-ema``."""
    arguments.add_argument(
        "--no-ema", action="store_true", help="of a step_N.ckpt, take the weights and not their moving average"
    )


def quieten():
    """Log warnings only: for all but the first of several processes that do the same."""
    logging.getLogger().setLevel(logging.WARNING)


def run(main):
    """Run ``main()`` and exit: 0, 2 with one line for a user's mistake, 130 after Ctrl-C.

    143 after a SIGTERM, where that raises an exception (:mod:`src.interrupts`).
    """
    prepare()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # "–" and non-ASCII file names on an ASCII terminal
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    warnings.filterwarnings("ignore", module="PIL")  # a damaged picture gets one line of ours, not two
    try:
        sys.exit(main() or 0)
    except UserError as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except KeyboardInterrupt as error:
        print("interrupted", file=sys.stderr)
        sys.exit(143 if isinstance(error, Terminated) else 130)
