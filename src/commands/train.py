"""What train.py does."""

from src.command import quieten
from src.families.registry import read_config
from src.host.device import select_device


def run(args):
    """Train as the command line says; the first of several ranks speaks for all."""
    config = read_config(args.config, args.overrides)
    device = select_device(args.device)
    from src.training.distributed import join, leave_signals_to_first

    world = join(device)
    leave_signals_to_first(world)
    if not world.is_first:
        quieten()
    if args.dry_run:
        from src.training.trainer import dry_run

        print("\n".join(dry_run(config)))
    else:
        from src.training.run import run_training

        run_training(config, args.output or f"runs/{config.name}", args.resume, world)
