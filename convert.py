"""Convert a PyTorch checkpoint: a public SRDiff's, its RRDB pre-training's, or a *_gen.pth of the port of SR3."""

import json
from pathlib import Path

from src import command


def main():
    """Parse the command line, convert, print a summary."""
    arguments = _arguments()
    from src.config.loader import config_from_dict, config_to_dict, load_config, overrides_to_dict
    from src.config.validate import check
    from src.errors import UserError
    from src.weights.conversion import combine
    from src.weights.programs import convert
    from src.weights.torch_file import read_torch

    source, target = Path(arguments.input), Path(arguments.output)
    if target.suffix != ".ckpt":
        raise UserError(f"--output must end in .ckpt, got {target}")
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"--output is the input itself, {target}: name another file")
    if arguments.config:
        given = config_to_dict(load_config(arguments.config, arguments.overrides))
    else:
        given = overrides_to_dict(arguments.overrides)
    checkpoint = read_torch(source)
    try:
        converted = convert(checkpoint, given)
        settings = combine(converted.found, converted.assumed, given)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    config = config_from_dict(settings, where=str(source))
    check(config)

    from src.weights.checkpoint import save_model

    save_model(target, converted.arrays, json.dumps(config_to_dict(config)), converted.step)
    _print_summary(config, converted, target)


def _arguments():
    parser = command.parser(__doc__)
    parser.add_argument(
        "--input", required=True, help="the PyTorch file, .ckpt or .pth; PyTorch is not needed to read it"
    )
    parser.add_argument("--output", required=True, help="the MindSpore checkpoint to write, .ckpt")
    parser.add_argument("--config", help="settings that the file does not tell; those that it tells must agree")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="settings that the file does not tell, or changes of --config's",
    )
    return parser.parse_intermixed_args()


def _print_summary(config, converted, target):
    values = sum(array.size for array in converted.arrays.values())
    print(f"system     {config.system} x{config.data.scale}, {converted.step} steps done")
    if config.system == "sr3":
        _print_sr3(config.sr3)
    else:
        _print_srdiff(config)
    if config.system != "rrdb":
        print(f"diffusion  {config.diffusion.steps} steps, {config.diffusion.schedule} schedule")
    print(f"used       {len(converted.arrays)} tensors, {values} values")
    print(f"not used   {', '.join(converted.unused) or 'nothing'}")
    print(f"written    {target}")


def _print_srdiff(config):
    encoder, unet = config.encoder, config.unet
    print(f"encoder    {encoder.features} features, growth {encoder.growth}, {encoder.blocks} blocks")
    if config.system == "srdiff":
        options = [f"GroupNorm {unet.groups}"] * bool(unet.groups) + ["attention"] * unet.attention
        options += ["LR added at the input"] * unet.add_lr_up + [f"lr / {config.diffusion.lr_divisor}"]
        print(f"U-Net      width {unet.width}, multipliers {list(unet.multipliers)}", *options, sep=", ")


def _print_sr3(sr3):
    options = [f"{sr3.blocks} blocks a level", f"GroupNorm {sr3.groups}", f"{sr3.noise_level} noise level"]
    options += [f"attention at {', '.join(map(str, sr3.attention))} of {sr3.image_size}"] * bool(sr3.attention)
    options += ["scaled and shifted by the noise level"] * sr3.affine + ["from nothing"] * (not sr3.conditional)
    print(f"U-Net      width {sr3.width}, multipliers {list(sr3.multipliers)}", *options, sep=", ")


if __name__ == "__main__":
    command.run(main)
