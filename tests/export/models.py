"""Tiny models and their exports, for the tests of this folder."""

import json

import numpy as np

from src.build import load_model
from src.commands.export import writer
from src.export.artefact import description_hash, description_path
from src.export.exporter import export
from src.export.model import export_model, fixed_size, provenance, with_sampling
from src.families.registry import family_of
from src.host.device import select_device
from tests import tiny

MODELS = {
    "rrdb nearest": ("rrdb", "encoder.upsampler=nearest"),
    "rrdb pixelshuffle": ("rrdb", "encoder.upsampler=pixelshuffle"),
    "srdiff paper": (
        "srdiff", "unet.space_to_depth=1", "unet.attention=true", "unet.groups=4", "unet.add_lr_up=true",
        "diffusion.prediction=noise",
    ),
    "srdiff folded": (
        "srdiff", "unet.space_to_depth=4", "unet.multipliers=[1,2,2]", "diffusion.residual_of=encoder",
        "unet.add_lr_up=true", "unet.condition_every=1", "eval.sampler=ddim", "eval.temperature=0.5",
        "eval.consistency=true",
    ),
}  # fmt: skip


def checkpoint(path, name):
    """Write the checkpoint of one of :data:`MODELS`, its learnt gates not 0; return its path."""
    system, *settings = MODELS[name]
    return tiny.save_untrained(path, tiny.config(system, None, *settings), gates=0.7)


def write(checkpoint, output, cut="step", size=None, precision="float32", batch=1, check=None, **sampling):
    """Export as export.py does; return the written files."""
    select_device("CPU")
    kind = output.suffix[1:]
    config, model = load_model(checkpoint)
    config = with_sampling(config, sampling)
    size = fixed_size(family_of(config), size, batch) if size else (None,) * 3
    graphs, about = export_model(config, model, cut, size, precision)
    about |= provenance(checkpoint, kind)
    return export(output, kind, graphs, about, writer(kind), precision, check)


def rewrite(path, change, sign=True):
    """Change a description; ``sign`` it as export.py would."""
    beside = description_path(path)
    description = json.loads(beside.read_text())
    change(description)
    if sign:
        description["sha256"] = description_hash(description)
    beside.write_text(json.dumps(description))


def picture(photo, height, width):
    """A photograph's LR as uint8 (h, w, 3) and float32 (1, 3, h, w)."""
    cut = np.ascontiguousarray(photo[100 : 100 + height, 190 : 190 + width])
    return cut, cut.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
