"""Files in, files out: any pictures, their transparency and grayness kept, batched by size."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.errors import UserError
from src.imaging.io import WRITE_SUFFIXES, holds_alpha, list_images, read_image, write_image
from src.imaging.resize import imresize


@dataclass(frozen=True)
class Job:
    """One picture to upscale: where it is, and where the result goes."""

    source: Path
    result: Path

    @property
    def comparison(self):
        """Where the picture LR | bicubic | SR goes."""
        return self.result.with_name(f"{self.result.stem}_compare.png")


def plan_jobs(source, output, compare=False):
    """Pair every input picture with its output file.

    Args:
        source: a picture, or a folder of pictures.
        output: for a picture a file or a folder, for a folder a folder. In a folder a result has its picture's name
            and is a PNG; pictures that differ in their suffix alone keep it (``a.jpg`` → ``a.jpg.png``).
        compare: whether the comparisons will be written as well.

    Returns:
        list of :class:`Job`.

    Raises:
        UserError: the input is not there, or the output does not fit it, or a result would overwrite an input or
            another result.
    """
    source, output = Path(source), Path(output)
    if not source.exists():
        raise UserError(f"no picture or folder at {source} (--input)")
    names_file = output.suffix.lower() in WRITE_SUFFIXES and not output.is_dir()
    if source.is_dir():
        if names_file or output.is_file():
            raise UserError(f"--input {source} is a folder, so --output must be a folder, not the file {output}")
        sources = list_images(source)
    elif names_file:
        return _checked([Job(source, output)], compare)
    else:
        if output.suffix and not output.is_dir():
            raise UserError(f"--output {output} must be a folder or end in one of {', '.join(WRITE_SUFFIXES)}")
        sources = [source]
    stems = [path.stem.lower() for path in sources]
    names = [path.stem if stems.count(path.stem.lower()) == 1 else path.name for path in sources]
    jobs = [Job(path, output / f"{name}.png") for path, name in zip(sources, names, strict=True)]
    return _checked(jobs, compare)


def _checked(jobs, compare):
    sources = {job.source.resolve() for job in jobs}
    taken = set()
    for job in jobs:
        for path in (job.result, job.comparison)[: 1 + compare]:
            place = path.resolve()
            if place in sources:
                raise UserError(f"{path} would overwrite a picture of the input: name another --output")
            if place in taken:
                raise UserError(f"two results would be written to {path}: rename {job.source} first")
            taken.add(place)
    return jobs


def make_folders(jobs):
    """Make the folders of the results, so that one that cannot be written is found before the work.

    Raises:
        UserError: it cannot be made, or not be written to.
    """
    for folder in {job.result.parent for job in jobs}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {folder}: {error.strerror}; name another --output") from error
        if not os.access(folder, os.W_OK):
            raise UserError(f"the folder {folder} cannot be written to: name another --output")


def upscale_files(upscaler, jobs, *, batch=4, seed=0, compare=False, done=None, **sampling):
    """Upscale pictures and write the results.

    Consecutive pictures of one size are upscaled together. Every picture starts from the same seed, so that its
    result is the same alone and among others. A file that cannot be read is passed over, and named at the end.

    Args:
        upscaler: an ``Upscaler``.
        jobs: from :func:`plan_jobs`.
        batch: the most pictures upscaled together.
        seed: of the noise.
        compare: also write LR | bicubic | SR side by side.
        done: called with (job, lr, sr) for each :class:`Job` whose result has been written; the pictures are uint8 RGB.
        sampling: options of ``Upscaler.upscale``.

    Raises:
        UserError: after all the others were done, a picture could not be read.
    """
    broken = []
    for group in _groups(jobs, batch, broken):
        pictures = [picture.rgb for _, picture in group]
        results = upscaler.upscale(pictures, seeds=[seed] * len(pictures), **sampling)
        for (job, picture), sr in zip(group, results, strict=True):
            write_image(job.result, _as_source(picture, sr, upscaler.scale))
            if compare:
                write_image(job.comparison, comparison(picture.rgb, sr, upscaler.scale))
            if done:
                done(job, picture.rgb, sr)
    if broken:
        first = str(broken[0])
        raise UserError(
            first if len(jobs) == 1 else f"{len(broken)} of {len(jobs)} pictures could not be read: {first}"
        )


def comparison(lr, sr, scale):
    """Return LR (its pixels repeated) | bicubic | SR, uint8 (H, 3·W, 3)."""
    repeated = lr.repeat(scale, axis=0).repeat(scale, axis=1)
    return np.concatenate([repeated, imresize(lr, scale), sr], axis=1)


def _groups(jobs, batch, broken):
    """Yield lists of (job, picture), consecutive and of one size."""
    group = []
    for job in jobs:
        try:
            picture = read_image(job.source)
        except UserError as error:
            if len(jobs) > 1:  # a single one is named by the error at the end
                logging.warning("%s", error)
            broken.append(error)
            continue
        if picture.alpha is not None and not holds_alpha(job.result):
            raise UserError(f"{job.source} is transparent, which {job.result.suffix} files cannot be: write a .png")
        if group and (len(group) == batch or group[0][1].rgb.shape != picture.rgb.shape):
            yield group
            group = []
        group.append((job, picture))
    if group:
        yield group


def _as_source(picture, sr, scale):
    """Give the result the channels of its source; transparency is enlarged by bicubic."""
    channels = [np.rint(sr @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None]] if picture.gray else [sr]
    if picture.alpha is not None:
        channels.append(imresize(picture.alpha, scale)[..., None])
    array = np.concatenate(channels, axis=2)
    return array[..., 0] if array.shape[2] == 1 else array
