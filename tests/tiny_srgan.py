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


# Adversaries: with two networks in training, whose gradients do not vanish.
AGAINST = {
    "dense": ("discriminator.network=srgan", "discriminator.hidden=8", "loss.kind=relativistic"),
    "pixels": ("discriminator.network=unet", "loss.kind=hinge", "loss.discriminator_first=true"),
}


def adversarial_settings(against, form, pictures, *more):
    """Return the arguments of train.py for a generator that trains against one of :data:`AGAINST`."""
    data = [f"data.train={pictures / 'train'}", f"data.val={pictures / 'val'}"]
    common = ("discriminator.features=4", "loss.adversarial=0.5", "train.ema_decay=0.9", "train.pixel_loss=l1")
    return settings(form, *data, *common, *AGAINST[against], *more)


def adversarial(*arguments):
    """Return the configuration that :func:`adversarial_settings` describes."""
    _, path, *overrides = adversarial_settings(*arguments)
    return read_config(path, overrides)


def settings(form, *more):
    """Return the arguments of train.py for a generator; ``more`` overrides win."""
    given = dict(override.split("=", 1) for override in (*COMMON, *FORMS[form], *more))
    return ["--config", f"{tiny.ROOT}/configs/srresnet_x4.yaml", *(f"{key}={value}" for key, value in given.items())]


def config(form, *more):
    """Return the configuration that :func:`settings` describes."""
    _, path, *overrides = settings(form, *more)
    return read_config(path, overrides)
