#!/usr/bin/env python3
"""Make a small checkpoint to give away: the averaged weights in float16, with the best way to sample as default.

Its export for the CPU is written beside, to exports/NAME.onnx; the model is called by the file's name.
"""

import sys
from dataclasses import replace
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import parser, run  # noqa: E402


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--checkpoint", required=True, metavar="W", help="a .ckpt written by train.py or convert.py")
    p.add_argument("--output", required=True, metavar="FILE", help="the .ckpt to write")
    p.add_argument("overrides", nargs="*", metavar="eval.key=value", help="its new defaults, such as eval.steps=5")
    return p.parse_intermixed_args()


def main():
    args = arguments()
    from src.build import write_export
    from src.commands.evaluation_setup import settings_for
    from src.families.registry import config_of
    from src.weights.checkpoint import config_json, load_checkpoint, save_model

    checkpoint = load_checkpoint(args.checkpoint)
    output = Path(args.output)
    config = replace(settings_for(config_of(checkpoint), overrides=args.overrides), name=output.stem)
    save_model(output, checkpoint.model_arrays(), config_json(config), checkpoint.step, half=True)
    write_export(output, output.parent / "exports" / f"{output.stem}.onnx")
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, after {checkpoint.step} steps")


if __name__ == "__main__":
    run(main)
