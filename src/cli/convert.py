"""Convert a PyTorch checkpoint: a public SRDiff's or SR3's, or a network of SRGAN, ESRGAN or Real-ESRGAN.

Or blend two of the project's own checkpoints.
"""

from ..command import parser


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
    from ..commands import convert

    convert.run(args)
