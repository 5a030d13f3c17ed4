"""Ctrl-C and SIGTERM: one kind of exception for both, held back while something must not be cut in two."""

import contextlib
import ctypes
import signal
import threading

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>


class Terminated(KeyboardInterrupt):
    """SIGTERM, treated like Ctrl-C: of a job scheduler, or mindspore's own answer to Ctrl-C while a graph runs."""


def raise_on_sigterm():
    """Make SIGTERM raise :class:`Terminated` in the main thread."""

    def terminate(number, frame):
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)


@contextlib.contextmanager
def held_back():
    """Let a Ctrl-C or SIGTERM that comes during the block take effect at its end.

    Signals that are ignored or left to the system are not touched, nor any outside the main thread, which gets them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    came = []
    for number in handlers:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if came:
        number, frame = came[0]
        handlers[number](number, frame)


def die_with_parent():
    """Let SIGKILL end this process when its parent dies, however that ends; on Linux alone."""
    if prctl := getattr(ctypes.CDLL(None), "prctl", None):
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
