"""Files in, files out: any pictures, their transparency and grayness kept, batched by size."""

import logging
from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..imaging.io import picture_size, read_image, write_image
from ..imaging.resize import resized
from ..imaging.rows import Rows
from ..imaging.sixteen_bits import eight_bits
from ..imaging.spool import new_picture
from ..imaging.strip import Frame, at_most, film_strip, make_grid, repeated, write_animation
from ..imaging.transparency import fill_invisible
from .estimate import estimated_seconds
from .process import LONGEST
from .results import Report, check_result, result_size, write_result
from .sample_statistics import SampleStatistics
from .upscaler import to_network

GRID_PICTURES = 100  # the grid shows the first so many,
GRID_LONGEST = 256  # reduced to so many pixels
LONG = 60  # seconds from which a time is told beforehand
TOGETHER = 8  # the most pictures that :func:`unconditional_samples` samples as one batch


class Watch:
    """What :func:`upscale_files` and :func:`sample_files` tell while they work; override what is of interest."""

    def begin(self, jobs, passes):
        """These jobs begin, as one batch that takes so many passes of a network."""

    def passed(self):
        """One of the passes is done."""

    def done(self, job, lr, sr, paths):
        """The files of a job are written; pictures are RGB, uint8 or uint16, of several samples the best; or no LR."""

    def summed_up(self, path):
        """A picture of all results together is written."""


def upscale_files(
    upscaler, jobs, sampling, *, batch=4, seed=0, compare=False, samples=1, process=None, watch=None, outscale=None,
    max_pixels=None, interpolation=None, fusion=None, records=None, done=0,
):  # fmt: skip
    """Upscale the pictures of ``plan_jobs``, as ``upscaler.resolve`` says, and write the results.

    Pictures of one size are upscaled together, at most ``batch``, fewer where they would not fit into memory. All start
    from the same seed, so that a result is the same alone and among others; sample k takes seed + k. Of several samples
    the :class:`SampleStatistics` are written too; ``compare`` also writes LR | bicubic | SR, ``process`` the first
    sample's steps. A picture that cannot be done is named and passed over, and a PartlyDone counts them at the end.

    ``outscale``: finished pictures are resized by :func:`src.imaging.resize.imresize` to so many times their LR
    pictures' size, rounded; None leaves them as the network's scale makes them. ``max_pixels`` is as of
    :func:`src.imaging.io.read_image`.

    ``interpolation``, a :class:`src.inference.latent.Interpolation`, makes its frames, a strip and an animation of each
    picture, instead of samples. ``fusion(lr_size, scale)`` gives the :class:`src.inference.latent.Fusion` of a picture.

    ``records``, of :class:`src.inference.records.Records`, remember what is done; ``done`` pictures were before.
    """
    watch, report, scale = watch or Watch(), Report(len(jobs) + done), outscale or upscaler.scale
    seeds = interpolation.seeds if interpolation else range(seed, seed + samples)
    outputs = {"samples": samples, "compare": compare, "process": process.kinds if process else ()}
    outputs["frames"] = len(seeds) if interpolation else 0

    def enlarge(group):
        shape = (len(group), *group[0][1].rgb.shape[:2])
        if process and upscaler.tiles(shape):
            raise UserError("--process shows pictures that are not cut into tiles: take smaller ones, or leave it out")
        _begin(upscaler, watch, [job for job, _ in group], shape, len(seeds), sampling)
        for job, _ in group if records else ():
            records.begin(job)
        best = _draw(upscaler, group, sampling, seeds, process, watch, scale, interpolation, fusion)
        for number, ((job, picture), sr) in enumerate(zip(group, best, strict=True)):
            if compare:
                write_image(job.comparison, comparison(picture.rgb, sr))
            if process:
                process.write(job, number, sr.shape[:2])
            paths = job.outputs(**outputs)
            if records:
                records.end(job, paths)
            watch.done(job, picture.rgb, sr, paths)

    for group in _groups(upscaler, jobs, batch, scale, report, max_pixels):
        _attempt(enlarge, group, report)
    report.end()


def _attempt(enlarge, group, report):
    """Call ``enlarge(group)``; where that fails, with each picture alone, and pass over those that still fail."""
    try:
        enlarge(group)
    except (MemoryError, UserError) as error:
        if isinstance(error.__cause__, OSError):  # a full disk, of which the others would fail, too
            raise
        if len(group) == 1:
            report.broken(group[0][0], error)
        else:
            for one in group:
                _attempt(enlarge, [one], report)


def _begin(upscaler, watch, jobs, shape, samples, sampling):
    """Tell the watch that jobs of a shape (B, h, w) begin; the log if pictures are cut, and if it will take long."""
    passes, name = upscaler.passes(shape, sampling) * samples, (jobs[0].source or jobs[0].result).name
    if words := upscaler.tiles(shape):
        logging.info("%s: %s, %d passes of the network", name, words, passes)
    seconds = estimated_seconds(upscaler, shape, sampling, samples)
    if seconds is not None and seconds > LONG:
        logging.info("%s: about %.0f min", name, seconds / 60)
    watch.begin(jobs, passes)


def _draw(upscaler, group, sampling, seeds, process, watch, scale, interpolation, fusion):
    """Draw and write all samples of a batch; return each job's picture in its source's dtype, of several the best.

    Of an interpolation that is the last.
    """
    hooks = {"dtype": group[0][1].rgb.dtype, "process": process}
    if fusion is not None:
        ((job, picture),) = group
        hooks["fusion"] = own = fusion(picture.rgb.shape[:2], upscaler.scale)
        group = [(job, replace(picture, rgb=own.composed(picture.rgb)))]
    condition = upscaler.encode(to_network([picture.rgb for _, picture in group]))
    size, own_size = result_size(group[0][1].rgb.shape[:2], scale), upscaler.size(condition)
    several, dtype = len(seeds) > 1 and not interpolation, hooks["dtype"]
    statistics = [SampleStatistics(own_size, len(seeds), dtype) for _ in group] if several else []
    frames = [[] for _ in group]

    def see(rows, strip):
        for own, sr in zip(statistics, strip):  # noqa: B905 - of one sample there are none
            own.see(rows, sr)

    hooks |= {"see": see, "empty": new_picture}
    for k, seed in enumerate(seeds):
        pixels = upscaler.pixels(condition, sampling, [seed] * len(group), watch.passed, **hooks)
        results = [resized(one, size) for one in pixels]
        for number, (job, picture) in enumerate(group):
            path = job.frame(k) if interpolation else job.sample(k) if statistics else job.result
            write_result(job, path, picture, results[number])
            if interpolation:
                frames[number].append(at_most(eight_bits(results[number]), LONGEST))
            if statistics:
                statistics[number].add(pixels[number])
    if interpolation:
        for (job, _), own in zip(group, frames, strict=True):
            write_frames(job, own, interpolation)
    if not statistics:
        return results
    return [own.write(job, picture, size) for (job, picture), own in zip(group, statistics, strict=True)]


def write_frames(job, pictures, interpolation):
    """Write an interpolation's strip and animation, of uint8 pictures."""
    labels = [f"{seed.share:.2f}" for seed in interpolation.seeds]
    frames = [Frame(label, picture) for label, picture in zip(labels, pictures, strict=True)]
    write_image(job.strip, film_strip(frames))
    write_animation(job.animation, frames)


def comparison(lr, sr):
    """LR (its pixels repeated) | bicubic | SR: (H, 3·W, 3) in their dtype, as :class:`Rows`."""
    (height, width), bicubic = sr.shape[:2], resized(lr, sr.shape[:2])

    def read(rows):
        return np.concatenate([repeated(lr, (height, width), rows), bicubic[rows], sr[rows]], axis=1)

    return Rows((height, 3 * width, 3), sr.dtype, read)


def _groups(upscaler, jobs, batch, scale, report, max_pixels):
    """Yield lists of (job, picture) of one size and depth, the sizes in the order of their first pictures."""
    for together in _by_size(jobs):
        group = []
        for job in together:
            try:
                picture = read_image(job.source, max_pixels)
                check_result(job, picture, scale, upscaler.scale)
                picture = replace(picture, rgb=fill_invisible(picture.rgb, picture.alpha))
            except (MemoryError, UserError) as error:
                report.broken(job, error)
                continue
            report.lost(job, picture)
            size, before = picture.rgb.shape[:2], group[0][1].rgb if group else picture.rgb
            alike = (before.shape, before.dtype) == (picture.rgb.shape, picture.rgb.dtype)
            if not alike or len(group) == upscaler.batch(batch, *size):
                yield group
                group = []
            group.append((job, picture))
        if group:
            yield group


def _by_size(jobs):
    """Sort jobs by the size in their pictures' headers; what cannot be read stands alone."""
    sizes = {}
    for job in jobs:
        try:
            size = picture_size(job.source)
        except UserError:
            size = job
        sizes.setdefault(size, []).append(job)
    return sizes.values()


def unconditional_samples(upscaler, count, size, sampling, seed=0, done=lambda size: None):
    """Sample an unconditional model; yield uint8 (H, W, 3) RGB of ``size`` (H, W). Picture n takes the seed + n.

    In batches that fit; ``done`` is called with a batch's size after each of its steps.
    """
    together = upscaler.batch(TOGETHER, *size)
    for first in range(0, count, together):
        batch = min(together, count - first)
        condition = upscaler.encode(shape=(batch, 3, *size))
        yield from upscaler.pixels(condition, sampling, seed + first, callback=lambda *_, batch=batch: done(batch))


def unconditional_grid(upscaler, count, size, sampling, seed=0):
    return make_grid(list(unconditional_samples(upscaler, count, size, sampling, seed)))


def sample_files(
    upscaler, jobs, grid, sampling, *, size, batch=4, seed=0, process=None, watch=None, interpolation=None
):
    """Sample an unconditional model and write the pictures of ``plan_unconditional``, each as it would be alone.

    ``size`` is (height, width) in pixels of what the model makes; a cascade's results are larger. Picture n takes seed
    + n, or frame n's of an interpolation. All else is as for :func:`upscale_files`.
    """
    watch, small = watch or Watch(), []
    seeds = interpolation.seeds if interpolation else range(seed, seed + len(jobs))
    together = upscaler.batch(batch, *size)
    for first in range(0, len(jobs), together):
        group = jobs[first : first + together]
        _begin(upscaler, watch, group, (len(group), *size), 1, sampling)
        condition = upscaler.encode(shape=(len(group), 3, *size))
        own = seeds[first : first + together]
        pixels = upscaler.pixels(condition, sampling, own, watch.passed, process=process)
        for number, (job, picture) in enumerate(zip(group, pixels, strict=True)):
            write_image(job.result, picture)
            if process:
                process.write(job, number)
            if len(small) < GRID_PICTURES:
                small.append(at_most(picture, GRID_LONGEST))
            watch.done(job, None, picture, job.outputs(process=process.kinds if process else ()))
    if interpolation:
        write_frames(grid, small, interpolation)
    else:
        write_image(grid, make_grid(small))
    for path in (grid.strip, grid.animation) if interpolation else (grid,):
        watch.summed_up(path)
