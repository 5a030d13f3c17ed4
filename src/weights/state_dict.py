"""From what a PyTorch program saved to the one flat table of names and tensors in it."""

import numpy as np

from ..errors import UserError

# Where programs keep the network; the first that is there is taken: averages before the weights themselves.
_CONTAINERS = (
    "params_ema", "ema_state_dict", "state_dict", "model_state_dict", "model", "params", "netG", "generator",
)  # fmt: skip
_BESIDE = {  # what may lie beside it, and is left out: what averages are of, a generator's discriminator
    "params_ema": ("params",), "ema_state_dict": ("state_dict",), "netG": ("netD",), "generator": ("discriminator",),
}  # fmt: skip
# what torch.compile, DataParallel and training programs put before every name
_WRAPPERS = ("_orig_mod.", "module.", "model.")
_COUNTER = "n_averaged"  # of PyTorch's AveragedModel
_HALVES = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
_KNOWN_UNUSED = ("optim", "lr_scheduler", "scheduler")  # beginnings of entries that hold no network


def find_state_dict(obj):
    """Find the network's tensors in what ``read_torch`` returns: a state dict, or dicts around one.

    Returns {name: array} without what wrappers put before every name, and the names of the entries around it that hold
    tensors for training only; other tensors outside of it are a UserError.
    """
    unused = []
    entries = obj if isinstance(obj, dict) else {}
    while inner := _container(entries):
        beside = [name for name in _BESIDE.get(inner, ()) if name in entries]
        unused += beside
        unused += _entries_for_training({k: value for k, value in entries.items() if k not in (inner, *beside)})
        entries = entries[inner]
    tensors = {name: value for name, value in entries.items() if isinstance(value, np.ndarray)}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise UserError("no network in the file: expected a state_dict, a table of names and tensors")
    unused += _entries_for_training({name: value for name, value in entries.items() if name not in tensors})
    counters = [name for name in tensors if name.rpartition(".")[2] == _COUNTER]
    tensors = {name: value for name, value in tensors.items() if name not in counters}
    wrapper = _wrapper(tensors)
    return {name.removeprefix(wrapper): value for name, value in tensors.items()}, unused + counters


def container_of(obj):
    """For people: the entry, or the entries inside each other, that :func:`find_state_dict` takes, and what it strips.

    Such as "state_dict.model", or "bare" where the tensors lie outside of any, or "params without module."
    """
    names = []
    while isinstance(obj, dict) and (inner := _container(obj)):
        names.append(inner)
        obj = obj[inner]
    tensors = [name for name, value in obj.items() if isinstance(value, np.ndarray)]
    wrapper = _wrapper([name for name in tensors if name.rpartition(".")[2] != _COUNTER])
    return (".".join(names) or "bare") + (f" without {wrapper}" if wrapper else "")


def _container(entries):
    return next((name for name in _CONTAINERS if isinstance(entries.get(name), dict)), None)


def _wrapper(names):
    """What wrappers put before every one of the names."""
    found = ""
    while names and (more := next((w for w in _WRAPPERS if all(n.startswith(found + w) for n in names)), None)):
        found += more
    return found


def _entries_for_training(entries):
    """The names of the entries that are the optimiser's, or counters; refuse those with other tensors."""
    names = []
    for name, value in entries.items():
        if str(name).startswith(_KNOWN_UNUSED) or (isinstance(value, np.ndarray) and value.ndim == 0):
            names.append(str(name))
        elif _holds_tensors(value):
            raise UserError(f"tensors under '{name}' besides the network's: save only its state_dict with torch.save")
    return names


def _holds_tensors(value):
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, np.ndarray):
            return True
        if isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, dict) else value)
    return False


def fold_weight_norm(tensors):
    """Replace the two halves of weight-normalised weights (arXiv 1602.07868, eq. 2) by w = g · v / ‖v‖, float32.

    Halves are named as by ``torch.nn.utils.weight_norm`` (``weight_g``, ``weight_v``) or by
    ``torch.nn.utils.parametrizations.weight_norm``; UserError where the two are not there or do not fit.
    """
    result = dict(tensors)
    for g_end, v_end in _HALVES:
        ends = (g_end, v_end)
        starts = [name.removesuffix(end) for name in tensors for end in ends if name.endswith("." + end)]
        for start in dict.fromkeys(starts):
            name, g, v = start + "weight", result.pop(start + g_end, None), result.pop(start + v_end, None)
            if g is None or v is None or name in result:
                raise UserError(f"'{name}' is weight-normalised but not whole: needs {g_end} and {v_end} alone")
            result[name] = _normalised(name, g.astype(np.float64), v.astype(np.float64))
    return result


def _normalised(name, g, v):
    if g.ndim != v.ndim or any(size not in (1, full) for size, full in zip(g.shape, v.shape, strict=True)):
        raise UserError(f"'{name}' is weight-normalised by g of {g.shape}, which does not fit v of {v.shape}")
    axes = tuple(axis for axis, size in enumerate(g.shape) if size == 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # v = 0 becomes NaN, as in PyTorch
        return (v * (g / np.sqrt(np.square(v).sum(axis=axes, keepdims=True)))).astype(np.float32)
