"""What convert.py does."""

from pathlib import Path

from src.config.loader import config_from_dict, config_to_dict, load_config, overrides_to_dict
from src.errors import UserError
from src.families.registry import SCHEMAS, convert, family_of
from src.weights.conversion import arrays_for, combine
from src.weights.safetensors import read_safetensors
from src.weights.torch_file import read_torch


def run(args):
    """Convert a PyTorch checkpoint and print what it is."""
    source, target = Path(args.input), Path(args.output)
    if target.suffix != ".ckpt":
        raise UserError(f"--output must end in .ckpt, got {target}")
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"--output is the input itself, {target}: name another file")
    if args.config:
        given = config_to_dict(load_config(args.config, args.overrides, SCHEMAS))
    else:
        given = overrides_to_dict(args.overrides, SCHEMAS)
    read = read_safetensors if source.suffix == ".safetensors" else read_torch
    config, arrays, conversion = converted(read(source), given, source)

    from src.weights.checkpoint import config_json, save_model

    save_model(target, arrays, config_json(config), conversion.step)
    if conversion.form:
        print(f"found      {conversion.form}")
    print(f"system     {config.system} x{config.data.scale}, {conversion.step} steps done")
    print("\n".join(family_of(config).summary()))
    print(f"used       {len(arrays)} tensors, {sum(array.size for array in arrays.values())} values")
    print(f"not used   {', '.join(conversion.unused) or 'nothing'}")
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
