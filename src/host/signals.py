"""Ctrl-C and SIGTERM: one line at any moment, KeyboardInterrupt for both, held back where nothing may be cut in two."""

import contextlib
import ctypes
import os
import signal
import sys
import threading

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>


def end_at_once():
    """Answer Ctrl-C and SIGTERM with one line and the end of the process, while there is nothing to save or to remove.

    A program calls it before its other imports, which may take seconds.
    """
    answer_with(_end)


def raise_once():
    """Make Ctrl-C and SIGTERM raise KeyboardInterrupt in the main thread; the next one ends the process at once.

    Where an exception would be lost, or be told in pages, it comes when that is over, unless a second signal comes.
    SIGTERM is a job scheduler's, or mindspore's own answer to Ctrl-C while a graph runs. Returns a list, which gets the
    signal's number.
    """
    raised, waiting = [], []

    def interrupt(number, frame):
        if waiting:
            _end(number, frame)
        if delicate := _delicate_frame(frame):
            waiting.append(delicate)
            sys.setprofile(again_after(delicate, number))
            return
        sys.setprofile(None)
        end_at_once()
        raised.append(number)
        raise KeyboardInterrupt

    def again_after(delicate, number):
        """A profiler: the next thing that happens after the frame has returned is the signal once more."""

        def happens(frame, event, _):
            if not waiting:
                sys.setprofile(None)
                signal.raise_signal(number)
            elif frame is delicate and event == "return":
                waiting.clear()

        return happens

    answer_with(interrupt)
    return raised


def answer_with(handler):
    """Make ``handler(number, frame)``, or ``signal.SIG_IGN``, the answer to Ctrl-C and SIGTERM."""
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as in the background of a shell: it stays so
            signal.signal(number, handler)


def _end(number, frame):
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


def _delicate_frame(frame):
    """The outermost frame of an import, a destructor, or mindspore's compiler or files, which catch everything."""
    found = None
    while frame:
        name, module = frame.f_code.co_name, frame.f_globals.get("__name__") or ""
        if name == "__del__" or frame.f_code.co_filename.startswith("<frozen importlib"):
            found = frame
        if module.startswith("mindspore.") and (name == "compile" or module.endswith(".serialization")):
            found = frame
        frame = frame.f_back
    return found


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
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def die_with_parent():
    """Let SIGKILL end this process when its parent dies, however that ends; on Linux alone."""
    if prctl := getattr(ctypes.CDLL(None), "prctl", None):
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
