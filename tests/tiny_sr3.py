"""The smallest SR3 and DDPM networks, and checkpoints of them."""

from src.config.loader import config_from_dict, with_overrides
from src.families.registry import SCHEMAS, family_of
from tests import tiny

SETTINGS = {
    "name": "sr3_tiny",
    "system": "sr3",
    "data": {"scale": 4, "patch_size": 16, "workers": 1},
    "sr3": {"width": 8, "multipliers": [1, 2], "blocks": 1, "attention": [8], "image_size": 16, "groups": 4},
    "diffusion": {"steps": 4, "schedule": "linear", "beta_start": 1e-4, "beta_end": 0.5},
    "train": {"batch_size": 2, "steps": 4, "log_every": 1, "save_every": 2, "val_every": 0},
    "eval": {"protocol": "sr3", "sampler": "ddpm", "steps": 2},
}
UNCONDITIONAL = ("sr3.conditional=false", "data.scale=1")
TRAINED_UNCONDITIONAL = (*UNCONDITIONAL, "train.best_metric=loss")
ONE_LEVEL = ("sr3.multipliers=[1]", "sr3.attention=[]")  # whose graphs compile in half the time


def config(*overrides):
    """Return the configuration with ``key=value`` overrides."""
    made = with_overrides(config_from_dict(SETTINGS, SCHEMAS), overrides)
    family_of(made).check()
    return made


def checkpoint(path, *overrides):
    """Write a checkpoint with random weights; return its path."""
    return tiny.save_untrained(path, config(*overrides))
