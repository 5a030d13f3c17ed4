"""Every family by its name, as ``system`` in a configuration says it."""

import json

from ..config import loader
from ..errors import UserError
from ..weights.conversion import unknown_network
from .rrdb.family import RRDB
from .sr3.family import SR3
from .srdiff.family import SRDiff
from .srgan.family import SRGAN

FAMILIES = {"srdiff": SRDiff, "rrdb": RRDB, "sr3": SR3, "srgan": SRGAN}
SCHEMAS = {name: family.Settings for name, family in FAMILIES.items()}


def family_of(config):
    """The ``src.families.family.Family`` of a configuration."""
    return FAMILIES[config.system].of(config)


def read_config(path, overrides=()):
    """The checked configuration of a YAML file and overrides, see ``src.config.loader.load_config``."""
    config = loader.load_config(path, overrides, SCHEMAS)
    family_of(config).check()
    return config


def config_of(checkpoint):
    """The configuration that a ``src.weights.checkpoint.Checkpoint`` carries."""
    try:
        settings = json.loads(checkpoint.config_json)
    except ValueError as error:
        raise UserError(f"the configuration inside {checkpoint.path} is not JSON: write the checkpoint anew") from error
    return loader.config_from_dict(settings, SCHEMAS, f"the configuration inside {checkpoint.path}", stored=True)


def convert(obj, given):
    """Return the ``src.weights.conversion.Conversion`` of what ``read_torch`` read, of any family.

    ``given`` is a nested dict of settings that somebody names; those that no tensor tells are taken from it.
    """
    for family in FAMILIES.values():
        if conversion := family.convert(obj, given):
            return conversion
    raise unknown_network(obj, "an SRDiff, RRDB, SR3, DDPM, SRGAN, ESRGAN or Real-ESRGAN network")
