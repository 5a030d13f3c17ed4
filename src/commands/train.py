"""What train.py does."""

from ..errors import UserError
from ..families.registry import family_of, read_config
from ..host.device import select_device
from ..host.ranks import launched
from .ranks import meet


def run(args):
    """Train as the command line says."""
    config = read_config(args.config, args.overrides)
    if args.vgg_download and launched():
        raise UserError("--vgg-download is for one process: fetch once, with --dry-run, then start the others without")
    select_device(args.device)
    world = meet(args.device)
    if args.vgg_download:
        family_of(config).fetch_weights()
    if args.dry_run:
        from ..training.dry_run import dry_run

        print("\n".join(dry_run(config)))
    else:
        from ..training.run import run_training

        run_training(config, args.output or f"runs/{config.name}", args.resume, world)
