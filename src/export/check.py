"""Compare an exported model with its checkpoint, stage by stage."""

import logging
from typing import NamedTuple

import numpy as np

from ..diffusion.samplers import SeededNoise
from ..imaging.resize import imresize
from ..inference.networks import as_numpy
from ..inference.upscaler import to_network

TOLERANCE = {"float32": 1e-4, "float16": 2e-2}
SIZES = ((16, 16), (23, 37))  # random LR pictures; the second has sides that nothing divides
STEPS = 4  # at most, in what is compared of whole samples; a graph of a whole sampler takes all of its own
_MANY = 100  # steps from which that takes so long that it is said


class Deviation(NamedTuple):
    stage: str  # "condition", "base picture", "step t=…", or "picture"
    picture: str  # "random", "photograph", or "noise" where nothing is enlarged; and the LR size
    largest: float  # absolute difference, in units of the largest value where that is above 1


def deviations(exported, original, pictures):
    """Run two upscalers of one kind on the same LR pictures and noise; yield each :class:`Deviation`.

    ``pictures`` is a list of (name, lr), lr (1, 3, h, w) float32 in [−1, 1]; where nothing is enlarged, what is sampled
    has their sizes.
    """
    sampling = exported.resolve()
    steps = 1 if hasattr(exported, "predict") else sampling.steps or 1
    if steps > _MANY:
        logging.info("comparing %d pictures, each in all %d steps; --no-check leaves it out", len(pictures), steps)
    for number, (name, lr) in enumerate(pictures):
        name = f"{name if exported.conditional else 'noise'}, {lr.shape[3]} x {lr.shape[2]}"
        stages = _stages(exported, original, lr, sampling, number)
        yield from (Deviation(stage, name, _largest(*pair)) for stage, pair in stages)


def _stages(exported, original, lr, sampling, seed):
    both = exported, original
    conditions = [each.encode(lr) if each.conditional else each.encode(shape=lr.shape) for each in both]
    if hasattr(exported, "predict"):
        if exported.conditional:
            yield "condition", [as_numpy(condition.features[0]) for condition in conditions]
            yield "base picture", [condition.lr_up for condition in conditions]
        x_t = SeededNoise([seed])(0, conditions[0].shape)
        steps = original.schedule.steps()[::-1]  # t rising
        for step in (steps[t] for t in sorted({0, len(steps) // 2, len(steps) - 1})):
            level = np.array([original.noise_level.of(step)])
            pairs = zip(both, conditions, strict=True)
            yield f"step t={step.t}", [each.predict(x_t, level, condition) for each, condition in pairs]
        if sampling.steps > STEPS:
            sampling = sampling._replace(steps=STEPS, spacing="uniform")  # its own may list β for all steps
    yield "picture", [each.draw(condition, sampling, seed) for each, condition in zip(both, conditions, strict=True)]


def _largest(one, two):
    if one.shape != two.shape:
        return float("inf")
    difference = np.abs(one.astype(np.float64) - two).max()
    return float(difference / max(1, np.abs(two).max())) if np.isfinite(difference) else float("inf")


def check_pictures(size=None):
    """(name, lr) to compare a model on: noise, and scikit-image's photograph, of a graph's (B, h, w) or of any size."""
    from skimage import data

    height, width = size[1:] if size else (40, 56)
    photograph = data.astronaut()
    if max(height, width) <= 128:
        photograph = imresize(photograph, 1 / 4)
    crop = photograph[:height, -width:]
    crop = np.pad(crop, ((0, height - crop.shape[0]), (0, width - crop.shape[1]), (0, 0)), "symmetric")
    return random_pictures([(height, width)] if size else SIZES) + [("photograph", to_network([crop]))]


def random_pictures(sizes=SIZES):
    """LR pictures of noise, (name, lr): 8-bit levels, of half the range, since none reduces to noise over all of it."""
    drawn = [np.random.default_rng(number).integers(64, 192, (*size, 3), np.uint8) for number, size in enumerate(sizes)]
    return [("random", to_network([picture])) for picture in drawn]


def table(found):
    lines = [f"{'stage':<14}{'largest deviation':>18}  at"]
    for stage in dict.fromkeys(entry.stage for entry in found):
        worst = max((entry for entry in found if entry.stage == stage), key=lambda entry: entry.largest)
        lines.append(f"{stage:<14}{worst.largest:>18.1e}  {worst.picture}")
    return "\n".join(lines)
