"""Which picture becomes which file, settled before any work."""

import logging
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..imaging import io
from ..imaging.io import READ_SUFFIXES, STANDARD_INPUT, WRITE_SUFFIXES, list_images, natural_key, pictures_of

_LOSSY, _ALSO_JPEG = (".jpg", ".jpeg", ".webp"), (".jfif", ".jpe", ".mpo")
_NAMED = 5  # files that a line names


@dataclass(frozen=True)
class Job:
    """One picture: where LR is, None of an unconditional model, and where the result and what is beside it go."""

    source: Path | None
    result: Path
    quality: int | None = None  # of a result that may be lossy; None: the best

    def sample(self, k):
        """Where sample k of several goes, k from 0; with a number from 1."""
        return self._beside(str(k + 1), self.result.suffix)

    mean = property(lambda job: job._beside("mean", job.result.suffix))
    deviation = property(lambda job: job._beside("std", ".png"))
    best = property(lambda job: job._beside("best", job.result.suffix))
    comparison = property(lambda job: job._beside("compare", ".png"))
    strip = property(lambda job: job._beside("strip", ".png"))
    animation = property(lambda job: job.result.with_suffix(".webp"))

    def frame(self, k):
        """Where frame k of an interpolation goes, k from 0."""
        return self._beside(f"{k:03d}", self.result.suffix)

    def process(self, kind):
        """Where the strip ("png") or an animation ("gif", "webp") of the steps goes."""
        return self._beside("process", f".{kind}")

    def outputs(self, samples=1, compare=False, process=(), frames=0):
        """All files that are written for so many samples, kinds of process or frames, in their order."""
        results = [self.result]
        if frames:
            results = [self.frame(k) for k in range(frames)] + [self.strip, self.animation]
        if samples > 1:
            results = [self.sample(k) for k in range(samples)] + [self.mean, self.deviation, self.best]
        return results + [self.comparison] * compare + [self.process(kind) for kind in process]

    def _beside(self, name, suffix):
        return self.result.with_name(f"{self.result.stem}_{name}{suffix}")


def plan_jobs(
    source, output, compare=False, samples=1, process=(), file_format=None, quality=None, frames=0, recursive=False
):
    """A :class:`Job` for each picture of a file or folder, that writes what :meth:`Job.outputs` says.

    The output is for a picture a file or a folder, for a folder a folder. In a folder a result has its picture's name
    and is a PNG, or of ``file_format`` "jpg", "png", "webp" or "source"; those that would have one name keep their
    pictures' suffix (``a.jpg`` → ``a.jpg.png``). A source "-" is standard input. ``quality`` is of .jpg and .webp. With
    ``recursive`` a folder's sub-folders are taken, too, and are the output's; not the output itself, if it lies in it.
    """
    if "://" in str(source):
        raise UserError(f"--input {source} is an address: download it, or pipe it (curl -L URL | … --input -)")
    source, output = Path(source), Path(output)
    if source != STANDARD_INPUT and not source.exists():
        raise UserError(f"no picture or folder at {source} (--input)")
    names_file = output.suffix.lower() in WRITE_SUFFIXES and not output.is_dir()
    if names_file and file_format:
        raise UserError(f"--format is of results in a folder, and --output {output} is a file: leave one of them out")
    if source.is_dir():
        if names_file or output.is_file():
            raise UserError(f"--input {source} is a folder, so --output must be a folder, not the file {output}")
        sources = _tree(source, output) if recursive else list_images(source)
        if not recursive:
            _tell_left_out(source, set(source.iterdir()) - set(sources))
    else:
        if recursive:
            raise UserError(f"--recursive is for a folder, and --input {source} is a picture: leave it out")
        if output.suffix and not names_file and not output.is_dir():
            raise UserError(f"--output {output} must be a folder or end in one of {', '.join(WRITE_SUFFIXES)}")
        sources = [source]
    results = [output] if names_file else _results(sources, output, file_format or "png", source)
    lossy = [result.suffix.lower() in _LOSSY for result in results]
    if quality is not None and not (any(lossy) and 1 <= quality <= 100):
        raise UserError(f"--quality is of .jpg and .webp, from 1 to 100, not {quality}: take --format jpg or webp, too")
    places = zip(sources, results, lossy, strict=True)
    jobs = [Job(path, result, quality if own else None) for path, result, own in places]
    return _checked(jobs, samples, compare, process, frames)


def _tree(folder, output):
    """The pictures of a folder and its sub-folders; not of hidden ones, nor the output's, nor behind links."""
    found, left, output = [], set(), output.resolve()
    for place, folders, files in os.walk(folder, onerror=_tell_unreadable):
        paths = {Path(place, name) for name in folders + files}
        entered = {path for path in paths if path.is_dir() and not (path.is_symlink() or path.name.startswith("."))}
        entered -= (own := {path for path in entered if path.resolve() == output})
        folders[:] = [path.name for path in sorted(entered, key=natural_key)]
        found += (pictures := pictures_of(paths))
        left |= paths - entered - own - set(pictures)
    if not found:
        raise UserError(f"no pictures in {folder} and its sub-folders: put {', '.join(READ_SUFFIXES)} files into it")
    _tell_left_out(folder, left)
    return found


def _tell_unreadable(error):
    logging.warning("left out, since it cannot be read (%s): %s", error.strerror, error.filename)


def _results(sources, folder, file_format, root):
    """Name the results in a folder, each after its source, and in its source's place below a root that is a folder."""
    stems = ["stdin" if path == STANDARD_INPUT else path.stem for path in sources]
    places = [folder / path.relative_to(root).parent if root.is_dir() else folder for path in sources]
    suffixes = [_suffix(path, file_format) for path in sources]
    results = [place / (stem + suffix) for place, stem, suffix in zip(places, stems, suffixes, strict=True)]
    known = Counter(str(result).lower() for result in results)
    return [
        result if known[str(result).lower()] == 1 else result.with_name(path.name + suffix)
        for path, result, suffix in zip(sources, results, suffixes, strict=True)
    ]


def _suffix(source, file_format):
    if file_format != "source":
        return f".{file_format}"
    suffix = source.suffix.lower()
    return ".jpg" if suffix in _ALSO_JPEG else source.suffix if suffix in WRITE_SUFFIXES else ".png"


def _tell_left_out(folder, paths):
    """Count and name in one line what of a folder is not taken, but for hidden files."""
    kinds = {"sub-folders": [], "links to nothing": [], "other files": []}
    for path in sorted(paths):
        if not path.name.startswith("."):
            kind = "sub-folders" if path.is_dir() else "other files" if path.exists() else "links to nothing"
            kinds[kind].append(str(path.relative_to(folder)))
    if words := "; ".join(f"{kind} ({len(names)}): {listed(names)}" for kind, names in kinds.items() if names):
        logging.info("left out of %s: %s", folder, words)


def listed(names):
    """Some names in words, of many the first."""
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def plan_unconditional(output, count, seed=0, interpolation=None):
    """A :class:`Job` for each of an unconditional model's pictures, named after its seed, and the path of the grid.

    Of an interpolation the pictures are its frames, and a job of its strip and animation stands for the grid.
    """
    output = Path(output)
    if not output.is_dir() and (output.exists() or output.suffix.lower() in WRITE_SUFFIXES):
        raise UserError(f"--count writes pictures into a folder, so --output must be one, not the file {output}")
    if interpolation is not None:
        whole = Job(None, output / f"{interpolation.name}.png")
        return [Job(None, whole.frame(k)) for k in range(count)], whole
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


def writing_memory(jobs):
    """The bytes of a pixel that the writing of large results takes, of the dearest; None of pictures from nothing."""
    return max((io.writing_memory(job.result, job.quality) for job in jobs if job.source), default=None)


def make_folders(jobs):
    """Make the folders of the results, so that one that cannot be written is found before the work."""
    for folder in {job.result.parent for job in jobs}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {folder}: {error.strerror}; name another --output") from error
        if not os.access(folder, os.W_OK):
            raise UserError(f"the folder {folder} cannot be written to: name another --output")
