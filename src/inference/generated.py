"""Pictures from nothing into files, and a grid that shows them together."""

from src.imaging.io import write_image
from src.imaging.strip import at_most, mosaic
from src.inference.pictures import Watch, begin
from src.inference.process import Process, write_process
from src.inference.upscaler import levels

GRID_PICTURES = 100  # the grid shows the first so many,
GRID_LONGEST = 256  # reduced to so many pixels
TOGETHER = 8  # the most pictures that :func:`drawn` samples as one batch


def drawn(upscaler, count, size, seed=0, done=None, **sampling):
    """Draw pictures from nothing, in batches that fit: more would be cut into tiles, each a picture of its own.

    Args:
        upscaler: one whose ``needs_pictures`` is False.
        count: how many.
        size: (height, width) in pixels.
        seed: picture n takes the seed + n, whatever the batches.
        done: called with the size of the batch after each of its steps; or None.
        sampling: options of ``Upscaler.sample``.

    Yields:
        uint8 (H, W, 3) RGB.
    """
    done, together = done or (lambda size: None), upscaler.batch(TOGETHER, *size)
    for first in range(0, count, together):
        batch = min(together, count - first)
        pictures = upscaler.sample(
            None, seed=list(range(seed + first, seed + first + batch)), shape=(batch, 3, *size),
            callback=lambda *_, batch=batch: done(batch), **sampling,
        )  # fmt: skip
        yield from levels(pictures)


def generate_files(upscaler, jobs, grid, *, size, batch=4, seed=0, process=None, watch=None, **sampling):
    """Draw pictures from nothing and write them, each as it would be alone.

    Args:
        upscaler: one whose ``needs_pictures`` is False.
        jobs, grid: from :func:`src.inference.jobs.plan_generated`.
        size: (height, width) in pixels that the generator draws; a cascade's results are larger.
        batch: the most pictures drawn together; fewer where they would not fit into memory.
        seed: of the first picture's noise; picture n takes seed + n.
        process: a :class:`src.inference.process.ProcessWanted`; None writes none.
        watch: a :class:`src.inference.pictures.Watch`.
        sampling: options of ``Upscaler.sample``.
    """
    watch, shown = watch or Watch(), Process(process.frames) if process else None
    options = sampling | ({"process": shown} if shown else {})
    together, small = upscaler.batch(batch, *size), []
    for first in range(0, len(jobs), together):
        group = jobs[first : first + together]
        begin(upscaler, watch, group, (len(group), *size), 1, sampling)
        shape = (len(group), 3, *size)
        drawn = levels(upscaler.sample(None, seed=seed + first, progress=watch.passed, shape=shape, **options))
        for number, (job, picture) in enumerate(zip(group, drawn, strict=True)):
            write_image(job.result, picture)
            if process:
                write_process(job, shown.frames(number), process.kinds)
            if len(small) < GRID_PICTURES:
                small.append(at_most(picture, GRID_LONGEST))
            watch.done(job, None, picture, job.outputs(process=process.kinds if process else ()))
    write_image(grid, mosaic(small))
    watch.summed_up(grid)
