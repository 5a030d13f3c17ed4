"""What convert.py does."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..config.loader import config_from_dict, config_to_dict, load_config, overrides_to_dict
from ..errors import UserError
from ..families.registry import SCHEMAS, config_of, convert, family_of
from ..weights.conversion import arrays_for, combine, listed
from ..weights.safetensors import read_safetensors
from ..weights.state_dict import container_of
from ..weights.torch_file import read_torch


def run(args):
    """Convert a PyTorch checkpoint, or blend two of ours, and print what it is."""
    target = Path(args.output)
    if target.suffix != ".ckpt":
        raise UserError(f"--output must end in .ckpt, got {target}")
    for source in map(Path, args.blend or [args.input]):
        if target.exists() and source.exists() and target.samefile(source):
            raise UserError(f"--output is the input itself, {target}: name another file")
    if args.blend:
        _blend(args)
    else:
        _convert(args)


def _blend(args):
    if args.config or args.overrides:
        given = args.overrides[0] if args.overrides else "--config"
        raise UserError(f"'{given}' has no effect on --blend, whose settings are the first checkpoint's: leave it out")
    if args.alpha is None or not 0 <= args.alpha <= 1:
        raise UserError(f"--blend needs --alpha, from 0 (the first checkpoint) to 1 (the second), got {args.alpha}")
    from ..weights.checkpoint import load_checkpoint

    config, arrays = blended(*map(load_checkpoint, args.blend), args.alpha)
    _write(args.output, config, arrays, 0)


def blended(first, second, alpha):
    """Return the ``Config`` and {parameter name: float32 array} between two checkpoints of one network.

    Network interpolation, (1 − α)·A + α·B (arXiv 1809.00219, section 3.4), of every tensor, as the paper's own script
    does: statistics of BatchNorm are interpolated like weights. Moving averages are taken where there are any. The
    settings are A's, or B's where A is what B's training could start from. Different networks are a UserError.
    """
    configs, problem = [config_of(first), config_of(second)], None
    for config in configs:
        family = family_of(config)
        ours, theirs = (family.pretrained_arrays("", each) for each in (first, second))
        if ours.keys() == theirs.keys():
            break
    if alone := [name for name in {**ours, **theirs} if name not in ours or name not in theirs]:
        problem = f"only one of them has {listed(alone)}"
    elif unlike := [name for name in ours if ours[name].shape != theirs[name].shape]:
        problem = f"'{unlike[0]}' is {ours[unlike[0]].shape} and {theirs[unlike[0]].shape}"
    if problem:
        raise UserError(f"{first.path} and {second.path} are different networks, {problem}: name two of one network")
    for each, checkpoint in zip(configs, (first, second), strict=True):
        family.check_pretrained("", each, checkpoint.path)
    config = replace(config, name=f"{'_'.join(each.name for each in configs)}_{alpha:g}")
    weights = np.float32(1 - alpha), np.float32(alpha)
    return config, {
        name: weights[0] * ours[name].astype(np.float32) + weights[1] * theirs[name].astype(np.float32) for name in ours
    }


def _convert(args):
    source = Path(args.input)
    if args.alpha is not None:
        raise UserError("--alpha is of --blend: leave it out of --input")
    if args.config:
        given = config_to_dict(load_config(args.config, args.overrides, SCHEMAS))
    else:
        given = overrides_to_dict(args.overrides, SCHEMAS)
    read = read_safetensors if source.suffix == ".safetensors" else read_torch
    obj = read(source)
    config, arrays, conversion = converted(obj, given, source)
    print(f"found      {container_of(obj)}: {conversion.form}")
    _write(args.output, config, arrays, conversion.step, conversion.unused, conversion.part)


def _write(target, config, arrays, step, unused=(), part=""):
    from ..weights.checkpoint import config_json, save_model

    save_model(target, arrays, config_json(config), step)
    print(f"system     {config.system}" + (f", its {part}" if part else f" x{config.data.scale}, {step} steps done"))
    print("\n".join(line for line in family_of(config).summary() if line.startswith(part)))
    print(f"used       {len(arrays)} tensors, {sum(array.size for array in arrays.values())} values")
    print(f"not used   {', '.join(unused) or 'nothing'}")
    print(f"written    {target}")


def converted(obj, given=None, source="the file"):
    """Return what ``read_torch`` read becomes: its ``Config``, {parameter name: float32 array}, and the Conversion.

    ``given`` is a nested dict of settings that somebody names, ``source`` the file's name for messages.
    """
    given = given or {}
    try:
        conversion = convert(obj, given)
        settings = combine(conversion.found, conversion.assumed, given)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    config = config_from_dict(settings, SCHEMAS, str(source))
    family_of(config).check()
    try:
        return config, arrays_for(conversion, shapes_of(config, conversion.part)), conversion
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def shapes_of(config, part=""):
    """{name: shape} of the parameters of a configuration's network, or another part, which take no memory here.

    The sizes come from a file that is not trusted: a small tensor can claim channels whose weights fill the memory.
    """
    from mindspore.nn.utils import no_init_parameters

    with no_init_parameters():
        network = family_of(config).part(part)
        return {parameter.name: tuple(parameter.shape) for parameter in network.get_parameters()}
