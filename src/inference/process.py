"""What a sampler does on its way from noise to a picture, kept and written as pictures."""

from typing import NamedTuple

import numpy as np

from src.imaging.io import write_image
from src.imaging.strip import Frame, at_most, film_strip, write_animation
from src.inference.upscaler import levels

KINDS = ("png", "gif", "webp")
LONGEST = 512  # pixels of a frame's longer side: larger ones are reduced


class ProcessWanted(NamedTuple):
    """What is to be shown of the process.

    Attributes:
        kinds: of the files, some of :data:`KINDS`: a strip, animations.
        frames: how many steps.
    """

    kinds: tuple[str, ...]
    frames: int


class Process:
    """Keeps some steps of a batch: x, and the picture that the network saw in the x before. A sampler's callback.

    Args:
        count: how many steps to keep, evenly among all; the last one is always among them.
    """

    def __init__(self, count):
        self._count = count

    def begin(self, total, to_picture):
        """Forget what was kept; so many steps begin, whose x_0 becomes a picture by ``to_picture(x_0)``."""
        self._total, self._to_picture, self._kept = total, to_picture, []
        self._wanted = {round(k) for k in np.linspace(total - 1, 0, min(self._count, total))}

    def __call__(self, k, step, x, x_0):
        """Keep step k, if it is one to keep; see ``src.diffusion.samplers.sampler``."""
        if k in self._wanted:
            noisy, seen = ([at_most(picture, LONGEST) for picture in levels(a)] for a in (x, self._to_picture(x_0)))
            pairs = list(zip(noisy, seen, strict=True))
            self._kept.append((f"{k + 1}/{self._total}", pairs))

    def frames(self, number):
        """Return a :class:`src.imaging.strip.Frame` for each step that was kept, of the batch's picture ``number``."""
        return [Frame(label, *pairs[number]) for label, pairs in self._kept]


def write_process(job, frames, kinds):
    """Write the frames of a :class:`src.inference.jobs.Job` as a strip and animations, as ``kinds`` says."""
    for kind in kinds:
        if kind == "png":
            write_image(job.process(kind), film_strip(frames))
        else:
            write_animation(job.process(kind), frames)
