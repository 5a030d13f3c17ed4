"""Diffusion super-resolution for MindSpore.

The public face is what is named here. It is imported when it is asked for: a command sets its environment first.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .build import load_upscaler
    from .errors import UserError
    from .inference.upscaler import Upscaler

__all__ = ["Upscaler", "UserError", "load_upscaler"]


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .build import load_upscaler
    from .errors import UserError
    from .inference.upscaler import Upscaler

    return {"Upscaler": Upscaler, "UserError": UserError, "load_upscaler": load_upscaler}[name]
