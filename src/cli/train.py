"""Train RRDB (configs/rrdb_*.yaml), SRDiff on it (srdiff_*), SR3 and DDPM (sr3_*, ddpm_*), or a GAN (docs/srgan.md)."""

from ..command import add_device, parser


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument(
        "--config", required=True, metavar="YAML", help="the experiment, such as configs/srdiff_lite_x4.yaml"
    )
    p.add_argument("--output", metavar="RUN", help="the run's folder; by default runs/NAME")
    p.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the run's folder")
    p.add_argument("--dry-run", action="store_true", help="print parameters, memory and the time of a step, then stop")
    p.add_argument(
        "--vgg-download", action="store_true", help="fetch weights that the perceptual loss needs and are missing"
    )
    add_device(p)
    p.add_argument("overrides", nargs="*", metavar="key=value", help="settings, such as train.batch_size=8")
    return p.parse_intermixed_args()


def main():
    args = arguments()
    from ..commands import train

    train.run(args)
