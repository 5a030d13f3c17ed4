"""LR pictures in, HR pictures out: what users, evaluation and commands all call."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from ..diffusion.samplers import seeds_of
from ..errors import UserError
from ..imaging.back_projection import BackProjection
from ..imaging.rows import strips
from ..imaging.spool import Spool
from .condition import Condition
from .latent import Fusion, Interpolation, noise_of
from .pictures import Picture, Pixels, as_pixels
from .sampling import Sampling

_REMEDY = "call sample(None, shape=(B, 3, H, W)), or take a model that enlarges"


class Upscaler(ABC):
    """A model with all that turns uint8 or uint16 pictures into its networks' arrays and back.

    ``networks`` are of :mod:`src.inference.networks`, ``tiling`` cuts pictures into windows, ``name`` and ``system``
    are for reports, and ``sampling`` is the model's own :class:`src.inference.sampling.Sampling`, all of it.
    """

    one_pass = False  # whether one pass of a network is the result, so that there is nothing to sample
    conditional = True  # whether it looks at pictures; an unconditional model is asked for a shape instead
    usual_size = None  # (height, width) that an unconditional model makes where no size is named
    any_size = False  # whether its networks take a new size without being compiled for it

    def __init__(self, networks, tiling, *, name, system, sampling):
        self.networks, self.tiling = networks, tiling
        self.scale = tiling.scale  # HR size / LR size
        self.name, self.system, self.sampling = name, system, sampling

    @abstractmethod
    def resolve(self, defaults=None, **options):
        """Return how to sample, for :meth:`draw`: ``defaults``, or the model's own, with options that are not None.

        Whoever calls it once can refuse options, which raise a UserError, before any work.
        """

    def about(self, sampling):
        """What a log says of the model and of how it samples: a dict."""
        return {"system": self.system, "scale": self.scale, **sampling.options()}

    def check_samples(self, count):
        if count < 1:
            raise UserError(f"the number of samples must be at least 1, not {count}")

    def check_process(self):
        """Refuse a model whose steps cannot be shown: it has none, or they are inside a graph."""
        raise UserError("this model takes no steps that could be shown: leave --process out, or take a diffusion model")

    def check_fusion(self, from_step=None):
        """Refuse a model that takes no content in at a step (:class:`src.inference.latent.Fusion`), or not at that."""
        raise UserError(
            f"content is put in at a step of one diffusion model that enlarges, which {self.name} is not: take SRDiff "
            "or SR3 alone, as a checkpoint or an export with --graph step"
        )

    def batch(self, wanted, height, width):
        """How many LR pictures of a size to take together: as many as wanted where they fit the memory."""
        return self.tiling.batch(wanted, height, width)

    def tiles(self, shape):
        """Say in words how LR pictures of a shape (B, h, w) are cut; None where they are not."""
        grid = self.tiling.grid(*shape)
        return None if grid.whole else self.tiling.describe(grid, shape[0])

    @abstractmethod
    def passes(self, shape, sampling):
        """How often a network sees a window for one sample of LR pictures of a shape (B, h, w): what a bar counts."""

    def parts(self, shape, sampling):
        """The models in a row: [(upscaler, shape (B, h, w) of what it takes, its sampling)]."""
        return [(self, shape, sampling)]

    def size(self, condition):
        """(H, W) of what :meth:`draw` makes."""
        return condition.shape[2:]

    def encode(self, lr=None, lr_up=None, shape=None):
        """Compute what all samples of a batch share: the condition for :meth:`draw`.

        ``lr`` is (B, 3, h, w) and ``lr_up`` (B, 3, H, W), float32 in [−1, 1]. Models that take ``lr_up`` use it as it
        is instead of their own LR↑; some need no ``lr`` then. An unconditional model is given the ``shape`` (B, 3, H,
        W) instead; told none, it returns None.
        """
        pictures = lr is not None or lr_up is not None
        if shape is not None and pictures:
            raise UserError("the shape of the result is that of lr: leave one of them out")
        if not self.conditional:
            if pictures:
                raise UserError(f"this model makes pictures from nothing and enlarges none: {_REMEDY}")
            return None if shape is None else self._unconditional(shape)
        if shape is not None:
            raise UserError(f"this model enlarges pictures: give them as lr, and no shape {tuple(shape)}")
        return self._encode(lr, lr_up)

    def _encode(self, lr, lr_up):
        raise NotImplementedError

    def _unconditional(self, shape):
        if len(shape) != 4 or shape[1] != 3 or min(shape) < 1:
            raise UserError(f"the shape of pictures is (B, 3, H, W), not {tuple(shape)}")
        grid = self.tiling.grid(shape[0], *shape[2:])
        if not grid.whole:
            raise UserError(
                f"pictures from nothing cannot be made in tiles, each would be a picture of its own: take less than "
                f"{shape[3]} x {shape[2]} pixels, --tile 0 or more memory"
            )
        return Condition(grid, shape[0])

    def draw(self, condition, sampling, seed=0, progress=None, **hooks):
        """Draw one sample of each picture: (B, 3, H, W) float32 NumPy in about [−1, 1]; arguments of :meth:`strips`."""
        result = None
        for rows, strip in self.strips(condition, sampling, seed, progress, **hooks):
            if strip.shape[2:] == tuple(self.size(condition)):
                return strip
            if result is None:
                result = np.empty((*strip.shape[:2], *self.size(condition)), np.float32)
            result[:, :, rows] = strip
        return result

    def pixels(self, condition, sampling, seed=0, progress=None, dtype=np.uint8, see=None, empty=np.empty, **hooks):
        """Draw one sample of each picture: a list of (H, W, 3) uint8 or uint16, never in float32 where they are cut.

        ``empty(shape, dtype)`` makes what they are written into, such as :func:`src.imaging.spool.new_picture`.
        ``see(rows, strip)`` is called with each of the :meth:`strips`, whose arguments the others are.
        """
        results = [empty((*self.size(condition), 3), dtype) for _ in range(condition.shape[0])]
        for rows, strip in self.strips(condition, sampling, seed, progress, **hooks):
            for part in strips(strip.shape[2]):
                there = slice(rows.start + part.start, rows.start + part.stop)
                for result, values in zip(results, to_pixels(strip[:, :, part], dtype), strict=True):
                    result[there] = values
            if see is not None:
                see(rows, strip)
        return results

    def strips(self, condition, sampling, seed=0, progress=None, noise=None, fusion=None, **hooks):
        """Draw one sample of each picture, from top to bottom: yield (slice of rows, (B, 3, n, W) float32 NumPy).

        Pictures that are cut are sampled window by window, all steps of one before the next; others are one strip.

        Args:
            seed: an int for the batch (its pictures take seed, seed + 1, …) or one int for each picture. All may be
                :class:`src.inference.latent.Between` instead, for the noise between two seeds'.
            progress: called after each pass of a network over a window.
            noise: ``noise(k, shape)`` gives the k-th draw (0 is x_T, then one per step) for the pictures as a whole,
                and is asked anew for each window; None takes a seeded source, of which the windows' parts are drawn.
            fusion: a :class:`src.inference.latent.Fusion`, of a batch of one whose condition has the content in LR.
            callback: called after each step as ``callback(k, step, x, x_0)``, of pictures that are not cut; the arrays
                are reused, copy what is kept.
        """
        if condition is None:
            raise UserError(f"this model makes pictures from nothing, but of which size? {_REMEDY}")
        hooks = {name: hook for name, hook in hooks.items() if hook is not None}
        if hooks:
            condition.check_whole()
        if noise is None:
            noise = noise_of(seeds_of(seed, condition.shape[0]))
        grid, fits = condition.grid, self._fits(condition, sampling)
        if grid.whole:
            hooks = hooks if fusion is None else hooks | {"fusion": fusion}
            picture = self._draw(condition, sampling, noise, progress, **hooks)
            yield (
                slice(0, grid.size[0]),
                self._fit(np.require(picture, requirements="W"), condition) if fits else picture,
            )
            return

        def draw(window):
            own = {} if fusion is None else {"fusion": fusion.part(*grid.inside(window))}
            return self._draw(condition.of(window), sampling, _part(noise, condition, window), progress, **own)

        parts = map(draw, grid.windows)
        if not fits:
            yield from grid.assembled(parts)
            return
        spool = Spool(condition.shape)
        for rows, strip in grid.assembled(parts):
            spool.write_rows(rows, strip)
        self._fit(spool, condition)
        yield from ((rows, spool.rows(rows)) for rows in strips(grid.size[0]))

    def _fits(self, condition, sampling):
        """Whether what :meth:`_draw` gave is yet to be made to agree with LR."""
        return sampling.consistency

    def _fit(self, picture, condition):
        return BackProjection(*condition.lr.shape[2:], self.scale).fit(picture, condition.lr)

    def _draw(self, condition, sampling, noise, progress=None, **hooks):
        """One sample of pictures that are not cut: (B, 3, H, W) float32 NumPy."""
        raise NotImplementedError

    def sample(
        self, lr: Pixels | None, seed: int | Sequence[int] = 0, progress=None, lr_up=None, shape=None, **options: Any
    ) -> Pixels:
        """Resolve, encode and draw: (B, 3, H, W) float32 NumPy in about [−1, 1]; options are those of both."""
        sampling, others = self._resolved(options)
        return self.draw(self.encode(lr, lr_up, shape), sampling, seed, progress, **others)

    @overload
    def upscale(self, pictures: Picture, seeds: int | Sequence[int] | None = None, **options: Any) -> Pixels: ...
    @overload
    def upscale(
        self, pictures: Sequence[Picture], seeds: int | Sequence[int] | None = None, **options: Any
    ) -> list[Pixels]: ...
    def upscale(self, pictures, seeds=None, **options):
        """Upscale a picture to uint8 (H, W, 3) RGB, or a list of them to a list; of 16-bit ones that is uint16.

        A picture is a path, a Pillow image, or uint8 or uint16 (h, w, 3), see
        :func:`src.inference.pictures.as_pixels`. ``seeds`` is a number for each, or the first's, from which the others
        count on. Those of one size and depth are one batch; of several sizes each is upscaled alone, with the same
        result. Options are as of :meth:`samples`.
        """
        if not isinstance(pictures, (list, tuple)) and getattr(pictures, "ndim", 3) != 4:
            return self.upscale([pictures], seeds, **options)[0]
        arrays = [as_pixels(picture) for picture in pictures]
        seeds = _numbered(seeds, len(arrays))
        if len({(array.shape, array.dtype) for array in arrays}) == 1:
            condition, sampling, seeds, others = self._given(arrays, seeds, **options)
            return self.pixels(condition, sampling, seeds, dtype=arrays[0].dtype, **others)
        lr_up = options.pop("lr_up", None) or [None] * len(arrays)
        each = zip(arrays, seeds, lr_up, strict=True)
        return [self.upscale([one], [seed], lr_up=None if up is None else [up], **options)[0] for one, seed, up in each]

    def samples(
        self, pictures: Sequence[Pixels], seeds: Sequence[int] | None = None, count: int = 1, lr_up=None, **options: Any
    ) -> Iterator[Pixels]:
        """Draw ``count`` samples of uint8 or uint16 (h, w, 3) of one size; what samples share is computed once.

        Yields (B, 3, H, W) float32, about [−1, 1]. Sample k takes the seeds, one for each picture and by default 0, 1,
        2, …, plus k. ``lr_up`` is a list of uint8 (H, W, 3), used as they are instead of the network's own LR↑; of
        diffusion models only. Options are as of :meth:`sample`.
        """
        self.check_samples(count)
        condition, sampling, seeds, others = self._given(pictures, seeds, lr_up, **options)
        for k in range(count):
            yield self.draw(condition, sampling, [seed + k for seed in seeds], **others)

    def interpolate(
        self, picture: Picture, seed_a: int, seed_b: int, frames: int = 10, **options: Any
    ) -> Iterator[Pixels]:
        """Yield the samples, (H, W, 3) in the dtype of a picture (h, w, 3), on the way from one seed's to another's."""
        self.check_samples(frames)
        picture = as_pixels(picture)
        seeds = Interpolation(seed_a, seed_b, frames).seeds
        condition, sampling, _, others = self._given([picture], **options)
        for seed in seeds:
            yield self.pixels(condition, sampling, [seed], dtype=picture.dtype, **others)[0]

    def fuse(self, picture, content, box=None, mask=None, from_step=None, seed=0, **options):
        """Upscale a picture with another's content in it: (H, W, 3) of its dtype; see ``src.inference.latent.Fusion``.

        Options are as of :meth:`sample`.
        """
        self.check_fusion(from_step)
        picture, content = as_pixels(picture), as_pixels(content)
        fusion = Fusion(content, picture.shape[:2], self.scale, box, mask, from_step)
        return self.upscale([fusion.composed(picture)], [seed], fusion=fusion, **options)[0]

    def _given(self, pictures, seeds=None, lr_up=None, **options):
        sampling, others = self._resolved(options)
        condition = self.encode(to_network(pictures), None if lr_up is None else to_network(lr_up))
        return condition, sampling, range(len(pictures)) if seeds is None else seeds, others

    def _resolved(self, options):
        own = {name: value for name, value in options.items() if name in Sampling._fields}
        return self.resolve(**own), {name: value for name, value in options.items() if name not in own}

    def _grid(self, lr):
        if lr.ndim != 4 or lr.shape[1] != 3 or 0 in lr.shape:
            raise UserError(f"LR pictures must be an array (B, 3, h, w), not {tuple(lr.shape)}")
        return self.tiling.grid(lr.shape[0], *lr.shape[2:])


class OnePassUpscaler(Upscaler):
    """One forward pass of ``networks.regress(lr) → sr``, NumPy to NumPy; of sampling, only consistency is an option."""

    one_pass = True

    def resolve(self, defaults=None, consistency=None, **options):
        """See :class:`Upscaler`; says so where other options have no effect."""
        if any(value is not None for value in options.values()):
            logging.warning("this model samples nothing: the options of sampling have no effect")
        consistency = (defaults or self.sampling).consistency if consistency is None else consistency
        return Sampling(consistency=True if consistency else None)

    def check_samples(self, count):
        if count != 1:
            raise UserError(f"this model samples nothing, {count} samples would be equal: take 1, or an SRDiff model")

    def passes(self, shape, sampling):
        return len(self.tiling.grid(*shape).windows)

    def _encode(self, lr, lr_up):
        if lr_up is not None:
            raise UserError("this model has no use for LR↑: leave lr_up out")
        lr = np.asarray(lr, np.float32)
        return Condition(self._grid(lr), len(lr), lr=lr)

    def _draw(self, condition, sampling, noise, progress=None, **hooks):
        """See :class:`Upscaler`; seed, noise and callback have no effect, since nothing is sampled here."""
        grid, lr = condition.grid, condition.lr
        result = grid.crop(self.networks.regress(grid.read(lr, grid.windows[0])[0]))
        if progress is not None:
            progress()
        return result


def _numbered(seeds, count):
    """A seed for each of so many pictures, of one for the first or None for 0 the numbers that follow."""
    if seeds is None or isinstance(seeds, (int, np.integer)):
        return range(seeds or 0, (seeds or 0) + count)
    if len(seeds) != count:
        raise UserError(f"expected a seed for each of {count} pictures, or one for the first, got {len(seeds)}")
    return seeds


def _part(noise, condition, window):
    """The noise source of a window, from that of the pictures."""
    rows, columns = condition.grid.inside(window)
    if hasattr(noise, "part"):
        return lambda k, shape: noise.part(k, condition.shape, rows, columns)
    return lambda k, shape: np.ascontiguousarray(noise(k, condition.shape)[:, :, rows, columns])


def to_network(pictures):
    """List of uint8 or uint16 (H, W, 3), all of one size and dtype → (B, 3, H, W) float32 in [−1, 1]."""
    result = np.empty((len(pictures), 3, *pictures[0].shape[:2]), np.float32)
    result[:] = [picture.transpose(2, 0, 1) for picture in pictures]
    result /= np.float32(np.iinfo(pictures[0].dtype).max / 2)
    result -= 1
    return result


def to_pixels(pictures, dtype=np.uint8):
    """(B, 3, H, W) float32 in about [−1, 1] → (B, H, W, 3) uint8 or uint16."""
    result, largest = np.empty((pictures.shape[0], *pictures.shape[2:], 3), dtype), np.iinfo(dtype).max
    for rows in strips(pictures.shape[2]):
        part = pictures[:, :, rows].transpose(0, 2, 3, 1)
        result[:, rows] = np.clip(np.rint((part + 1) * (largest / 2)), 0, largest)
    return result
