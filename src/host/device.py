"""The device to run on, and the environment that must be set before mindspore is imported.

Every command calls :func:`prepare` before anything imports mindspore, then :func:`select_device`.
"""

import codecs
import contextlib
import ctypes
import functools
import glob
import importlib.util
import locale
import logging
import os
import platform
import re
import sys

from ..errors import UserError, first_line
from .ranks import device_id, launched

DEVICES = ("Ascend", "GPU", "CPU")
_NEEDS = {  # of mindspore 2.10; docs/devices.md has the versions and packages
    "GPU": "a card of compute capability 6.0 or more, CUDA 11 and cuDNN 8 in LD_LIBRARY_PATH, and CUDA_HOME",
    "Ascend": "the driver, the firmware and a CANN that fits mindspore, whose set_env.sh is sourced",
}


def prepare():
    """Set what mindspore reads in the environment when it is imported or runs its first operator; the user's own stays.

    * ``ONEDNN_MAX_CPU_ISA=AVX2`` on x86: oneDNN 3.10 (in mindspore 2.9 and 2.10) otherwise falls back to a
      reference 3×3 convolution on AVX-512 machines, a hundred times slower (``benchmarks/onednn_isa.py``).
    * ``GLOG_v=3``: errors only; mindspore's warnings are about its own internals.
    * the encoding of files that are opened without one, UTF-8: mindspore's graph cache reads this source so. Names of
      files and the terminal keep the locale's.
    """
    if platform.machine().lower() in ("x86_64", "amd64") and "mindspore" not in sys.modules:
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    os.environ.setdefault("GLOG_v", "3")
    if codecs.lookup(locale.getpreferredencoding(False)).name != "utf-8":
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_CTYPE, "C.UTF-8")


def device_name(text):
    """One of :data:`DEVICES` in any letter case, as it is written there; anything else as it is."""
    return next((name for name in DEVICES if name.lower() == str(text).lower()), text)


def known_device(text):
    """:func:`device_name` of one of :data:`DEVICES`, or None; another is a ``UserError``."""
    name = device_name(text)
    if name not in (None, *DEVICES):
        raise UserError(f"device must be one of {', '.join(DEVICES)}, not '{name}'")
    return name


def is_cpu(name=None):
    """Whether :func:`select_device` takes the CPU; without mindspore where no accelerator has a driver.

    Where mindspore is not installed, nothing but the CPU can be taken.
    """
    may_choose = name is None and importlib.util.find_spec("mindspore") is not None
    if may_choose and not all(_driver_missing(candidate) for candidate in DEVICES if candidate != "CPU"):
        name = select_device()
    return device_name(name) in (None, "CPU")


def select_device(name=None, graph=True):
    """Make mindspore run on a device, in graph mode or PyNative mode; return the device's name.

    None takes the first of :data:`DEVICES`, in any letter case, that works here. One that is not there is a
    ``UserError``.
    """
    name = known_device(name)
    prepare()
    import mindspore as ms

    _keep_stderr()
    reasons = {}
    for candidate in (name,) if name else DEVICES:
        reasons[candidate] = _driver_missing(candidate) or _set(ms, candidate)
        if reasons[candidate] is None:
            ms.set_context(mode=ms.GRAPH_MODE if graph else ms.PYNATIVE_MODE)
            return candidate
    device, reason = next(iter(reasons.items()))
    raise UserError(
        f"device {device} is not available here ({reason}): it needs {_NEEDS.get(device, 'another mindspore')} "
        "(docs/devices.md); or use --device CPU"
    )


def _keep_stderr():
    """Have mindspore's graph cache leave ``sys.stderr`` alone.

    It looks for what the command's script imports by making such modules anew, and making ``sys`` anew puts a bare
    printer in the place of ``sys.stderr``: the log's own handler is not known for one of the terminal's any longer, so
    that lines come twice, and bars cannot tell what the terminal's encoding holds.
    """
    for module in map(sys.modules.get, ("mindspore.graph.api", "mindspore.common.api")):  # of 2.10, and before
        search = getattr(module, "_get_compile_cache_dep_files", None)
        if search is None or hasattr(search, "__wrapped__"):
            continue

        @functools.wraps(search)
        def keeping(search=search):
            streams = sys.stderr, sys.__stderr__
            try:
                return search()
            except ImportError:  # of "python -m", whose file has relative imports: it understands none
                return []
            finally:
                sys.stderr, sys.__stderr__ = streams

        module._get_compile_cache_dep_files = keeping


def device_memory():
    """Bytes of memory of the device that mindspore runs on; None on the CPU, whose memory is the machine's."""
    import mindspore as ms

    device = ms.get_context("device_target")
    if device == "CPU":
        return None
    try:
        return ms.hal.get_device_properties(ms.get_context("device_id"), device).total_memory
    except (AttributeError, RuntimeError, ValueError, TypeError) as error:
        logging.warning("%s does not tell its memory (%s): 16 GB are assumed; see --max-memory", device, error)
        return 16 << 30


def _set(ms, device):
    """Make mindspore take a device; say why it does not, or None."""
    running_on = ms.get_context("device_target")
    logging.disable(logging.CRITICAL)  # of a device that it cannot take mindspore says so at length
    try:
        # ranks that do not communicate would all take the first device; the scheduler has none
        ms.set_device(device, device_id() if launched() else None)
    except (RuntimeError, ValueError, ImportError) as error:
        if device == running_on and "has been initialized" in str(error):
            return None  # something ran before a device was chosen, on this one
        return _reason(device, str(error))
    finally:
        logging.disable(logging.NOTSET)


def _reason(device, message):
    """Say why mindspore has not loaded a device's plugin, out of its pages; else their first line."""
    found = re.search(rf"(libmindspore_{device.lower()}\S*) failed\. (\S+): cannot open shared object", message)
    if found:
        return f"mindspore's {found[1]} does not find {found[2]}"
    if device == "GPU" and message.startswith("Unsupported device target"):
        home = os.environ.get("CUDA_HOME") or "not set"
        return f"mindspore loads its GPU plugin only where $CUDA_HOME/bin/nvcc is CUDA 11's, and CUDA_HOME is {home}"
    return first_line(message)


def _driver_missing(device):
    """Say why a device cannot be there, or None. Asked first, since mindspore's own attempt prints pages."""
    if device == "GPU":
        try:
            ctypes.CDLL("libcuda.so.1")
        except OSError:
            return "no NVIDIA driver: libcuda.so.1 cannot be loaded"
    if device == "Ascend" and not glob.glob("/dev/davinci[0-9]*"):
        return "no Ascend driver: there is no /dev/davinci0"
