"""How much memory the networks may take."""

import os
from pathlib import Path

import psutil

_SHARE = 0.7  # of what is free: other programs want some, and the estimates are no more than that
# (limit, use, statistics, name) of control groups, version 2 and 1: what a container may have. Use counts files that
# were read and can be dropped, whose number stands under that name in the statistics.
_CONTROL_GROUPS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def host_budget(limit=None, control_groups="/sys/fs/cgroup"):
    """Bytes that this process may still take.

    Args:
        limit: bytes that it may hold in all; None takes most of what the machine, or its container, has free.
        control_groups: where Linux keeps the limits of a container; read where it is there.
    """
    if limit is not None:
        return limit - host_use()
    free = psutil.virtual_memory().available
    for maximum, use, statistics, name in _CONTROL_GROUPS:
        try:
            rest = int(Path(control_groups, maximum).read_text()) - int(Path(control_groups, use).read_text())
        except (OSError, ValueError):  # no such group, or "max": no limit
            continue
        free = min(free, max(rest + _statistic(Path(control_groups, statistics), name), 0))
    return int(_SHARE * free)


def _statistic(path, name):
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
        return next((int(value) for key, value in lines if key == name), 0)
    except (OSError, ValueError):
        return 0


def host_use():
    """Bytes that this process holds in the machine's memory."""
    return psutil.Process(os.getpid()).memory_info().rss


def device_budget(total, limit=None):
    """Bytes that the networks may take on a device with memory of its own.

    Args:
        total: bytes of the device.
        limit: bytes that they may take; None takes most of the device's.
    """
    return int(_SHARE * total) if limit is None else limit
