"""Checkpoint files: written whole or not at all, verified when read, and carrying their configuration.

A file is MindSpore's own checkpoint format with its CRC. Keys are those of the network by part (``encoder.*``,
``unet.*``, ``generator.*``), their moving averages ``ema.*``, and what else training needs, ``optimizer.*``, ``run.*``
and ``discriminator.*``; ``config`` (JSON text) and ``step`` are appended entries. A finished model has only the
network's, which are the averages where there were any.
"""

import errno
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import ops

from ..config.loader import config_to_dict
from ..errors import UserError, first_line
from ..host.files import replacing
from ..host.shipped import shipped

PREFIX = "ema."
_FOR_TRAINING = ("ema", "optimizer", "run", "discriminator")
_FILE = re.compile(r"(step|interrupted|best)_(\d+)\.ckpt$")


def config_json(config):
    return json.dumps(config_to_dict(config))


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    arrays: dict  # parameter name → NumPy array
    config_json: str  # of the resolved configuration
    step: int  # optimiser steps done

    def model_arrays(self, ema=True):
        """The arrays that make pictures, averages in place of the weights that have one (``ema=False``: none)."""
        names = [name for name in self.arrays if name.split(".")[0] not in _FOR_TRAINING]
        if not names:
            parts = ", ".join(dict.fromkeys(name.split(".")[0] for name in self.arrays))
            raise UserError(f"{self.path} makes no pictures, it holds {parts or 'nothing'}: name a model's checkpoint")
        return {name: self.arrays[PREFIX + name if ema and PREFIX + name in self.arrays else name] for name in names}


def save_model(path, arrays, config_json, step, half=False):
    """Write a checkpoint, a ``.ckpt``, whole or not at all; ``arrays`` are NumPy's or parameters, by name.

    ``half`` stores float16, half as large: whoever loads it gets float32 again; UserError where a number is too large.
    """
    path = Path(path)
    if path.suffix != ".ckpt":
        raise UserError(f"a checkpoint's name must end in .ckpt, not '{path.name}'")
    entries = [{"name": name, "data": _tensor(name, array, half)} for name, array in arrays.items()]
    with replacing(path, "checkpoint") as temporary:
        try:
            ms.save_checkpoint(
                entries, str(temporary), append_dict={"config": config_json, "step": int(step)}, crc_check=True
            )
        except RuntimeError as error:  # mindspore wraps the OSError of a full disk
            number = errno.ENOSPC if "No space left" in str(error) else errno.EIO
            raise OSError(number, first_line(error)) from error
        finally:  # where mindspore writes to first, and what it leaves there when the disk is full
            temporary.with_suffix(".tmp").unlink(missing_ok=True)
        os.chmod(temporary, 0o644)  # mindspore makes it 0400


def load_checkpoint(path):
    """Return the :class:`Checkpoint` that a file holds, its CRC verified; UserError where it is damaged or not ours."""
    path = shipped(path)
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: name a .ckpt file written by train.py or convert.py")
    try:
        loaded = ms.load_checkpoint(str(path), crc_check=True)
    except (ValueError, RuntimeError, TypeError, OSError, MemoryError) as error:
        raise UserError(
            f"{path} is not a whole MindSpore checkpoint: it is damaged, or of another kind "
            "(PyTorch files are read by convert.py)"
        ) from error
    config_json = loaded.pop("config", None)
    step = loaded.pop("step", None)
    if not isinstance(config_json, str) or step is None:
        raise UserError(f"{path} carries no configuration: expected a checkpoint written by train.py or convert.py")
    arrays = {name: parameter.asnumpy() for name, parameter in loaded.items()}
    return Checkpoint(path, arrays, config_json, int(step))


def load_into(net, arrays, path):
    load_arrays(net.get_parameters(), arrays, path)


def load_arrays(parameters, arrays, path, prefix=""):
    """Copy arrays into parameters; every parameter must be there, with its shape, or nothing is copied (a UserError).

    The parameter ``p`` is read from ``prefix + p``; names that no parameter has are left alone.
    """
    parameters = list(parameters)
    for parameter in parameters:
        name = prefix + parameter.name
        if name not in arrays:
            raise UserError(f"{path} has no '{name}': its network is another one than the configuration says")
        if tuple(arrays[name].shape) != tuple(parameter.shape):
            raise UserError(
                f"{path}: '{name}' is {tuple(arrays[name].shape)}, but the configuration makes it "
                f"{tuple(parameter.shape)}: use the configuration that the checkpoint was trained with"
            )
    for parameter in parameters:
        put(parameter, arrays[prefix + parameter.name])


def put(parameter, value):
    """Give a parameter a value, a NumPy array of its shape.

    Not with ``Parameter.set_data``: after a graph with a branch in it has run, the graph works with the new value, but
    ``asnumpy`` shows that value for ever (mindspore 2.8 to 2.10 on CPU).
    """
    value = np.ascontiguousarray(value, ms.dtype_to_nptype(parameter.dtype)).reshape(parameter.shape)
    ops.assign(parameter, ms.Tensor(value))


def paths_of(folder, *kinds):
    """The checkpoints of a folder, the oldest first: ``step_N.ckpt``, or those of other kinds."""
    matches = ((path, _FILE.match(path.name)) for path in Path(folder).glob("*.ckpt"))
    found = [(int(match[2]), match[1], path) for path, match in matches if match and match[1] in (kinds or ("step",))]
    return [path for *_, path in sorted(found)]


def step_of(path):
    return int(_FILE.match(Path(path).name)[2])


def path_of(folder, step, kind="step"):
    return Path(folder) / f"{kind}_{step:08d}.ckpt"


def remove_old(folder, keep, newest):
    """Delete, up to the ``newest``, all ``interrupted_N.ckpt`` and all but the last ``keep`` of ``step_N.ckpt``.

    Later ones, damaged or from before a resumption, are neither counted nor deleted: their turn comes again.
    """
    paths = paths_of(folder)
    interrupted = [path for path in paths_of(folder, "interrupted") if step_of(path) <= step_of(newest)]
    for path in [*paths[: paths.index(newest) + 1][:-keep], *interrupted]:
        path.unlink(missing_ok=True)


def _tensor(name, array, half):
    if not half:
        return array if isinstance(array, ms.Tensor) else ms.Tensor(np.ascontiguousarray(array))
    array = array.asnumpy() if isinstance(array, ms.Tensor) else np.asarray(array)
    with np.errstate(over="ignore"):
        array = array.astype(np.float16)
    if not np.isfinite(array).all():
        raise UserError(f"'{name}' has numbers beyond 65504, which float16 cannot hold: save it in float32")
    return ms.Tensor(np.ascontiguousarray(array))
