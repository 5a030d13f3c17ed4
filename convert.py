#!/usr/bin/env python3
"""Convert a PyTorch checkpoint: a public SRDiff's, its RRDB pre-training's, or a *_gen.pth of the port of SR3."""

from src.command import parser, run


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--input", required=True, help="the PyTorch file, .ckpt or .pth; PyTorch is not "
                   "needed to read it")  # fmt: skip
    p.add_argument("--output", required=True, help="the MindSpore checkpoint to write, .ckpt")
    p.add_argument("--config", help="settings that the file does not tell; those that it tells must agree")
    p.add_argument("overrides", nargs="*", metavar="key=value", help="settings that the file does not tell, or "
                   "changes of --config's")  # fmt: skip
    return p.parse_intermixed_args()


def main():
    args = arguments()
    from src.commands import convert

    convert.run(args)


if __name__ == "__main__":
    run(main)
