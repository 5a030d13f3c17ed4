"""What train.py does."""

from src.commands.ranks import meet
from src.families.registry import read_config
from src.host.device import select_device


def run(args):
    """Train as the command line says."""
    config = read_config(args.config, args.overrides)
    select_device(args.device)
    world = meet(args.device)
    if args.dry_run:
        from src.training.trainer import dry_run

        print("\n".join(dry_run(config)))
    else:
        from src.training.run import run_training

        run_training(config, args.output or f"runs/{config.name}", args.resume, world)
