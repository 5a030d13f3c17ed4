#!/usr/bin/env python3
"""Upscale a picture or a folder of pictures: with the model that comes with the project, or another one."""

import logging

from src.command import add_device, add_ema, add_sampling, add_tiling, given_sampling, parser, run
from src.shipped import SRDIFF
from src.tracking import add_wandb


def arguments():
    """Return the parsed command line."""
    from src.export.offline import RUNTIMES

    runtimes = [name for names in RUNTIMES.values() for name in names]
    p = parser(__doc__)
    model = p.add_mutually_exclusive_group()
    model.add_argument("--checkpoint", metavar="W", help="a .ckpt written by train.py or convert.py; "
                       "by default checkpoints/srdiff_lite_x4.ckpt")  # fmt: skip
    model.add_argument("--model", metavar="M", help="what export.py wrote: a .mindir or .onnx, or their folder")
    p.add_argument("--input", required=True, metavar="FILE|DIR", help="a picture, or a folder of pictures; any size")
    p.add_argument("--output", default="results", metavar="FILE|DIR", help="a file, or a folder that keeps the names")
    p.add_argument("--seed", type=int, default=0, help="of the noise; each picture starts from it")
    p.add_argument("--samples", type=int, default=1, metavar="K", help="write NAME_1 to NAME_K, their mean, a heat map "
                   "of their deviation (NAME_std), and once more the one nearest to the input (NAME_best)")  # fmt: skip
    p.add_argument("--runtime", choices=runtimes, help="what runs --model; by default the first that is installed, "
                   "mindspore before mindspore_lite")  # fmt: skip
    p.add_argument("--batch", type=int, default=4, help="pictures of one size upscaled together, at most")
    p.add_argument("--compare", action="store_true", help="also write NAME_compare.png: LR | bicubic | SR")
    add_sampling(p)
    add_tiling(p)
    add_wandb(p, "runs/infer")
    add_ema(p)
    add_device(p)
    return p.parse_args()


def main():
    args = arguments()
    from src.errors import UserError
    from src.inference.jobs import make_folders, plan_jobs
    from src.inference.tile_choice import TileOptions

    if not (1 <= args.batch <= 1024 and 1 <= args.samples <= 1000 and 0 <= args.seed <= 2**64 - args.samples):
        raise UserError(
            "--batch must be from 1 to 1024, --samples from 1 to 1000, --seed from 0 to 2^64 less the samples, not "
            f"{args.batch}, {args.samples} and {args.seed}"
        )
    several = 2 if args.samples > 1 else 0  # mean and variance
    tile_options = TileOptions(args.max_memory, args.tile, args.halo, beside=several)
    jobs = plan_jobs(args.input, args.output, args.compare, args.samples)
    make_folders(jobs)
    from tqdm.contrib.logging import logging_redirect_tqdm

    from src.build import load_upscaler
    from src.build_inference import InferenceLog, InferenceWatch, inference_tracker
    from src.inference.pictures import upscale_files

    path, sampling = args.checkpoint or args.model, given_sampling(args)
    if path is None:
        path = str(SRDIFF)
        logging.info("the model is checkpoints/%s, times 4; --checkpoint or --model names another", SRDIFF.name)
    if args.runtime and not args.model:
        raise UserError("--runtime is for an exported model: name one with --model, or leave it out")
    upscaler = load_upscaler(
        path, args.device, ema=not args.no_ema, tile_options=tile_options, dedicated=True, runtime=args.runtime
    )
    upscaler.check(args.samples, **sampling)
    tracker = inference_tracker(
        args.wandb, args.wandb_project, model=path, upscaler=upscaler, sampling=sampling, seed=args.seed,
        batch=args.batch, samples=args.samples,
    )  # fmt: skip
    with tracker, logging_redirect_tqdm(), InferenceWatch(jobs, InferenceLog(tracker)) as watch:
        upscale_files(
            upscaler, jobs, batch=args.batch, seed=args.seed, compare=args.compare, samples=args.samples, watch=watch,
            **sampling,
        )  # fmt: skip


if __name__ == "__main__":
    run(main)
