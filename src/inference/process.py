"""What a sampler does on its way from noise to a picture, kept and written as pictures."""

import numpy as np

from ..imaging.io import write_image
from ..imaging.resize import fitted
from ..imaging.strip import Frame, at_most, film_strip, within, write_animation
from .upscaler import to_pixels

LONGEST = 512  # pixels of a frame's longer side: larger ones are reduced


class Process:
    """A sampler's callback that keeps ``count`` steps, even among all: x, and the picture that the network saw before.

    Of ``kinds`` of files, "png" is a strip, "gif" and "webp" are animations.
    """

    def __init__(self, count, kinds=()):
        self._count, self.kinds = count, kinds

    def begin(self, total, to_picture):
        """Forget what was kept; so many steps begin, whose x_0 becomes a picture by ``to_picture(x_0)``."""
        self._total, self._to_picture, self._kept = total, to_picture, []
        self._wanted = {round(k) for k in np.linspace(total - 1, 0, min(self._count, total))}

    def __call__(self, k, step, x, x_0):
        """Keep step k, if it is one to keep; see ``callback`` of ``src.diffusion.samplers.sampler``."""
        if k in self._wanted:
            noisy, clean = ([at_most(one, LONGEST) for one in to_pixels(batch)] for batch in (x, self._to_picture(x_0)))
            self._kept.append((f"{k + 1}/{self._total}", list(zip(noisy, clean, strict=True))))

    def frames(self, number, size=None):
        """A :class:`src.imaging.strip.Frame` for each step that was kept, of the batch's picture ``number``.

        ``size`` is (height, width) of a result that is not of the network's own, to show it in that one.
        """
        pairs = [(label, kept[number]) for label, kept in self._kept]
        if size is not None:
            size = within(size, LONGEST)
            pairs = [(label, [fitted(picture, size) for picture in pair]) for label, pair in pairs]
        return [Frame(label, *pair) for label, pair in pairs]

    def write(self, job, number, size=None):
        """Write :meth:`frames` where a :class:`src.inference.jobs.Job` says."""
        frames = self.frames(number, size)
        for kind in self.kinds:
            if kind == "png":
                write_image(job.process(kind), film_strip(frames))
            else:
                write_animation(job.process(kind), frames)
