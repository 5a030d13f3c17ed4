"""Pictures from nothing into files, and a grid that shows them together."""

from src.imaging.io import write_image
from src.imaging.strip import at_most, mosaic
from src.inference.pictures import Watch, begin
from src.inference.process import Process, write_process
from src.inference.upscaler import levels

GRID_PICTURES = 100  # the grid shows the first so many,
GRID_LONGEST = 256  # reduced to so many pixels


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
