"""From the public generators and discriminators of SRGAN, ESRGAN and Real-ESRGAN to our names and settings."""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from ...errors import UserError
from ...weights.conversion import Conversion, count, listed, renamed, size
from ...weights.state_dict import find_state_dict
from ..rrdb.convert import step_of
from .convert_discriminator import BATCH_NORM, discriminator_settings, their_discriminator_name

_PATCH_SIZE = 96  # the paper's; every scale here divides it
_COUNTER = "num_batches_tracked"


class Form(NamedTuple):
    """How a program names a generator's tensors."""

    title: str
    keys: tuple[str, ...]  # patterns, each of which matches a name's beginning
    read: Callable  # {name: array} → scale, the settings of ``generator``, and rules from our names to theirs


def convert(obj, given):
    """Convert a generator or a discriminator, see ``src.families.family.Family.convert``; the file tells everything."""
    tensors, unused = find_state_dict(obj)
    tensors, others = _without_counters(tensors)
    tensors, rest = _generator_alone(tensors)
    unused = [*unused, *others, *rest]
    if _matches(r"(model\.)?1\.sub\.\d+\.res\.", tensors):
        raise UserError(
            "the file is BasicSR's SRResNet of 2018 (model.1.sub.N.res), which is another network: take MSRResNet's "
            "(body.N.conv1)"
        )
    form = next((form for form in FORMS if all(_matches(key, tensors) for key in form.keys)), None)
    if form is None:
        return _discriminator(tensors, unused)
    scale, generator, rules = form.read(tensors)
    return Conversion(
        {"system": "srgan", "data": {"scale": scale}, "generator": generator},
        _assumed(f"{generator['network']}_x{scale}_converted", _PATCH_SIZE),
        tensors, lambda ours: renamed(ours, rules), unused, form.title, step_of(obj),
    )  # fmt: skip


def _discriminator(tensors, unused):
    """The conversion of a discriminator; None where it is something else."""
    found = discriminator_settings(tensors)
    if found is None:
        return None
    discriminator, patch_size = found
    network = discriminator["network"]
    settings = {"system": "srgan", "discriminator": discriminator}
    settings |= {"data": {"patch_size": patch_size}} if patch_size else {}
    assumed = _assumed(f"{network}_discriminator_converted", patch_size or _PATCH_SIZE)
    return Conversion(
        settings, assumed | {"loss": {"adversarial": 1e-3}}, tensors,
        lambda ours: their_discriminator_name(network, ours), unused,
        form=f"a discriminator, {_DISCRIMINATORS[network]}", part="discriminator",
    )  # fmt: skip


_DISCRIMINATORS = {
    "srgan": "Lornatang's DiscriminatorForVGG (features.N, classifier.N)",
    "pooled": "leftthomas' netD (net.N)",
    "esrgan": "BasicSR's VGGStyleDiscriminator (convN_M, linear1)",
    "unet": "Real-ESRGAN's UNetDiscriminatorSN (convN.weight_orig)",
}


def _assumed(name, patch_size):
    return {"name": name, "data": {"patch_size": patch_size}, "eval": {"protocol": "classic"}}


def _matches(pattern, tensors):
    return any(re.match(pattern, name) for name in tensors)


def _without_counters(tensors):
    """The tensors but BatchNorm's counters, and what to call these."""
    kept = {name: value for name, value in tensors.items() if name.rpartition(".")[2] != _COUNTER}
    return kept, [f"*.{_COUNTER}"] * (len(kept) < len(tensors))


def _generator_alone(tensors):
    """Of a training's several networks the generator, its average where there is one, and what to call the others."""
    prefix = next((p for p in ("generator_ema.", "generator.", "netG.") if _matches(re.escape(p), tensors)), "")
    rest = dict.fromkeys(re.sub(r"\..*", ".*", name) for name in tensors if not name.startswith(prefix))
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}, [*rest]


# What each form tells.


def _rrdb(tensors):
    """BasicSR's RRDBNet, whose first convolution tells how many pixels are folded into channels."""
    octaves, channels = _octaves(count(tensors, r"conv_up(\d+)\.")), size(tensors, "conv_first.weight", 1, 4)
    unshuffle = {3: 1, 12: 2, 48: 4}.get(channels)
    if unshuffle is None or 2**octaves % unshuffle:
        raise UserError(
            f"'conv_first.weight' takes {channels} channels: expected 3, or 12 or 48 of pixel-unshuffle by 2 or 4"
        )
    generator = _rrdb_sizes(tensors, "conv_first.weight", r"body\.(\d+)\.rdb1\.", "body.0.rdb1.conv1.weight")
    rules = (
        (r"^generator\.first_conv\.", "conv_first."),
        (r"^generator\.trunk\.(\d+)\.dense(\d)\.", r"body.\1.rdb\2."),
        (r"^generator\.trunk_conv\.", "conv_body."),
        (r"^generator\.upsampler\.up_convs\.(\d)\.", lambda match: f"conv_up{int(match[1]) + 1}."),
        (r"^generator\.upsampler\.hr_conv\.", "conv_hr."),
        (r"^generator\.upsampler\.last_conv\.", "conv_last."),
    )
    return 2**octaves // unshuffle, generator | {"unshuffle": unshuffle}, rules


def _old_rrdb(tensors):
    """ESRGAN's first architecture, a list of layers: first, trunk, three for each doubling, HR, activation, last."""
    length = 1 + max(int(name.partition(".")[0]) for name in tensors if re.match(r"\d{1,3}\.", name))
    if (length - 5) % 3:
        raise UserError(f"expected 5 layers and 3 for each doubling (model.N), got {length}: the file is not whole")
    octaves = _octaves((length - 5) // 3)
    generator = _rrdb_sizes(tensors, "0.weight", r"1\.sub\.(\d+)\.RDB1\.", "1.sub.0.RDB1.conv1.0.weight")
    rules = (
        (r"^generator\.first_conv\.", "0."),
        (r"^generator\.trunk\.(\d+)\.dense(\d)\.conv(\d)\.", r"1.sub.\1.RDB\2.conv\3.0."),
        (r"^generator\.trunk_conv\.", f"1.sub.{generator['blocks']}."),
        (r"^generator\.upsampler\.up_convs\.(\d)\.", lambda match: f"{3 * (int(match[1]) + 1)}."),
        (r"^generator\.upsampler\.hr_conv\.", f"{length - 3}."),
        (r"^generator\.upsampler\.last_conv\.", f"{length - 1}."),
    )
    return 2**octaves, generator | {"unshuffle": 1}, rules


def _rrdb_sizes(tensors, first, blocks, dense):
    return {
        "network": "rrdb",
        "features": size(tensors, first, 0, 4),
        "blocks": count(tensors, blocks),
        "growth": size(tensors, dense, 0, 4),
        "upsampler": "nearest",
    }


def _compact(tensors):
    """Real-ESRGAN's list of convolutions, each but the last with a PReLU after it."""
    last = max(int(match[1]) for name in tensors if (match := re.match(r"body\.(\d{1,4})\.", name)))
    if last % 2 or last < 4 or "body.1.weight" not in tensors:
        raise UserError("SRVGGNetCompact is known with PReLU alone (body.1.weight), of one convolution inside or more")
    generator = {"network": "compact", "features": size(tensors, "body.0.weight", 0, 4), "blocks": (last - 2) // 2}
    rules = (
        (r"^generator\.convs\.(\d+)\.", lambda match: f"body.{2 * int(match[1])}."),
        (r"^generator\.prelus\.(\d+)\.weight", lambda match: f"body.{2 * int(match[1]) + 1}.weight"),
        (r"^generator\.last_conv\.", f"body.{last}."),
    )
    return _factor(tensors, f"body.{last}.weight", 3), generator, rules


def _msrresnet(trunk, up, hr_conv):
    """MSRResNet with a program's own words for its blocks, its enlargements and the convolution at HR size."""

    def read(tensors):
        features, first_up = size(tensors, "conv_first.weight", 0, 4), f"{up.format(1)}.weight"
        scale = 4 if f"{up.format(2)}.weight" in tensors else _factor(tensors, first_up, features)
        generator = {
            "network": "msrresnet",
            "features": features,
            "blocks": count(tensors, rf"{trunk}\.(\d+)\.conv1\."),
        }
        rules = (
            (r"^generator\.first_conv\.", "conv_first."),
            (r"^generator\.trunk\.", f"{trunk}."),
            (r"^generator\.up_convs\.(\d)\.", lambda match: f"{up.format(int(match[1]) + 1)}."),
            (r"^generator\.hr_conv\.", f"{hr_conv}."),
            (r"^generator\.last_conv\.", "conv_last."),
        )
        return scale, generator, rules

    return read


def _leftthomas(tensors):
    """Numbered blocks: first, residual ones, the end of the trunk (PReLU until 2019, then BatchNorm), the way up."""
    blocks = count(tensors, r"block(\d+)\.conv1\.")
    trunk, up = f"block{blocks + 2}", f"block{blocks + 3}"
    octaves = _octaves(count(tensors, rf"{up}\.(\d+)\.conv\."))
    normalized = f"{trunk}.1.running_mean" in tensors
    generator = {
        "network": "srresnet",
        "features": size(tensors, "block1.0.weight", 0, 4),
        "blocks": blocks,
        "biases": "block2.conv1.bias" in tensors,
        "trunk_end": "batchnorm" if normalized else "prelu",
        "output": "tanh",
    }
    rules = (
        *BATCH_NORM,
        (r"^generator\.first_conv\.", "block1.0."),
        (r"^generator\.first_prelu\.", "block1.1."),
        (r"^generator\.trunk\.(\d+)\.", lambda match: f"block{int(match[1]) + 2}."),
        (r"^(block\d+)\.norm(\d)\.", r"\1.bn\2."),
        (r"^generator\.trunk_conv\.", f"{trunk}.0."),
        (r"^generator\.trunk_end\.", f"{trunk}.1."),
        (r"^generator\.up_convs\.(\d)\.", rf"{up}.\1.conv."),
        (r"^generator\.up_prelus\.(\d)\.", rf"{up}.\1.prelu."),
        (r"^generator\.last_conv\.", f"{up}.{octaves}."),
    )
    return 2**octaves, generator, rules


def _lornatang(tensors):
    """Lornatang's, whose convolutions around the trunk were called ``conv_block`` in 2022, ``conv`` since."""
    conv = "conv_block" if "conv_block1.0.weight" in tensors else "conv"
    octaves = _octaves(count(tensors, r"upsampling\.(\d+)\."))
    generator = {
        "network": "srresnet",
        "features": size(tensors, f"{conv}1.0.weight", 0, 4),
        "blocks": count(tensors, r"trunk\.(\d+)\.rcb\."),
        "biases": "trunk.0.rcb.0.bias" in tensors,
        "trunk_end": "batchnorm",
        "output": "clamp",
    }
    inner = {"conv1": 0, "norm1": 1, "prelu": 2, "conv2": 3, "norm2": 4}
    rules = (
        *BATCH_NORM,
        (r"^generator\.first_conv\.", f"{conv}1.0."),
        (r"^generator\.first_prelu\.", f"{conv}1.1."),
        (r"^generator\.trunk\.(\d+)\.(\w+)\.", lambda match: f"trunk.{match[1]}.rcb.{inner[match[2]]}."),
        (r"^generator\.trunk_conv\.", f"{conv}2.0."),
        (r"^generator\.trunk_end\.", f"{conv}2.1."),
        (r"^generator\.up_convs\.(\d)\.", r"upsampling.\1.upsample_block.0."),
        (r"^generator\.up_prelus\.(\d)\.", r"upsampling.\1.upsample_block.2."),
        (r"^generator\.last_conv\.", f"{conv}3."),
    )
    return 2**octaves, generator, rules


def _octaves(found):
    if found > 3:
        raise UserError(f"expected up to 3 doublings (8 times the size), got {found}: not supported")
    return found


def _factor(tensors, name, channels):
    """The factor that a convolution in front of a PixelShuffle enlarges by, from what it gives for so many channels."""
    out = size(tensors, name, 0, 4)
    factor = math.isqrt(out // channels)
    if factor * factor * channels != out or not 1 <= factor <= 4:
        raise UserError(f"'{listed([name])}' gives {out} channels: expected {channels} times 1, 4, 9 or 16")
    return factor


FORMS = (
    Form("ESRGAN's RRDBNet of 2018 (model.1.sub.N.RDB1)", (r"1\.sub\.\d+\.RDB1\.",), _old_rrdb),
    Form("BasicSR's and Real-ESRGAN's RRDBNet (body.N.rdb1)", (r"body\.\d+\.rdb1\.",), _rrdb),
    Form("Real-ESRGAN's SRVGGNetCompact (body.N)", (r"body\.0\.weight", r"body\.2\.weight"), _compact),
    Form(
        "BasicSR's MSRResNet (body.N.conv1)", (r"body\.\d+\.conv1\.", r"upconv1\."),
        _msrresnet("body", "upconv{}", "conv_hr"),
    ),
    Form(
        "mmsr's MSRResNet (recon_trunk.N.conv1)", (r"recon_trunk\.\d+\.conv1\.", r"upconv1\."),
        _msrresnet("recon_trunk", "upconv{}", "HRconv"),
    ),
    Form(
        "mmagic's MSRResNet (trunk_net.N.conv1)", (r"trunk_net\.\d+\.conv1\.",),
        _msrresnet("trunk_net", "upsample{}.upsample_conv", "conv_hr"),
    ),
    Form("leftthomas' SRResNet (blockN.conv1)", (r"block1\.0\.", r"block2\.conv1\."), _leftthomas),
    Form("Lornatang's SRResNet (trunk.N.rcb)", (r"trunk\.\d+\.rcb\.",), _lornatang),
)  # fmt: skip
