"""What infer.py does: the command line checked, the model loaded, files written."""

import contextlib
import functools
import logging
import math
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from .. import build
from ..command import PRESETS, SRDIFF, given_sampling, quieten, what_makes
from ..errors import UserError, one_line
from ..export.artefact import model_hash
from ..host.ranks import is_scheduler, launched, launched_world
from ..host.shipped import shipped
from ..host.tracking import open_tracker
from ..imaging.io import picture_size, read_image
from ..imaging.resize import resized
from ..imaging.sixteen_bits import eight_bits
from ..imaging.strip import at_most, repeated, side_by_side, within
from ..inference.files import Watch, sample_files, upscale_files
from ..inference.jobs import make_folders, plan_jobs, plan_unconditional, writing_memory
from ..inference.latent import Fusion, Interpolation
from ..inference.process import Process
from ..inference.records import Records, stamp
from ..inference.tile_size import TileOptions

FRAMES = 10
MOST_PICTURES = 100_000
LARGEST = 16384  # pixels
LOGGED_PICTURES = 16
LONGEST = 4096  # pixels of a logged picture's longer side


def run(args):
    """Write what the command line asks for; several ranks share the pictures and do not communicate."""
    check_options(args)
    if is_scheduler():
        return
    world = launched_world()
    if not world.is_first:
        quieten()
    kinds = tuple(dict.fromkeys(args.process or ()))
    mean_and_variance = 2 if args.samples > 1 else 0
    frames = args.count or args.frames or FRAMES
    interpolation = Interpolation(*args.interpolate, frames) if args.interpolate else None
    fusion = read_fusion(args) if args.fuse else None
    if args.count is None:
        jobs = plan_jobs(
            args.input, args.output, args.compare, args.samples, kinds, args.format, args.quality,
            frames=frames if interpolation else 0, recursive=args.recursive,
        )  # fmt: skip
        grid = None
    else:
        jobs, grid = plan_unconditional(args.output, args.count, args.seed, interpolation)
    tile_options = TileOptions(
        args.max_memory, args.tile, args.halo, args.fixed_tiles, mean_and_variance, writing_memory(jobs)
    )
    make_folders(jobs)
    if world.size > 1:
        jobs = share(jobs, args, world)
        if not jobs:
            return
    paths = args.checkpoint or args.model or [preset(args)]
    records, planned = records_for(args, paths, kinds), len(jobs)
    if args.skip_existing:
        jobs = records.unfinished(jobs, Path(args.input))
        if not jobs:
            return
    upscaler = build.load_upscaler(
        tuple(paths), args.device, ema=not args.no_ema, tile_options=tile_options, runtime=args.runtime,
        cache=not args.no_cache,
    )  # fmt: skip
    sampling = check_model(upscaler, args)
    tracker = inference_tracker(args, paths, upscaler, sampling)
    with tracker, logging_redirect_tqdm(), InferenceWatch(jobs, tracker) as watch:
        process = Process(args.frames or FRAMES, kinds) if kinds else None
        common = {"batch": args.batch, "seed": args.seed, "process": process, "watch": watch}
        common["interpolation"] = interpolation
        if grid is None:
            with gently():
                options = {"compare": args.compare, "samples": args.samples, "outscale": args.outscale}
                options |= {"max_pixels": round(args.max_pixels * 1e6), "fusion": fusion}
                options |= {"records": records, "done": planned - len(jobs)}
                upscale_files(upscaler, jobs, sampling, **options, **common)
        else:
            size = (args.size, args.size) if args.size else upscaler.usual_size
            sample_files(upscaler, jobs, grid, sampling, size=size, **common)


def preset(args):
    """The path of a model of the project: that of --preset, whose steps become the arguments', or one of any steps."""
    steps = args.fuse or args.process or {"sampler", "steps", "spacing"} & given_sampling(args).keys()
    path, own = (SRDIFF, None) if steps and args.preset is None else PRESETS[args.preset or "fast"]
    if args.steps is None:
        args.steps = own
    if args.preset is None:
        other = "--preset or --checkpoint names another"
        if str(args.input).lower().endswith((".jpg", ".jpeg")):
            other = "--preset photo takes JPEG's blocks and noise out"
        logging.info("the model is checkpoints/%s, times 4; %s", path.name, other)
    return str(path)


def records_for(args, paths, kinds):
    """The ``Records`` of a folder of pictures, or of one with --skip-existing; else None."""
    if args.count is not None or not (args.skip_existing or Path(args.input).is_dir()):
        return None
    made = what_makes(args, [model_hash(shipped(path)) for path in paths])
    made |= {name: getattr(args, name) for name in ("no_ema", "frames", "interpolate", "box", "from_step")}
    files = {name: path and stamp(path) for name in ("fuse", "mask") for path in [getattr(args, name)]}
    return Records({**made, **files, "process": kinds})


def share(jobs, args, world):
    """This rank's part of the jobs: every n-th, the largest pictures first; the first rank speaks for all."""
    if args.count is not None:
        raise UserError("--count is the work of one process: leave --nproc out")
    if Path(args.input).resolve() == Path(args.output).resolve():
        raise UserError("several ranks take each other's results for pictures of the input: name another --output")
    own = world.share(sorted(jobs, key=pixels, reverse=True))
    if world.is_first:
        logging.info("rank 0 of %d: %d of %d pictures, the others do the rest", world.size, len(own), len(jobs))
    else:
        args.wandb = "off"
    return own


def pixels(job):
    """The number of pixels of a job's picture; 0 where its header cannot be read, which is told later."""
    try:
        return math.prod(picture_size(job.source))
    except UserError:
        return 0


@contextlib.contextmanager
def gently():
    """Of ranks, log a mistake in place of raising it: msrun would kill the others before their work is done."""
    try:
        yield
    except UserError as error:
        if not launched():
            raise
        logging.error("error: %s", one_line(error))  # from which scripts/msrun.sh makes its status


def check_options(args):
    """Refuse numbers that are out of range, and options that do not fit each other, before any work."""
    pictures = args.samples if args.count is None else args.count
    if not (1 <= args.batch <= 1024 and 1 <= args.samples <= 1000 and 0 <= args.seed <= 2**64 - max(pictures, 1)):
        raise UserError(
            "--batch must be from 1 to 1024, --samples from 1 to 1000, --seed from 0 to 2^64 less the samples, not "
            f"{args.batch}, {args.samples} and {args.seed}"
        )
    if (args.input is None) == (args.count is None):
        raise UserError(
            "name the pictures to enlarge with --input, or how many to make from nothing with --count: one of both"
        )
    if args.count is not None:
        _check_unconditional(args)
    elif args.size is not None:
        raise UserError(f"--size {args.size} is of pictures from nothing: leave it out, or take --count N")
    if args.frames is not None and not ((args.process or args.interpolate) and 1 <= args.frames <= 100):
        raise UserError(f"--frames must be from 1 to 100, with --process KIND or --interpolate, not {args.frames}")
    _check_latent(args)
    if args.process and args.samples > 1:
        raise UserError("--process shows one sample: leave --samples or --process out")


def _check_latent(args):
    if args.interpolate and (args.samples > 1 or args.process or args.compare or args.fuse or args.seed):
        raise UserError("--interpolate makes its own samples: leave --samples, --process, --compare, --fuse and --seed "
                        "out")  # fmt: skip
    if args.interpolate and args.count is not None and args.frames is not None:
        raise UserError("--count is how many frames --interpolate makes from nothing: leave --frames out")
    places = [args.box, args.mask].count(None)
    if args.fuse and places != 1:
        raise UserError("--fuse needs the content's place, --box X,Y,W,H or --mask FILE: name one of both")
    if not args.fuse and (places != 2 or args.from_step is not None):
        raise UserError("--box, --mask and --from-step are of --fuse: name the CONTENT with it, or leave them out")
    if args.fuse and (args.count is not None or Path(args.input).is_dir()):
        raise UserError("--fuse is for one picture: name its file with --input, no folder and no --count")


def read_fusion(args):
    """``fusion(lr_size, scale)`` of the files that the command line names."""
    for name in (args.fuse, args.mask):
        if name is not None and Path(name).is_dir():
            raise UserError(f"{name} is a folder: name one picture with --fuse, and with --mask")
    mask = None if args.mask is None else eight_bits(read_image(args.mask).rgb).max(axis=2)
    content = read_image(args.fuse).rgb
    return functools.partial(Fusion, content, box=args.box, mask=mask, from_step=args.from_step)


def _check_unconditional(args):
    if not 1 <= args.count <= MOST_PICTURES or (args.size is not None and not 1 <= args.size <= LARGEST):
        raise UserError(
            f"--count must be from 1 to {MOST_PICTURES}, --size from 1 to {LARGEST}, not {args.count} and {args.size}"
        )
    if args.samples > 1 or args.compare or args.outscale or args.format or args.quality:
        raise UserError(
            "--samples, --compare, --outscale, --format and --quality are for pictures of --input: leave them out of "
            "--count"
        )
    if args.recursive or args.skip_existing:
        raise UserError("--recursive and --skip-existing are for pictures of --input: leave them out of --count")
    if not (args.checkpoint or args.model):
        raise UserError("--count needs a model that makes pictures from nothing: name one with --checkpoint")


def check_model(upscaler, args):
    """Refuse a model that cannot do what is asked for; return how to sample."""
    if upscaler.conditional and args.count is not None:
        raise UserError(f"{upscaler.name} enlarges pictures: name some with --input instead of --count")
    if not upscaler.conditional and args.count is None:
        raise UserError(
            f"{upscaler.name} makes pictures from nothing and enlarges none: take --count N and --size S, not --input"
        )
    upscaler.check_samples(2 if args.interpolate else args.samples)
    if args.fuse:
        upscaler.check_fusion(args.from_step)
    sampling = upscaler.resolve(**given_sampling(args))
    if args.process:
        upscaler.check_process()
    return sampling


def inference_tracker(args, paths, upscaler, sampling):
    """The :class:`src.host.tracking.Tracker` of an inference; of the models' paths the last names are told."""
    settings = {name: getattr(args, name) for name in ("seed", "batch", "samples", "outscale")}
    return open_tracker(
        "runs/infer", tensorboard=False, wandb=args.wandb, project=args.wandb_project, name=f"infer {upscaler.name}",
        config={"model": " + ".join(map(last_names, paths))} | settings | upscaler.about(sampling), job="infer",
    )  # fmt: skip


def last_names(path):
    """The last two names of a path, such as ``srdiff_lite_x4/model.ckpt``: a run's folder tells them apart."""
    return "/".join(Path(path).parts[-2:])


class InferenceWatch(Watch):
    """Bars on stderr, written files on stdout; for the tracker the first pictures, and the speed with reading, writing.

    One picture's bar counts passes of the network, that is tiles times steps; several pictures' bar counts pictures.
    """

    def __init__(self, jobs, tracker):
        self._tracker, self._total = tracker, len(jobs)
        self._bar = tqdm(total=len(jobs), unit="picture", desc="upscale") if len(jobs) > 1 else None
        self._begun = time.perf_counter()
        self._pictures = self._pixels = 0

    def begin(self, jobs, passes):
        if self._total == 1:
            self._bar = tqdm(total=passes, unit="pass", desc="upscale")
        self._passed, self._passes = 0, passes

    def passed(self):
        self._passed += 1
        if self._total == 1:
            self._bar.update()
        else:
            self._bar.set_postfix_str(f"pass {self._passed} of {self._passes}")

    def done(self, job, lr, sr, paths):
        self._track(job, lr, sr)
        for path in paths:
            self.summed_up(path)
        if self._total > 1:
            self._bar.update()

    def _track(self, job, lr, sr):
        self._pictures += 1
        self._pixels += sr.shape[0] * sr.shape[1]
        seconds = time.perf_counter() - self._begun
        speed = {"seconds_per_picture": seconds / self._pictures, "megapixels_per_second": self._pixels / seconds / 1e6}
        self._tracker.scalars(self._pictures, {f"infer/{name}": value for name, value in speed.items()})
        if self._tracker and self._pictures <= LOGGED_PICTURES:
            sr = np.asarray(resized(sr, within(sr.shape[:2], LONGEST)))
            # LR is None of an unconditional model
            picture = sr if lr is None else side_by_side(repeated(lr, sr.shape[:2]), sr)
            picture = eight_bits(at_most(picture, LONGEST))
            self._tracker.pictures(self._pictures, {f"pictures/{job.result.stem}": picture})

    def summed_up(self, path):
        tqdm.write(str(path))  # on stdout, past the bar

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()
