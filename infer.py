#!/usr/bin/env python3
"""Upscale a picture or a folder of pictures with a checkpoint or an exported MindIR model."""

from src.command import add_device, add_ema, parser, run
from src.tracking import add_wandb


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    model = p.add_mutually_exclusive_group(required=True)
    model.add_argument("--checkpoint", metavar="W", help="a .ckpt written by train.py or convert.py")
    model.add_argument("--model", metavar="M", help="a .mindir written by export.py")
    p.add_argument("--input", required=True, metavar="FILE|DIR", help="a picture, or a folder of pictures; any size")
    p.add_argument("--output", default="results", metavar="FILE|DIR", help="a file, or a folder that keeps the names")
    p.add_argument("--sampler", help="ddpm; by default the model's own")
    p.add_argument("--steps", type=int, help="sampling steps; by default the model's own")
    p.add_argument("--temperature", type=float, help="scales all noise; by default the model's own")
    p.add_argument("--seed", type=int, default=0, help="of the noise; each picture starts from it")
    p.add_argument("--batch", type=int, default=4, help="pictures of one size upscaled together, at most")
    p.add_argument("--compare", action="store_true", help="also write NAME_compare.png: LR | bicubic | SR")
    add_wandb(p, "runs/infer")
    add_ema(p)
    add_device(p)
    return p.parse_args()


def main():
    args = arguments()
    from src.errors import UserError
    from src.inference.pictures import make_folders, plan_jobs, upscale_files

    if args.batch < 1 or not 0 <= args.seed < 2**64:
        raise UserError(f"--batch must be at least 1, --seed from 0 to 2^64 - 1, not {args.batch} and {args.seed}")
    jobs = plan_jobs(args.input, args.output, args.compare)
    make_folders(jobs)
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    from src.build import load_upscaler
    from src.build_inference import InferenceLog, inference_tracker

    upscaler = load_upscaler(args.checkpoint or args.model, args.device, ema=not args.no_ema)
    sampling = {"sampler": args.sampler, "steps": args.steps, "temperature": args.temperature}
    upscaler.check(**sampling)

    tracker = inference_tracker(
        args.wandb, args.wandb_project, model=args.checkpoint or args.model, upscaler=upscaler, sampling=sampling,
        seed=args.seed, batch=args.batch,
    )  # fmt: skip
    log = InferenceLog(tracker)

    def done(job, lr, sr):
        log(job, lr, sr)
        for path in (job.result, job.comparison)[: 1 + args.compare]:
            tqdm.write(str(path))  # on stdout, past the bar
        bar.update()

    with tracker, logging_redirect_tqdm(), tqdm(total=len(jobs), unit="picture", desc="upscale") as bar:
        upscale_files(
            upscaler, jobs, batch=args.batch, seed=args.seed, compare=args.compare, done=done, **sampling,
            callback=lambda k, *_: bar.set_postfix_str(f"step {k + 1}"),
        )  # fmt: skip


if __name__ == "__main__":
    run(main)
