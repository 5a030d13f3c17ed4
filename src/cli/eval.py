"""Score models on pictures beside MATLAB's bicubic of the same LR: the two that come with the project, or others.

Prints the means as a table; writes metrics.json (every picture, the means, how they were measured) and metrics.csv.
"""

from argparse import ArgumentTypeError

from ..command import add_device, add_ema, add_runtime, add_sampling, add_tiling, parser
from ..diffusion.samplers import SAMPLERS
from ..host.tracking import add_wandb
from ..imaging.resize import LR_KERNELS
from ..metrics.scores import PROTOCOLS
from ..metrics.weight_files import LPIPS_NETS


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--checkpoint", nargs="+", metavar="W", help="models of one scale, checkpoints or exports, or none "
                   "for bicubic alone; by default rrdb_lite_x4 and srdiff_lite_x4 in checkpoints/")  # fmt: skip
    p.add_argument("--config", metavar="YAML", help="take eval, data and degradation settings from here, not from the "
                   "checkpoint; without --checkpoint: score bicubic alone")  # fmt: skip
    p.add_argument("--data", metavar="DIR", help="HR and LR pictures in any layout of docs/layouts.md, or HR "
                   "alone; else data.test or data.val")  # fmt: skip
    p.add_argument("--hr", metavar="DIR", help="HR pictures, instead of --data")
    p.add_argument("--lr", metavar="DIR", help="their LR pictures; by default they are made")
    p.add_argument("--lr-kernel", choices=LR_KERNELS, help="how LR is made of HR where it is not there: by MATLAB's "
                   "bicubic, the default, or as the largest value of each block of scale x scale pixels")  # fmt: skip
    p.add_argument("--degrade", type=int, metavar="SEED", help="make LR by the settings 'degradation' of --config, or "
                   "else of the first checkpoint; picture n is degraded the same for one SEED")  # fmt: skip
    p.add_argument("--scale", type=int, choices=(2, 3, 4, 8), help="without --checkpoint: score bicubic alone, of this "
                   "scale")  # fmt: skip
    p.add_argument("--protocol", choices=PROTOCOLS, help="by default that of the first checkpoint's settings")
    p.add_argument("--seed", type=int, default=0, help="picture n, counted from 0, is sampled with the seed + n")
    p.add_argument("--lpips", choices=(*LPIPS_NETS, "none"), default="alex", help="network of LPIPS")
    p.add_argument("--lpips-weights", metavar="PATH", help="their folder or file; by default the cache folder")
    p.add_argument("--lpips-download", action="store_true", help="fetch weights of LPIPS that are missing")
    p.add_argument("--niqe", action="store_true", help="also measure NIQE: how far results are from natural pictures, "
                   "by statistics of this project's own")  # fmt: skip
    p.add_argument("--output", default="runs/eval", metavar="DIR", help="folder for the metrics")
    p.add_argument("--save-pictures", action="store_true", help="also write the results, to DIR/pictures/METHOD")
    add_fid(p)
    add_sampling(p, SAMPLERS)
    add_tiling(p)
    add_wandb(p, "DIR")
    add_ema(p)
    add_runtime(p)
    add_device(p)
    p.add_argument("overrides", nargs="*", metavar="key=value", help="eval.NAME=VALUE or data.test=DIR")
    args = p.parse_intermixed_args()
    for name in ("seed", "degrade"):
        if not 0 <= (getattr(args, name) or 0) < 2**63:
            p.error(f"argument --{name}: expected a number from 0 to 2^63 - 1, got {getattr(args, name)}")
    return args


def add_fid(p):
    """Add the options of FID and Inception Score."""
    fid = p.add_argument_group("FID and Inception Score", "of all pictures of a method together")
    fid.add_argument("--fid", choices=("pytorch-fid", "torch-fidelity", "none"), help="measure them, of pictures "
                     "prepared as this program does; by default pytorch-fid where an option of this group is given, "
                     "else none")  # fmt: skip
    fid.add_argument("--fid-weights", metavar="PATH", help="Inception's, or their folder; by default the cache folder")
    fid.add_argument("--fid-download", action="store_true", help="fetch them if they are missing")
    fid.add_argument("--fid-reference", metavar="DIR|NPZ", help="pictures to compare with, or their statistics; by "
                     "default the HR pictures")  # fmt: skip
    fid.add_argument("--samples", type=samples, metavar="N", help="of a model that makes pictures from nothing, so "
                     "many; by default as many as there are to compare with")  # fmt: skip
    fid.add_argument("--generated", metavar="DIR", help="of these pictures, instead of a model's")
    fid.add_argument("--fid-save", metavar="NPZ", help="write the statistics of what was compared with")


def samples(text):
    """A number of pictures that FID can be computed of."""
    if not text.isdecimal() or int(text) < 2:
        raise ArgumentTypeError(f"expected a number from 2 up, got {text}")
    return int(text)


def main():
    args = arguments()
    from ..commands import evaluate

    evaluate.run(args)
