"""The command ``mindspore-sr``; the scripts in the project's folder start the same."""

import importlib
import sys

from .host.signals import end_at_once

COMMANDS = {  # modules of cli/
    "infer": "upscale pictures",
    "train": "train a model",
    "eval": "score models on pictures",
    "export": "write a model as MindIR, ONNX or AIR",
    "convert": "read a PyTorch checkpoint, or blend two of ours",
    "preprocess": "prepare pictures for training",
    "demo": "open a page in the browser to enlarge pictures on",
}


def main():
    """Start the command that the first argument names; ``mindspore-sr NAME`` then stands for the program's name."""
    end_at_once()
    from .command import call_program, parser

    p = parser("Diffusion super-resolution for MindSpore.", prog="mindspore-sr")
    commands = p.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands, each with --help")
    for command, does in COMMANDS.items():
        commands.add_parser(command, help=does, add_help=False)
    name = p.parse_args(sys.argv[1:2]).command
    del sys.argv[1]  # not its name: MindSpore's graph cache opens the file that is named there
    call_program(f"mindspore-sr {name}")
    start(name)


def start(name):
    """Run a command with the arguments in ``sys.argv``, and exit."""
    end_at_once()  # while the rest is imported
    from .command import run

    run(importlib.import_module(f".cli.{name}", __package__).main)


if __name__ == "__main__":
    main()
