"""From discriminators of PyTorch programs to our names and settings."""

import math

from ...errors import UserError
from ...weights.conversion import renamed, size

BATCH_NORM = (
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"\.moving_mean$", ".running_mean"),
    (r"\.moving_variance$", ".running_var"),
)
# Our names, without "discriminator.", → theirs.
RULES = {
    # Lornatang's, of the paper's layout
    "srgan": (*BATCH_NORM, (r"^hidden\.", "classifier.0."), (r"^logit\.", "classifier.2.")),
    # leftthomas'
    "pooled": (*BATCH_NORM, (r"^features\.", "net."), (r"^hidden\.", "net.24."), (r"^logit\.", "net.26.")),
    # BasicSR's; our 0, 2, 5, … are conv0_0, conv0_1, conv1_0, …
    "esrgan": (
        (r"^features\.(\d+)\.(?=weight|bias)", lambda match: f"conv{_pair(match[1])}."),
        (r"^features\.(\d+)\.", lambda match: f"bn{_pair(match[1])}."),
        (r"^hidden\.", "linear1."),
        (r"^logit\.", "linear2."),
        *BATCH_NORM,
    ),
    # Real-ESRGAN's
    "unet": (
        (r"^(down|up|end)\.(\d)\.", lambda match: f"conv{_UNET_FIRST[match[1]] + int(match[2])}."),
        (r"\.weight$", ".weight_orig"),
        (r"\.normalized\.([uv])$", r".weight_\1"),
        (r"^first_conv\.weight_orig", "conv0.weight"),
        (r"^last_conv\.weight_orig", "conv9.weight"),
        (r"^first_conv\.", "conv0."),
        (r"^last_conv\.", "conv9."),
    ),
}
_UNET_FIRST = {"down": 1, "up": 4, "end": 7}


def their_discriminator_name(network, ours):
    """The name in such a program's state dict of our parameter, ``discriminator.*``."""
    return renamed(ours.removeprefix("discriminator."), RULES[network])


def discriminator_settings(tensors):
    """What the names and shapes of a discriminator's state dict tell, or None where it is something else.

    Returns the settings of the section ``discriminator``, and the side of the patches that it takes, None for any.
    """
    if "conv8.weight_orig" in tensors:
        return {"network": "unet", "features": size(tensors, "conv0.weight", 0, 4)}, None
    if "linear2.weight" in tensors and "conv0_0.weight" in tensors:
        found = {"network": "esrgan", "features": size(tensors, "conv0_0.weight", 0, 4)}
        found["hidden"] = size(tensors, "linear1.weight", 0, 2)
        return found, 256 if "conv5_0.weight" in tensors else 128
    if "net.26.weight" in tensors:
        found = {"network": "pooled", "features": size(tensors, "net.0.weight", 0, 4)}
        return found | {"hidden": size(tensors, "net.24.weight", 0, 4)}, None
    if "classifier.2.weight" in tensors and "features.3.running_mean" in tensors:
        features = size(tensors, "features.0.weight", 0, 4)
        found = {"network": "srgan", "features": features, "hidden": size(tensors, "classifier.0.weight", 0, 2)}
        return found, 16 * _square_root(size(tensors, "classifier.0.weight", 1, 2), 8 * features)
    return None


def _pair(index):
    number = (int(index) + 1) // 3
    return f"{number // 2}_{number % 2}"


def _square_root(inputs, channels):
    side = math.isqrt(inputs // channels)
    if side == 0 or side * side * channels != inputs:
        raise UserError(f"'classifier.0.weight' takes {inputs} inputs: expected {channels} times a square")
    return side
