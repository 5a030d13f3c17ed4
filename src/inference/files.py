"""Files in, files out: any pictures, their transparency and grayness kept, batched by size."""

import logging
import math

import numpy as np
from PIL import Image

from src.errors import UserError
from src.imaging.io import MAX_PIXELS, holds_alpha, longest_side, picture_size, read_image, write_image
from src.imaging.resize import fitted, imresize
from src.imaging.strip import at_most, make_grid, repeated
from src.inference.upscaler import strips, to_network, to_uint8

HOTTEST = 32  # 8-bit levels of standard deviation at the upper end of the heat map
# black, violet, red, orange, pale yellow: lightness rises evenly, so that the map reads in gray as well
_COLOURS = np.array([(0, 0, 0), (70, 20, 110), (185, 40, 80), (245, 130, 30), (255, 255, 190)], np.float64)
GRID_PICTURES = 100  # the grid shows the first so many,
GRID_LONGEST = 256  # reduced to so many pixels
TOGETHER = 8  # the most pictures that :func:`unconditional_samples` samples as one batch


class SampleStatistics:
    """Running mean and variance (Welford, Technometrics 4(3), 1962) of a picture's samples, and the best one.

    The mean is (3, H, W) float32 in about [−1, 1]; its PSNR is higher than a sample's. The best is the sample, uint8
    (H, W, 3), whose reduction is nearest to the LR picture.
    """

    def __init__(self):
        self.count = 0
        self.best_lr_psnr = -math.inf

    def add(self, sr, pixels, lr):
        """Take a sample: (3, H, W) float32 in about [−1, 1], the same as uint8 (H, W, 3), and the LR picture."""
        if not self.count:
            self.mean, self._squares = np.zeros_like(sr), np.zeros_like(sr)
        self.count += 1
        for rows in strips(sr.shape[1]):
            before = sr[:, rows] - self.mean[:, rows]
            self.mean[:, rows] += before / self.count
            self._squares[:, rows] += before * (sr[:, rows] - self.mean[:, rows])
        error = np.square(imresize(pixels, size=lr.shape[:2]).astype(np.float64) - lr).mean()
        lr_psnr = math.inf if error == 0 else 10 * math.log10(255**2 / error)
        if lr_psnr > self.best_lr_psnr:
            self.best, self.best_number, self.best_lr_psnr = pixels, self.count - 1, lr_psnr

    def deviation(self):
        """The standard deviation of each pixel, the root of its mean over the colours: (H, W) float32, 8-bit levels."""
        result = np.empty(self.mean.shape[1:], np.float32)
        for rows in strips(len(result)):
            result[rows] = np.sqrt(self._squares[:, rows].mean(axis=0) / (self.count - 1)) * 127.5
        return result

    def write(self, job, picture, size):
        """Write mean, deviation and best of the samples of a ``Picture``, in a size (H, W); return the best so."""
        best = fitted(self.best, size)
        write_image(job.mean, _as_source(picture, fitted(to_uint8(self.mean[None])[0], size)))
        write_image(job.deviation, fitted(heat_map(self.deviation()), size))
        write_image(job.best, _as_source(picture, best))
        logging.info(
            "%s: sample %d agrees best with the input (LR-PSNR %.1f dB)",
            job.source.name, self.best_number + 1, self.best_lr_psnr,
        )  # fmt: skip
        return best


def heat_map(deviation):
    """(H, W) 8-bit levels → uint8 (H, W, 3), black at 0 to pale yellow from :data:`HOTTEST` up."""
    result = np.empty((*deviation.shape, 3), np.uint8)
    for rows in strips(len(deviation)):
        place = np.clip(deviation[rows] / HOTTEST, 0, 1) * (len(_COLOURS) - 1)
        channels = [np.interp(place, np.arange(len(_COLOURS)), channel) for channel in _COLOURS.T]
        result[rows] = np.rint(np.stack(channels, axis=-1))
    return result


class Watch:
    """What :func:`upscale_files` and :func:`sample_files` tell while they work; override what is of interest."""

    def begin(self, jobs, passes):
        """These jobs begin, as one batch that takes so many passes of a network."""

    def passed(self):
        """One of the passes is done."""

    def done(self, job, lr, sr, paths):
        """The files of a job are written; pictures are uint8 RGB, of several samples the best, or for ``lr`` None."""

    def summed_up(self, path):
        """A picture of all results together is written."""


def upscale_files(
    upscaler, jobs, sampling, *, batch=4, seed=0, compare=False, samples=1, process=None, watch=None, outscale=None
):  # fmt: skip
    """Upscale the pictures of ``plan_jobs``, as ``upscaler.resolve`` says, and write the results.

    Pictures of one size are upscaled together, at most ``batch``, fewer where they would not fit into memory. All start
    from the same seed, so that a result is the same alone and among others; sample k takes seed + k. Of several samples
    the :class:`SampleStatistics` are written too; ``compare`` also writes LR | bicubic | SR, ``process`` the first
    sample's steps. A file that cannot be read is passed over, and a UserError names it at the end.

    ``outscale``: finished pictures are resized by :func:`src.imaging.resize.imresize` to so many times their LR
    pictures' size, rounded; None leaves them as the network's scale makes them.
    """
    watch, broken, scale = watch or Watch(), [], outscale or upscaler.scale
    for group in _groups(upscaler, jobs, batch, scale, broken):
        shape = (len(group), *group[0][1].rgb.shape[:2])
        _begin(upscaler, watch, [job for job, _ in group], shape, samples, sampling)
        best = _draw(upscaler, group, sampling, seed, samples, process, watch, scale)
        for number, ((job, picture), sr) in enumerate(zip(group, best, strict=True)):
            if compare:
                write_image(job.comparison, comparison(picture.rgb, sr))
            if process:
                process.write(job, number, sr.shape[:2])
            watch.done(job, picture.rgb, sr, job.outputs(samples, compare, process.kinds if process else ()))
    if broken:
        which = "" if len(jobs) == 1 else f"{len(broken)} of {len(jobs)} pictures could not be read: "
        raise UserError(f"{which}{broken[0]}")


def _begin(upscaler, watch, jobs, shape, samples, sampling):
    """Tell the watch that jobs of a shape (B, h, w) begin, and the log if their pictures are cut."""
    passes = upscaler.passes(shape, sampling) * samples
    if words := upscaler.tiles(shape):
        logging.info("%s: %s, %d passes of the network", (jobs[0].source or jobs[0].result).name, words, passes)
    watch.begin(jobs, passes)


def _draw(upscaler, group, sampling, seed, samples, process, watch, scale):
    """Draw and write all samples of a batch; return the uint8 picture of each job, of several samples the best."""
    statistics = [SampleStatistics() for _ in group] if samples > 1 else None
    hooks = {"progress": watch.passed} | ({"process": process} if process else {})
    condition = upscaler.encode(to_network([picture.rgb for _, picture in group]))
    size = _result_size(group[0][1].rgb.shape[:2], scale)
    for k in range(samples):
        batch_of_sr = upscaler.draw(condition, sampling, [seed + k] * len(group), **hooks)
        pixels = to_uint8(batch_of_sr)
        results = [fitted(one, size) for one in pixels]
        for number, (job, picture) in enumerate(group):
            path = job.sample(k) if statistics else job.result
            write_image(path, _as_source(picture, results[number]))
            if statistics:
                statistics[number].add(batch_of_sr[number], pixels[number], picture.rgb)
        del batch_of_sr  # the next sample is drawn before the name is given to it
    if not statistics:
        return results
    return [own.write(job, picture, size) for (job, picture), own in zip(group, statistics, strict=True)]


def _result_size(size, scale):
    """(height, width) of what an LR picture's (height, width) becomes."""
    return tuple(max(1, round(side * scale)) for side in size)


def comparison(lr, sr):
    """LR (its pixels repeated) | bicubic | SR, uint8 (H, 3·W, 3)."""
    size = sr.shape[:2]
    return np.concatenate([repeated(lr, size), imresize(lr, size=size), sr], axis=1)


def _groups(upscaler, jobs, batch, scale, broken):
    """Yield lists of (job, picture) of one size, the sizes in the order of their first pictures."""
    for alike in _by_size(jobs):
        group = []
        for job in alike:
            try:
                picture = read_image(job.source)
            except UserError as error:
                if len(jobs) > 1:  # a single one is named by the error at the end
                    logging.warning("%s", error)
                broken.append(error)
                continue
            size = picture.rgb.shape[:2]
            if scale > upscaler.scale and size[0] * scale * size[1] * scale > MAX_PIXELS:
                most = f"{MAX_PIXELS / 1e6:g} million pixels"
                raise UserError(f"{job.source} would have more than {most}, {scale:g} times as large: lower --outscale")
            _check_format(job, picture, max(_result_size(size, scale)))
            if group and (len(group) == upscaler.batch(batch, *size) or group[0][1].rgb.shape[:2] != size):
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


def _check_format(job, picture, longest):
    """Refuse what the result's format cannot hold, before the work."""
    suffix = job.result.suffix
    if picture.alpha is not None and not holds_alpha(job.result):
        raise UserError(f"{job.source} is transparent, which {suffix} files cannot be: write a .png")
    if (limit := longest_side(job.result)) and longest > limit:
        raise UserError(f"{job.source} becomes {longest} pixels long, {suffix} files end at {limit}: write a .png")


def _as_source(picture, sr):
    """Give the result the channels of its source; transparency is enlarged by bicubic."""
    colours = np.asarray(Image.fromarray(sr).convert("L")) if picture.gray else sr
    return colours if picture.alpha is None else np.dstack([colours, imresize(picture.alpha, size=sr.shape[:2])])


def unconditional_samples(upscaler, count, size, sampling, seed=0, done=lambda size: None):
    """Sample an unconditional model; yield uint8 (H, W, 3) RGB of ``size`` (H, W). Picture n takes the seed + n.

    In batches that fit, for more would be cut into tiles, each a picture of its own; ``done`` is called with a batch's
    size after each of its steps.
    """
    together = upscaler.batch(TOGETHER, *size)
    for first in range(0, count, together):
        batch = min(together, count - first)
        condition = upscaler.encode(shape=(batch, 3, *size))
        yield from to_uint8(
            upscaler.draw(condition, sampling, seed + first, callback=lambda *_, batch=batch: done(batch))
        )


def unconditional_grid(upscaler, count, size, sampling, seed=0):
    return make_grid(list(unconditional_samples(upscaler, count, size, sampling, seed)))


def sample_files(upscaler, jobs, grid, sampling, *, size, batch=4, seed=0, process=None, watch=None):
    """Sample an unconditional model and write the pictures of ``plan_unconditional``, each as it would be alone.

    ``size`` is (height, width) in pixels of what the model makes; a cascade's results are larger. Picture n takes seed
    + n. All else is as for :func:`upscale_files`.
    """
    watch, hooks = watch or Watch(), {"process": process} if process else {}
    together, small = upscaler.batch(batch, *size), []
    for first in range(0, len(jobs), together):
        group = jobs[first : first + together]
        _begin(upscaler, watch, group, (len(group), *size), 1, sampling)
        condition = upscaler.encode(shape=(len(group), 3, *size))
        pixels = to_uint8(upscaler.draw(condition, sampling, seed + first, watch.passed, **hooks))
        for number, (job, picture) in enumerate(zip(group, pixels, strict=True)):
            write_image(job.result, picture)
            if process:
                process.write(job, number)
            if len(small) < GRID_PICTURES:
                small.append(at_most(picture, GRID_LONGEST))
            watch.done(job, None, picture, job.outputs(process=process.kinds if process else ()))
    write_image(grid, make_grid(small))
    watch.summed_up(grid)
