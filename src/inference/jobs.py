"""Which picture becomes which file, settled before any work."""

import os
from dataclasses import dataclass
from pathlib import Path

from src.errors import UserError
from src.imaging.io import WRITE_SUFFIXES, list_images


@dataclass(frozen=True)
class Job:
    """One picture: where LR is, None of an unconditional model, and where the result and what is beside it go."""

    source: Path | None
    result: Path

    def sample(self, k):
        """Where sample k of several goes, k from 0; with a number from 1."""
        return self._beside(str(k + 1), self.result.suffix)

    mean = property(lambda job: job._beside("mean", job.result.suffix))
    deviation = property(lambda job: job._beside("std", ".png"))
    best = property(lambda job: job._beside("best", job.result.suffix))
    comparison = property(lambda job: job._beside("compare", ".png"))

    def process(self, kind):
        """Where the strip ("png") or an animation ("gif", "webp") of the steps goes."""
        return self._beside("process", f".{kind}")

    def outputs(self, samples=1, compare=False, process=()):
        """All files that are written for so many samples and kinds of process, in the order in which they are."""
        results = [self.result]
        if samples > 1:
            results = [self.sample(k) for k in range(samples)] + [self.mean, self.deviation, self.best]
        return results + [self.comparison] * compare + [self.process(kind) for kind in process]

    def _beside(self, name, suffix):
        return self.result.with_name(f"{self.result.stem}_{name}{suffix}")


def plan_jobs(source, output, compare=False, samples=1, process=()):
    """A :class:`Job` for each picture of a file or folder, that writes what :meth:`Job.outputs` says.

    The output is for a picture a file or a folder, for a folder a folder. In a folder a result has its picture's name
    and is a PNG; pictures that differ in their suffix alone keep it (``a.jpg`` → ``a.jpg.png``).
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
        return _checked([Job(source, output)], samples, compare, process)
    else:
        if output.suffix and not output.is_dir():
            raise UserError(f"--output {output} must be a folder or end in one of {', '.join(WRITE_SUFFIXES)}")
        sources = [source]
    stems = [path.stem.lower() for path in sources]
    names = [path.stem if stems.count(path.stem.lower()) == 1 else path.name for path in sources]
    jobs = [Job(path, output / f"{name}.png") for path, name in zip(sources, names, strict=True)]
    return _checked(jobs, samples, compare, process)


def plan_unconditional(output, count, seed=0):
    """A :class:`Job` for each of an unconditional model's pictures, named after its seed, and the path of the grid."""
    output = Path(output)
    if not output.is_dir() and (output.exists() or output.suffix.lower() in WRITE_SUFFIXES):
        raise UserError(f"--count writes pictures into a folder, so --output must be one, not the file {output}")
    return [Job(None, output / f"{seed + n}.png") for n in range(count)], output / "grid.png"


def _checked(jobs, *options):
    sources = {job.source.resolve() for job in jobs}
    taken = set()
    for job in jobs:
        for path in job.outputs(*options):
            place = path.resolve()
            if place in sources:
                raise UserError(f"{path} would overwrite a picture of the input: name another --output")
            if place in taken:
                raise UserError(f"two results would be written to {path}: rename {job.source} first")
            taken.add(place)
    return jobs


def make_folders(jobs):
    """Make the folders of the results, so that one that cannot be written is found before the work."""
    for folder in {job.result.parent for job in jobs}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {folder}: {error.strerror}; name another --output") from error
        if not os.access(folder, os.W_OK):
            raise UserError(f"the folder {folder} cannot be written to: name another --output")
