"""How a command that msrun starts several times meets its other ranks."""

from src.command import quieten
from src.host.device import select_device
from src.host.ranks import World, launched


def meet(device):
    """Meet the other ranks, if msrun started this process; return this one's ``World``. The first speaks for all."""
    if not launched():
        return World()
    from src.training.distributed import join, leave_signals_to_first

    world = join(select_device(device))
    leave_signals_to_first(world)
    if not world.is_first:
        quieten()
    return world
