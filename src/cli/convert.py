#!/usr/bin/env python3
"""Convert a PyTorch checkpoint: a public SRDiff's or SR3's, or a network of SRGAN, ESRGAN or Real-ESRGAN.

Or blend two of the project's own checkpoints.
"""

from src.host.signals import end_at_once

if __name__ == "__main__":
    end_at_once()  # while the rest is imported

from src.command import parser, run


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", help="the file, .ckpt, .pth, .pth.tar or .safetensors; PyTorch is not needed")
    source.add_argument("--blend", nargs=2, metavar=("A", "B"), help="two checkpoints of one network, of train.py or "
                        "convert.py: network interpolation, (1 - alpha) A + alpha B")  # fmt: skip
    p.add_argument("--alpha", type=float, metavar="X", help="of --blend, from 0 (A) to 1 (B)")
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
