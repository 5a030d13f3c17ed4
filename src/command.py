"""What every command shares: a parser, options, logging on stderr, and errors as one line with exit status 2."""

import argparse
import atexit
import contextlib
import importlib.util
import logging
import math
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

from .errors import UserError, one_line
from .host.device import DEVICES, device_name, prepare
from .host.ranks import is_scheduler, launched
from .host.shipped import CHECKPOINTS
from .host.signals import answer_with, die_with_parent, raise_once

SRDIFF = CHECKPOINTS / "srdiff_lite_x4.ckpt"
RRDB = CHECKPOINTS / "rrdb_lite_x4.ckpt"
FEWSTEP = CHECKPOINTS / "srdiff_lite_x4_fewstep.ckpt"


class Preset(NamedTuple):
    """A model of the project, and how many steps it takes; None: its own."""

    path: Path
    steps: int | None = None


PRESETS = {  # by purpose
    "fast": Preset(FEWSTEP),
    "best": Preset(FEWSTEP, 2),
    "photo": Preset(CHECKPOINTS / "rrdb_photo_gan_lite_x4.ckpt"),
}


class _Parser(argparse.ArgumentParser):
    program = None  # what usage and errors call the command, where that is not the script's name

    def error(self, message):
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults where there are any."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, False) else super()._get_help_string(action)


def call_program(name):
    """Have usage and errors call the command by a name that is no script's."""
    _Parser.program = name


def parser(description, **options):
    """An argument parser with one-line errors and defaults shown in its help."""
    return _Parser(description=description, formatter_class=_HelpFormatter, **{"prog": _Parser.program} | options)


def add_device(arguments):
    """Add ``--device``, in any letter case; without it the first of Ascend, GPU, CPU that works is taken."""
    text = "where to run; by default the first that works"
    arguments.add_argument("--device", type=device_name, choices=DEVICES, help=text)


def add_runtime(arguments):
    """Add ``--runtime`` and ``--no-cache``, see ``src.build.load_upscaler``."""
    text = "what runs the networks; by default onnxruntime for a checkpoint on the CPU and for .onnx, else mindspore"
    arguments.add_argument("--runtime", choices=("onnxruntime", "mindspore", "mindspore_lite"), help=text)
    text = "export a checkpoint for onnxruntime anew, and keep nothing in the cache folder"
    arguments.add_argument("--no-cache", action="store_true", help=text)


def add_ema(arguments):
    """Add ``--no-ema``."""
    text = "of a step_N.ckpt, take the weights and not their moving average"
    arguments.add_argument("--no-ema", action="store_true", help=text)


def add_sampling(arguments, samplers):
    """Add the options of sampling, of samplers with these names; None, where one is not given, is the model's own."""
    group = arguments.add_argument_group("sampling", "by default as the model's own settings say")
    group.add_argument("--sampler", metavar="S", help=f"one of {', '.join(samplers)}")
    group.add_argument("--steps", type=int, metavar="N", help="number of steps, from 1 up")
    text = (
        "where the steps lie: uniform, trailing, quadratic, logsnr or linear_beta; or a schedule of its own, {linear,"
        "quadratic,geometric}_beta:FIRST,LAST or betas:B1,B2,… (docs/sampling.md)"
    )
    group.add_argument("--spacing", help=text)
    group.add_argument("--eta", type=float, help="of ddim: 0 is deterministic, 1 has the noise of ddpm")
    text = "scales all noise: 1 is the full sample, towards 0 comes the most faithful picture"
    group.add_argument("--temperature", type=float, help=text)
    text = "make the result agree with the LR picture: reduced, it is that picture"
    group.add_argument("--consistency", action=argparse.BooleanOptionalAction, help=text)


def given_sampling(args):
    """The options of :func:`add_sampling` that were given, as a dict."""
    names = ("sampler", "steps", "spacing", "eta", "temperature", "consistency")
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def add_outscale(arguments):
    """Add ``--outscale``, see ``src.inference.files.upscale_files``."""
    text = (
        "the result is S times as large as the input, any number above 0: the network's picture, which is what is cut "
        "into tiles, is resized by bicubic at the end"
    )
    arguments.add_argument("--outscale", type=factor, metavar="S", help=text)


def add_format(arguments):
    """Add ``--format`` and ``--quality``, see ``src.inference.jobs.plan_jobs``, and ``--max-pixels``."""
    text = "of results in a folder, by default png; source: as the picture is named, or png where that is not written"
    arguments.add_argument("--format", choices=("jpg", "png", "webp", "source"), help=text)
    text = "from 1 to 100, of .jpg, by default 95, and of .webp, by default lossless"
    arguments.add_argument("--quality", type=int, metavar="N", help=text)
    text = "of a picture of --input, in millions; more are refused (default: %(default)s)"
    arguments.add_argument("--max-pixels", type=factor, metavar="N", default=500, help=text)


def add_results(arguments):
    """Add ``--samples``, ``--batch`` and ``--compare``."""
    text = (
        "write NAME_1 to NAME_K, their mean, a heat map of their deviation (NAME_std), and once more the one nearest "
        "to the mean (NAME_best)"
    )
    arguments.add_argument("--samples", type=int, default=1, metavar="K", help=text)
    text = "pictures of one size upscaled together, at most"
    arguments.add_argument("--batch", type=int, default=4, help=text)
    text = "also write NAME_compare.png: LR | bicubic | SR"
    arguments.add_argument("--compare", action="store_true", help=text)


def add_folder(arguments):
    """Add ``--recursive`` and ``--skip-existing``, of folders of pictures."""
    text = "the pictures in sub-folders, too; results keep their places below --output"
    arguments.add_argument("--recursive", action="store_true", help=text)
    text = "leave out pictures whose results are there, whole, and made by the same options and model"
    arguments.add_argument("--skip-existing", action="store_true", help=text)


def what_makes(args, models):
    """What results depend on, for ``src.inference.records.Records``, but for what infer.py alone has.

    How large the tiles become that the memory asks for is no part of it, nor the device, nor the runtime: they change
    roundings.
    """
    names = ("seed", "samples", "compare", "quality", "outscale", "tile", "halo", "fixed_tiles")
    return {"models": models, "sampling": given_sampling(args)} | {name: getattr(args, name) for name in names}


def factor(text):
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")


def add_tiling(arguments):
    """Add the options that say how large pictures are cut, see ``src.inference.tile_size.TileOptions``."""
    group = arguments.add_argument_group("tiles", "large pictures are cut into overlapping tiles that fit the memory")
    text = "what the process may use, on a GPU or an Ascend what the device may; by default most of what is free"
    group.add_argument("--max-memory", metavar="GB", type=float, help=text)
    text = "largest side of a tile in output pixels, its halo included; 0 never cuts; by default what the memory allows"
    group.add_argument("--tile", metavar="N", type=int, help=text)
    text = "overlap on each side of a tile in output pixels, by default 48"
    group.add_argument("--halo", metavar="N", type=int, help=text)
    text = "all tiles of one size, of --tile or 512, so that one graph is compiled; by default on an Ascend"
    group.add_argument("--fixed-tiles", action=argparse.BooleanOptionalAction, help=text)


def quieten():
    """Log warnings only: for all but the first of several processes that do the same."""
    logging.getLogger().setLevel(logging.WARNING)


def run(main):
    """Run ``main()`` and exit: 0, 2 with one line for a user's mistake, 130 after Ctrl-C, 143 after SIGTERM.

    Of many pictures of which some could not be done the status is 1.
    """
    status, signals = [], raise_once()

    def end(*_):
        """End the process with its status, if that is known: the work is done."""
        if status:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status[0])

    try:
        # Before mindspore's own, to come after them: what is left are destructors, which in some ranks crash.
        atexit.register(answer_with, signal.SIG_IGN)
        if launched():
            die_with_parent()  # msrun leaves its processes behind where it is killed
            atexit.register(end)
        _prepare()
        status.append(main() or 0)
    except BaseException as error:
        if signals or isinstance(error, KeyboardInterrupt):  # of which a library may have made an error of its own
            answer_with(end)
            print("interrupted", file=sys.stderr)
            status.append(128 + (signals or [signal.SIGINT])[0])
        elif isinstance(error, UserError):
            print(f"error: {one_line(error)}", file=sys.stderr)
            status.append(error.status)
        elif isinstance(error, ModuleNotFoundError) and _is_missing(error.name):
            remedy = "-r requirements.txt" if __package__ == "src" else '"mindspore-sr[train]"'
            if not os.path.isfile(__file__):  # offline.pyz
                remedy = error.name
            print(f"error: this needs {error.name}, which is not installed: pip install {remedy}", file=sys.stderr)
            status.append(2)
        elif isinstance(error, BrokenPipeError):
            status.append(1)
        else:
            if isinstance(error, SystemExit):
                status.append(error.code)
            raise
    finally:
        answer_with(end)
    sys.exit(status[0])


def _is_missing(module):
    """Whether nothing of a module's package is installed; else its absence is a fault of the program."""
    return bool(module) and importlib.util.find_spec(module.partition(".")[0]) is None


def _prepare():
    prepare()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # "–" and non-ASCII file names on an ASCII terminal
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if launched() and not is_scheduler():
        logging.info("rank %s is process %d", os.environ.get("RANK_ID"), os.getpid())  # scripts/msrun.sh looks for it
    warnings.filterwarnings("ignore", module="PIL")  # a damaged picture gets one line of ours, not two
