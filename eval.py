#!/usr/bin/env python3
"""Score models on pictures beside MATLAB's bicubic of the same LR: the two that come with the project, or others.

Prints the means as a table; writes metrics.json (every picture, the means, how they were measured) and metrics.csv.
"""

import logging
from pathlib import Path

from src.command import RRDB, SRDIFF, add_device, add_ema, add_sampling, add_tiling, given_sampling, parser, run
from src.diffusion.samplers import SAMPLERS
from src.host.tracking import add_wandb


def arguments():
    """Return the parsed command line."""
    from src.commands.evaluate_sets import add_fid
    from src.metrics.scores import PROTOCOLS
    from src.metrics.weight_files import LPIPS_NETS

    p = parser(__doc__)
    p.add_argument("--checkpoint", nargs="+", metavar="W", help="models of one scale, checkpoints or exports, or none "
                   "for bicubic alone; by default rrdb_lite_x4 and srdiff_lite_x4 in checkpoints/")  # fmt: skip
    p.add_argument("--config", metavar="YAML", help="take eval and data settings from here, not from the checkpoint; "
                   "without --checkpoint: score bicubic alone")  # fmt: skip
    p.add_argument("--data", metavar="DIR", help="pictures: X1 + X4, HR + LR, hr_N + lr_N + sr_N_N, or HR "
                   "alone; else data.test or data.val")  # fmt: skip
    p.add_argument("--hr", metavar="DIR", help="HR pictures, instead of --data")
    p.add_argument("--lr", metavar="DIR", help="their LR pictures; by default made by MATLAB's bicubic")
    p.add_argument(
        "--scale", type=int, choices=(2, 3, 4, 8), help="without --checkpoint: score bicubic alone, of this scale"
    )
    p.add_argument("--protocol", choices=PROTOCOLS, help="by default that of the first checkpoint's settings")
    p.add_argument("--seed", type=int, default=0, help="picture n, counted from 0, is sampled with the seed + n")
    p.add_argument("--lpips", choices=(*LPIPS_NETS, "none"), default="alex", help="network of LPIPS")
    p.add_argument("--lpips-weights", metavar="PATH", help="their folder or file; by default the cache folder")
    p.add_argument("--lpips-download", action="store_true", help="fetch weights of LPIPS that are missing")
    p.add_argument("--output", default="runs/eval", metavar="DIR", help="folder for the metrics")
    p.add_argument("--save-pictures", action="store_true", help="also write the results, to DIR/pictures/METHOD")
    add_fid(p)
    add_sampling(p, SAMPLERS)
    add_tiling(p)
    add_wandb(p, "DIR")
    add_ema(p)
    add_device(p)
    p.add_argument("overrides", nargs="*", metavar="key=value", help="eval.NAME=VALUE or data.test=DIR")
    args = p.parse_intermixed_args()
    if not 0 <= args.seed < 2**63:
        p.error(f"argument --seed: expected a number from 0 to 2^63 - 1, got {args.seed}")
    # argparse takes key=value after "--checkpoint W" for another checkpoint.
    misread = [text for text in args.checkpoint or [] if "=" in text and not Path(text).exists()]
    bicubic_alone = args.scale or args.config or args.generated
    args.checkpoint = checkpoints([text for text in args.checkpoint or [] if text not in misread], bicubic_alone)
    settings = given_sampling(args) | ({"protocol": args.protocol} if args.protocol else {})
    args.overrides += misread + [f"eval.{name}={str(value).lower()}" for name, value in settings.items()]
    return args


def checkpoints(named, bicubic_alone):
    """The checkpoints to score, from the command line's; none where only bicubic is wanted."""
    if named == ["none"]:
        return []
    return named or ([] if bicubic_alone else [str(RRDB), str(SRDIFF)])


def main():
    """Evaluate as the command line says."""
    args = arguments()
    from src.commands import evaluate as evaluation
    from src.commands import evaluate as tracking
    from src.commands.evaluate_sets import evaluate_generation, given_fid, is_generation, open_sets, save_reference
    from src.inference.tile_size import TileOptions
    from src.metrics.report import as_table, prepare_folder, write_report

    fid, output = given_fid(args), prepare_folder(args.output)
    tiles = TileOptions(args.max_memory, args.tile, args.halo)
    models = evaluation.load_models(args.checkpoint, args.config, args.overrides, args.device, not args.no_ema, tiles)
    config = models[0].config if models else evaluation.settings_for(None, args.config, args.overrides)
    if is_generation(models, args):
        return evaluate_generation(models, config, args, output)
    scale = evaluation.common_scale(models, args.scale, config.data.scale)
    data, pairs = evaluation.find_pictures(models, config, scale, args.data, args.hr, args.lr)
    about = evaluation.describe(models, data=data, seed=args.seed) | fid.describe()
    measure = {"protocol": config.eval.protocol, "scale": scale}
    lpips = evaluation.lpips_distance(args.lpips, args.lpips_weights, args.lpips_download, args.device)
    sets = open_sets(fid, len(pairs), args.device)
    with tracking.evaluation_tracker(output, args.wandb, args.wandb_project, about=about, **measure) as tracker:
        report = evaluation.score_pictures(
            models, pairs, seed=args.seed, lpips=lpips, sets=sets, **measure,
            pictures_folder=output / "pictures" if args.save_pictures else None,
            keep=tracking.EvaluationPictures(tracker, pairs, len(about["methods"]), scale),
        )  # fmt: skip
        print(as_table(report, about))
        write_report(report, about, output)
        tracking.track_report(tracker, report)
    save_reference(fid, sets)
    logging.info("written %s and metrics.csv", output / "metrics.json")


if __name__ == "__main__":
    run(main)
