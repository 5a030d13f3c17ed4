"""The work behind the page: one picture at a time, cancelled where it is asked to be, its files gone with its tab."""

import argparse
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..errors import UserError
from ..host.shipped import CHECKPOINTS
from ..imaging.io import read_image, write_image
from ..imaging.metadata import Metadata
from ..imaging.resize import resized
from ..imaging.sixteen_bits import eight_bits
from ..imaging.strip import within
from ..inference.files import Watch, upscale_files
from ..inference.jobs import Job
from ..inference.latent import Fusion
from ..inference.process import Process
from .infer import FRAMES, check_model, last_names

SHOWN = 2048  # pixels of the longer side of what the slider shows; the file is whole
MOST_SAMPLES = 16
LARGEST_SEED = 2**53 - 1  # that a browser's numbers hold
_RUNS = Path("runs")


class Cancelled(Exception):
    """The work was given up: its tab asked for it, or is closed."""


class Wish(NamedTuple):
    """What is asked for; None where the model's own setting holds."""

    picture: Path
    model: str  # a key of :func:`models`
    steps: int | None = None
    temperature: float | None = None
    consistency: bool | None = None
    seed: int = 0
    samples: int = 1
    process: bool = False
    content: Path | None = None
    box: tuple | None = None  # (x, y, width, height) of the content's place, as shares of the picture


class Result(NamedTuple):
    """Paths of files, which are there until the tab's next result."""

    before: Path  # bicubic, and
    after: Path  # the result, or the best sample, as they are shown
    files: list  # what is to be kept
    deviation: Path | None  # a heat map, of several samples
    process: Path | None  # an animation


def models():
    """{name: path} of the project's models and of those that were trained here, as they are now."""
    runs = [path for name in ("model.ckpt", "best.ckpt") for path in _RUNS.glob(f"*/{name}")]
    return {last_names(path): path for path in [*sorted(CHECKPOINTS.glob("*.ckpt")), *sorted(runs)]}


class Desk:
    """Where the tabs' wishes become results, one at a time; a tab is a string that the server knows it by.

    ``load(path)`` returns an upscaler, of which the last is kept; what becomes of a tab is under ``folder``, and what
    it has sent in a folder of its own under ``uploads``.
    """

    def __init__(self, folder, uploads, load, max_pixels):
        self.folder, self._load, self._max_pixels = folder, load, max_pixels
        self._places = uploads.resolve()
        folder.mkdir()
        self._device, self._loaded = threading.Lock(), (None, None)
        self._lock = threading.Lock()  # of what follows
        self._running, self._results, self._uploads = defaultdict(set), {}, defaultdict(set)

    def enlarge(self, tab, wish, tell):
        """Return the :class:`Result` of a wish; ``tell(done, total, seconds)`` says how far it is and what is left.

        Raises :class:`Cancelled` at the next pass of the network after :meth:`cancel`, and UserErrors.
        """
        cancelled = threading.Event()
        with self._lock:
            self._running[tab].add(cancelled)
            self._uploads[tab] |= {path for path in (wish.picture, wish.content) if path}
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            with tempfile.TemporaryDirectory(dir=self.folder) as own:
                given = _taken(wish, Path(own))
                with self._device:
                    result = self._enlarge(given, folder, _Progress(cancelled, tell, folder))
            with self._lock:
                if cancelled.is_set():
                    raise Cancelled
                folder, self._results[tab] = self._results.get(tab), folder
            return result
        finally:
            with self._lock:
                self._running[tab].discard(cancelled)
                if not self._running[tab]:
                    del self._running[tab]
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def cancel(self, tab):
        """Give up what a tab has asked for."""
        with self._lock:
            for event in self._running.get(tab, ()):
                event.set()

    def hold(self, tab, paths):
        """Delete the uploads of a tab but for these, unless another tab has given the same picture."""
        with self._lock:
            let_go, self._uploads[tab] = self._uploads[tab] - set(paths), set(paths)
            held = {self._place(path) for path in set().union(*self._uploads.values())}
            for place in {self._place(path) for path in let_go} - held - {None}:
                shutil.rmtree(place, ignore_errors=True)

    def _place(self, path):
        """The folder of an upload, named after its content; None of what a client only says to be one."""
        place = Path(path).resolve().parent
        return place if place.parent == self._places else None

    def close(self, tab):
        """Forget a tab and all its pictures."""
        self.cancel(tab)
        self.hold(tab, ())
        with self._lock:
            self._uploads.pop(tab, None)
            if folder := self._results.pop(tab, None):
                shutil.rmtree(folder, ignore_errors=True)

    def end(self, patience):
        """Give up everything; wait for the pass that is running, but not longer than so many seconds."""
        for tab in list(self._running):
            self.cancel(tab)
        self._device.acquire(timeout=patience)

    def _enlarge(self, wish, folder, watch):
        watch.check()
        upscaler = self._upscaler(wish.model)
        if not upscaler.conditional:
            raise UserError(f"{wish.model} makes pictures from nothing and enlarges none: choose another model")
        options = _options(wish)
        sampling = check_model(upscaler, options)
        fusion = _fusion(wish, self._max_pixels) if wish.content else None
        job = Job(wish.picture, folder / f"{wish.picture.stem}_x{upscaler.scale}.png")
        process = Process(FRAMES, ("webp",)) if wish.process else None
        upscale_files(
            upscaler, [job], sampling, seed=wish.seed, samples=wish.samples, process=process, watch=watch,
            max_pixels=self._max_pixels, fusion=fusion,
        )  # fmt: skip
        deviation = job.deviation if wish.samples > 1 else None
        return Result(*watch.shown, watch.paths, deviation, job.process("webp") if process else None)

    def _upscaler(self, name):
        path = models().get(name)
        if path is None:
            raise UserError(f"the model {name} is not there any more: reload the page, and choose another")
        key = path, path.stat().st_mtime_ns
        if self._loaded[0] != key:
            self._loaded = None, None  # so that two are never in memory
            self._loaded = key, self._load(path)
        return self._loaded[1]


def _fusion(wish, max_pixels):
    """``fusion(lr_size, scale)`` of the box that was drawn, of which a part may lie outside by rounding."""
    if not wish.box:
        raise UserError("draw a box on the picture, by dragging, where the content goes")
    content = read_image(wish.content, max_pixels).rgb

    def fusion(lr_size, scale):
        spans = []
        for first, share, side in zip(wish.box[:2], wish.box[2:], reversed(lr_size), strict=True):
            start = min(max(round(first * side * scale), 0), side * scale - 1)
            spans.append((start, min(max(round(share * side * scale), 1), side * scale - start)))
        (left, width), (top, height) = spans
        return Fusion(content, lr_size, scale, box=(left, top, width, height))

    return fusion


def _taken(wish, folder):
    """The wish, checked, its pictures copied into a folder: the page may let go of the uploads meanwhile."""
    if not (1 <= wish.samples <= MOST_SAMPLES and 0 <= wish.seed <= LARGEST_SEED):
        raise UserError(
            f"the samples must be from 1 to {MOST_SAMPLES}, the seed from 0 to {LARGEST_SEED}, not {wish.samples} and "
            f"{wish.seed}"
        )
    if wish.process and wish.samples > 1:
        raise UserError("the steps are shown of one sample: take 1, or leave them out")
    if wish.picture is None:
        raise UserError("there is no picture yet: drop one, or paste one")
    try:
        return wish._replace(
            picture=_copy(wish.picture, folder / "lr"), content=_copy(wish.content, folder / "content")
        )
    except FileNotFoundError:
        raise UserError("the picture is not here any more: give it once more") from None


def _copy(path, folder):
    if path is None:
        return None
    folder.mkdir()
    return Path(shutil.copy(path, folder))


def _options(wish):
    """What :func:`check_model` reads of a command line."""
    return argparse.Namespace(
        count=None, interpolate=None, samples=wish.samples, fuse=wish.content, from_step=None, process=wish.process,
        sampler=None, spacing=None, eta=None, steps=wish.steps, temperature=wish.temperature,
        consistency=wish.consistency,
    )  # fmt: skip


class _Progress(Watch):
    """Tells how far the work is, gives it up, and makes of the result what is shown."""

    def __init__(self, cancelled, tell, folder):
        self._cancelled, self._tell, self._folder = cancelled, tell, folder

    def check(self):
        if self._cancelled.is_set():
            raise Cancelled

    def begin(self, jobs, passes):
        self._done, self._total, self._begun = 0, passes, time.perf_counter()
        self._tell(0, passes, None)

    def passed(self):
        self.check()
        self._done += 1
        seconds = (time.perf_counter() - self._begun) / self._done * (self._total - self._done)
        self._tell(self._done, self._total, seconds)

    def done(self, job, lr, sr, paths):
        self.check()
        self.paths, self.shown = list(paths), []
        with Image.open(paths[0]) as result:
            icc = result.info.get("icc_profile", b"")
        metadata = Metadata(icc=None if icc[16:20] == b"GRAY" else icc or None)  # what is shown is RGB
        for name, pixels in (("before", lr), ("after", sr)):
            path = self._folder / f"{name}.png"
            write_image(path, eight_bits(np.asarray(resized(pixels, within(sr.shape[:2], SHOWN)))), metadata)
            self.shown.append(path)
