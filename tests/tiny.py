"""The smallest configurations, and the commands run as a user runs them."""

import functools
import os
import subprocess
import sys
from pathlib import Path

from src.families.registry import family_of, read_config

ROOT = Path(__file__).resolve().parents[1]
COMMON = (
    "data.patch_size=32", "data.workers=1", "train.batch_size=2", "train.steps=4", "train.log_every=1",
    "train.save_every=2", "train.val_every=0", "train.lr_schedule=step", "train.lr_decay_every=3", "train.draws=1",
    "train.warmup_steps=0", "eval.steps=2", "eval.sampler=ddpm", "eval.spacing=uniform", "eval.temperature=1",
    "eval.consistency=false", "encoder.features=8", "encoder.blocks=2", "encoder.growth=4",
)  # fmt: skip
SETTINGS = {
    "rrdb": COMMON,
    "srdiff": (
        *COMMON, "unet.width=8", "unet.multipliers=[1,2]", "unet.condition_every=3", "unet.add_lr_up=false",
        "unet.space_to_depth=1", "diffusion.steps=4", "diffusion.residual_scale=2", "diffusion.residual_of=bicubic",
    ),
}  # fmt: skip


def settings(system, pictures=None, *more):
    """Return the arguments of train.py: ``--config`` and the overrides that make it tiny; later ones win."""
    data = [f"data.train={pictures / 'train'}", f"data.val={pictures / 'val'}"] if pictures else []
    given = dict(override.split("=", 1) for override in (*SETTINGS[system], *data, *more))
    return ["--config", f"{ROOT}/configs/{system}_lite_x4.yaml", *(f"{key}={value}" for key, value in given.items())]


def config(system, pictures=None, *more):
    """Return the configuration that :func:`settings` describes."""
    _, path, *overrides = settings(system, pictures, *more)
    return read_config(path, overrides)


def model(made, gates=0.0):
    """Return the network of a configuration with random weights.

    Args:
        made: the ``Config``.
        gates: what attention's result is multiplied with, which training starts from 0.
    """
    import mindspore as ms

    ms.set_seed(1)
    net = family_of(made).model()
    for parameter in net.get_parameters():
        if parameter.name.endswith(".gate"):
            parameter.set_data(ms.Tensor([gates], ms.float32))
    return net


def save_untrained(path, made, gates=0.0):
    """Write a checkpoint of :func:`model`; return its path."""
    from src.weights.checkpoint import config_json, save_model

    save_model(path, {p.name: p for p in model(made, gates).get_parameters()}, config_json(made), 0)
    return path


@functools.cache
def networks(made):
    """Return the compiled networks of :func:`model`, shared by all tests of this process: to be read only."""
    return family_of(made).model_networks(model(made))


def upscaler(made):
    """Return an upscaler of its own around :func:`networks`."""
    return around(made, networks(made))


def around(made, nets, **tile_options):
    """Return the upscaler of a configuration around any networks."""
    from src.inference.tile_size import TileOptions

    family = family_of(made)
    return family.upscaler(nets, family.tiling(TileOptions(**tile_options)))


def assert_equal_pictures(one, two):
    """Two uint8 pictures are equal but for at most one level in at most one value of 100 000."""
    import numpy as np

    difference = np.abs(one.astype(int) - two)
    assert one.shape == two.shape and difference.max() <= 1 and difference.sum() <= max(1, difference.size // 100_000)


def start(script, *arguments, cwd):
    """Start a command in a folder that is not the repository; return its Popen."""
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, encoding="utf-8"
    )


def finish(process):
    """Wait for a command; return its exit status, its stdout, and its stderr's lines without progress bars."""
    out, err = process.communicate(timeout=900)
    lines = [line for line in err.replace("\r", "\n").split("\n") if line.strip() and "it/s" not in line]
    bars = ("train:", "upscale:")
    return process.returncode, out, [line for line in lines if not line.startswith(bars)]


def run(script, *arguments, cwd):
    """Run a command; see :func:`finish`."""
    return finish(start(script, *arguments, cwd=cwd))
