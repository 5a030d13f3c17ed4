"""Convert a checkpoint of the public PyTorch SRDiff: a whole SRDiff, or an RRDB pre-training."""

import json
from pathlib import Path

from src import command


def main():
    """Parse the command line, convert, print a summary."""
    arguments = _arguments()
    from src.config.loader import config_from_dict, config_to_dict, load_config
    from src.config.validate import check
    from src.errors import UserError
    from src.weights.settings import combine
    from src.weights.srdiff import from_srdiff
    from src.weights.torch_file import read_torch

    source, target = Path(arguments.input), Path(arguments.output)
    if target.suffix != ".ckpt":
        raise UserError(f"--output must end in .ckpt, got {target}")
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"--output is the input itself, {target}: name another file")
    if arguments.overrides and not arguments.config:
        raise UserError(f"'{arguments.overrides[0]}' changes a configuration: name one with --config")
    given = config_to_dict(load_config(arguments.config, arguments.overrides)) if arguments.config else None
    checkpoint = read_torch(source)
    try:
        converted = from_srdiff(checkpoint, groups=given["unet"]["groups"] if given else 0)
        settings = combine(converted.found, converted.assumed, given)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    config = config_from_dict(settings, where=str(source))
    check(config)

    from src.training.checkpoints import save_model  # mindspore takes seconds to import: not before all is checked

    save_model(target, converted.arrays, json.dumps(config_to_dict(config)), converted.step)
    _print_summary(config, converted, target)


def _arguments():
    parser = command.parser(__doc__)
    parser.add_argument(
        "--input", required=True, help="the PyTorch file, .ckpt or .pth; PyTorch is not needed to read it"
    )
    parser.add_argument("--output", required=True, help="the MindSpore checkpoint to write, .ckpt")
    parser.add_argument("--config", help="settings that the file does not tell; those that it tells must agree")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="change settings of --config")
    return parser.parse_intermixed_args()


def _print_summary(config, converted, target):
    encoder, unet, diffusion = config.encoder, config.unet, config.diffusion
    values = sum(array.size for array in converted.arrays.values())
    print(f"system     {config.system} x{config.data.scale}, {converted.step} steps done")
    print(f"encoder    {encoder.features} features, growth {encoder.growth}, {encoder.blocks} blocks")
    if config.system == "srdiff":
        options = [f"GroupNorm {unet.groups}"] * bool(unet.groups)
        options += ["attention"] * unet.attention + ["LR added at the input"] * unet.add_lr_up
        print(f"U-Net      width {unet.width}, multipliers {list(unet.multipliers)}", *options, sep=", ")
        print(f"diffusion  {diffusion.steps} steps, {diffusion.schedule} schedule, lr / {diffusion.lr_divisor}")
    print(f"used       {len(converted.arrays)} tensors, {values} values")
    print(f"not used   {', '.join(converted.unused) or 'nothing'}")
    print(f"written    {target}")


if __name__ == "__main__":
    command.run(main)
