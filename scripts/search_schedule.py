#!/usr/bin/env python3
"""Search a good short noise schedule for a diffusion model on validation pictures.

A grid of schedules with β of their own and, to compare, the spacings through the trained steps: all of them on a few
pictures, the better half on twice as many, and so on. Scores are kept in a JSON file; the same call goes on where it
was stopped, and a finer grid costs its new schedules alone. Prints the best and how to use them.
"""

import sys
from argparse import ArgumentTypeError
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import add_device, parser, run  # noqa: E402

ROWS = 10


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--checkpoint", required=True, metavar="W", help="a diffusion model that enlarges")
    p.add_argument("--data", required=True, metavar="DIR", help="validation pictures, not those of a final report")
    p.add_argument("--output", default="runs/schedule.json", metavar="JSON", help="where the scores are kept")
    p.add_argument("--steps", type=int, default=6, help="of the schedule")
    p.add_argument("--metric", choices=("lpips", "psnr", "ssim", "lr_psnr"), default="lpips", help="what is best")
    p.add_argument("--samplers", nargs="+", default=["ddpm", "ddim"])
    p.add_argument("--families", nargs="+", default=["linear_beta", "quadratic_beta", "geometric_beta"])
    p.add_argument("--firsts", nargs="+", default=["1e-5", "1e-4", "1e-3", "1e-2"], metavar="B", type=beta,
                   help="first β")  # fmt: skip
    p.add_argument("--lasts", nargs="+", default=["0.3", "0.5", "0.7", "0.9"], metavar="B", type=beta, help="last β")
    p.add_argument("--temperature", type=float, help="of all of them; by default the model's own")
    p.add_argument("--pictures", type=int, default=16, metavar="N", help="look at the first N by name; 0 takes all")
    p.add_argument("--first-pictures", type=int, default=2, metavar="N", help="pictures of the first round")
    p.add_argument("--keep", type=float, default=0.5, help="the share that goes on from round to round")
    p.add_argument("--protocol", help="of PSNR and SSIM; by default the checkpoint's")
    p.add_argument("--lpips", choices=("squeeze", "alex", "vgg"), default="alex", help="network of LPIPS")
    p.add_argument("--lpips-weights", metavar="PATH", help="their folder or file; by default the cache folder")
    p.add_argument("--seed", type=int, default=0, help="picture n, counted from 0, is sampled with the seed + n")
    p.add_argument("--record", metavar="W", help="write the model to this checkpoint, with the best as its default")
    add_device(p)
    args = p.parse_args()
    if args.pictures < 0 or args.first_pictures < 1 or not 0 < args.keep < 1 or not 0 <= args.seed < 2**63:
        p.error("--pictures must be 0 or more, --first-pictures 1 or more, --keep between 0 and 1, --seed below 2^63")
    if not args.checkpoint.endswith(".ckpt"):
        p.error(f"argument --checkpoint: a checkpoint's name ends in .ckpt, got {args.checkpoint}")
    if args.record and not args.record.endswith(".ckpt"):
        p.error(f"argument --record: a checkpoint's name ends in .ckpt, got {args.record}")
    return args


def beta(text):
    """A β as it was written, which names a schedule, if it is a number above 0 and below 1."""
    try:
        right = 0 < float(text) < 1
    except ValueError:
        right = False
    if not right:
        raise ArgumentTypeError(f"a β is a number above 0 and below 1, not '{text}'")
    return text


def main():
    args = arguments()
    from tqdm import tqdm

    from src.commands.search_schedule import Search, candidates, halve, record_sampling, rungs

    config, upscaler, pairs, lpips, about = prepare(args)
    options = {} if args.temperature is None else {"temperature": args.temperature}
    upscaler.resolve(**options)
    grid = candidates(upscaler, args.samplers, args.steps, args.families, args.firsts, args.lasts)
    search = Search(
        args.output, about, upscaler, lambda number: read(pairs[number], config), about["protocol"], lpips, args.seed,
        **options,
    )  # fmt: skip
    plan = rungs(len(grid), len(pairs), args.first_pictures, args.keep)
    with tqdm(total=sum(r.candidates * (r.last - r.first) for r in plan), desc="searching", unit="picture") as bar:
        best = halve(
            grid, plan, lambda alive, number: search.measure(alive, number, bar.update),
            lambda candidate, count: search.loss(candidate, count, args.metric), lambda c: c.is_trained(),
        )  # fmt: skip
    show(search, best, len(pairs), args.metric, len(grid))
    print(f"use: --sampler {best[0].sampler} --steps {best[0].steps} --spacing {best[0].spacing}")
    if args.record:
        record_sampling(args.checkpoint, args.record, best[0]._asdict() | options)
        print(f"written {args.record}")


def read(pair, config):
    """Return a pair's HR and LR, and {"lr_up": …} where its LR↑ is prepared and the model takes it, as eval.py does."""
    from src.dataset.pairs import load_pair
    from src.families.registry import family_of
    from src.training.validation import prepared_lr_up

    hr, lr = load_pair(pair, config.data.scale)
    return hr, lr, prepared_lr_up(pair, lr, config.data.scale) if family_of(config).takes_lr_up else {}


def prepare(args):
    """Return config, upscaler, pairs, LPIPS distance or None, and what scores depend on beside the candidates."""
    from src.build import load
    from src.commands.evaluate import lpips_distance
    from src.dataset.pairs import find_pairs
    from src.errors import UserError
    from src.export.offline import file_hash

    config, upscaler = load(args.checkpoint, args.device)
    if upscaler.one_pass or not upscaler.conditional:
        raise UserError(f"{args.checkpoint} is no diffusion model that enlarges pictures: there is nothing to search")
    pairs = find_pairs(args.data, scale=upscaler.scale)[: args.pictures or None]
    lpips = lpips_distance(args.lpips if args.metric == "lpips" else "none", args.lpips_weights, device=args.device)
    if args.metric == "lpips" and lpips is None:
        raise UserError("--metric lpips needs its weights: name them with --lpips-weights, or take --metric psnr")
    about = {
        "checkpoint": file_hash(args.checkpoint),
        "pictures": {pair.name: [file_hash(path) for path in (pair.hr, pair.lr, pair.lr_up) if path] for pair in pairs},
        "protocol": args.protocol or config.eval.protocol,
        "lpips": args.lpips if lpips else None,
        "seed": args.seed,
        "temperature": args.temperature,
    }
    return config, upscaler, pairs, lpips, about


def show(search, best, pictures, metric, count):
    """Print the best of those that were measured on all pictures, and the best of the trained steps."""
    rows = best[:ROWS] + [next(candidate for candidate in best if candidate.is_trained())]
    print(f"the best of {count} ways to sample by {metric}, {pictures} pictures, protocol {search.about['protocol']}")
    print(f"{'sampler':14}{'spacing':34}{'PSNR':>7}{'SSIM':>8}{'LPIPS':>8}{'LR-PSNR':>9}")
    for candidate in dict.fromkeys(rows):
        mean = search.mean(candidate, pictures)
        ssim, lpips = ("–" if value is None else f"{value:.4f}" for value in (mean.ssim, mean.lpips))
        print(f"{candidate.sampler:14}{candidate.spacing:34}{mean.psnr:7.2f}{ssim:>8}{lpips:>8}{mean.lr_psnr:9.2f}")


if __name__ == "__main__":
    run(main)
