"""How a command that msrun starts several times meets its other ranks."""

from ..command import quieten
from ..host.device import select_device
from ..host.ranks import World, launched


def meet(device):
    """Meet the other ranks, if msrun started this process; return this one's ``World``. The first speaks for all."""
    if not launched():
        return World()
    from ..training.distributed import join, leave_signals_to_first

    world = join(select_device(device))
    leave_signals_to_first(world)
    if not world.is_first:
        quieten()
    return world
