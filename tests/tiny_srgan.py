"""The smallest configurations of the generators."""

from src.families.registry import read_config
from tests import tiny

COMMON = (
    *(override for override in tiny.COMMON if not override.startswith("encoder.")),
    "generator.features=8", "generator.blocks=2",
)  # fmt: skip
FORMS = {
    "srresnet": (),
    "rrdb": ("generator.network=rrdb", "generator.growth=4"),
    "x2plus": ("generator.network=rrdb", "generator.growth=4", "generator.unshuffle=2", "data.scale=2"),
    "x1": ("generator.network=rrdb", "generator.growth=4", "generator.unshuffle=4", "data.scale=1"),
    "msrresnet": ("generator.network=msrresnet", "data.scale=3", "data.patch_size=30"),
    "compact": ("generator.network=compact",),
    "leftthomas": ("generator.biases=true", "generator.trunk_end=prelu", "generator.output=tanh"),
    "lornatang": ("generator.output=clamp",),
}


def config(form, *more):
    """Return the configuration of a generator; ``more`` overrides win."""
    given = dict(override.split("=", 1) for override in (*COMMON, *FORMS[form], *more))
    return read_config(f"{tiny.ROOT}/configs/srresnet_x4.yaml", [f"{key}={value}" for key, value in given.items()])
