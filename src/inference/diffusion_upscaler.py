"""Encode once, then denoise step by step: SRDiff, SR3 and DDPM."""

import numpy as np

from src.diffusion.noise_level import StepNumber
from src.diffusion.process import noise_from_velocity, x0_coefficients
from src.diffusion.samplers import SeededNoise, seeds_of, weighted_sum
from src.errors import UserError
from src.imaging.back_projection import BackProjection
from src.inference.condition import Condition, NoCondition
from src.inference.sampling import Sampling, sampling_of
from src.inference.upscaler import Upscaler


class DiffusionUpscaler(Upscaler):
    """A diffusion model behind samplers that know no network, over windows that no sampler knows.

    Args:
        networks: with ``encode(lr, lr_up) → (features, lr_up)`` and ``denoise(x_t, t, features)``; arrays are NumPy but
            for the features, which stay where the network runs.
        config, tiling: as in :class:`Upscaler`.
        schedule: a ``Schedule``.
        target: a ``ResidualTarget`` or an ``ImageTarget``.
        prediction: what the network predicts, "noise" or "velocity".
        noise_level: what it is told, see :mod:`src.diffusion.noise_level`; None takes the step t.
    """

    def __init__(self, networks, config, tiling, schedule, target, prediction, noise_level=None):
        super().__init__(networks, config, tiling)
        self.schedule = schedule
        self.noise_level = noise_level or StepNumber(schedule)
        self.target = target
        self.prediction = prediction

    def check(self, samples=1, **options):
        """Refuse an unknown sampler and numbers out of range; see :class:`Upscaler`."""
        if samples < 1:
            raise UserError(f"the number of samples must be at least 1, not {samples}")
        sampling = Sampling(**options).filled(sampling_of(self.config))
        sampling.function()
        self._path(sampling)

    def check_process(self):
        """Nothing to refuse: every step can be shown."""

    def passes(self, shape, **options):
        """See :class:`Upscaler`."""
        path = self._path(Sampling(**options).filled(sampling_of(self.config)))
        return len(self.tiling.grid(*shape).windows) * len(path)

    def _path(self, sampling):
        return self.schedule.steps(sampling.steps, sampling.spacing, self.noise_level.any_level)

    def encode(self, lr, lr_up=None):
        """Compute all that does not depend on x_t.

        Args:
            lr: (B, 3, h, w) float32 in [−1, 1], any size; None where ``lr_up`` is given and the model needs no more.
            lr_up: (B, 3, H, W) float32 in [−1, 1], used as given instead of the network's own.

        Returns:
            :class:`src.inference.condition.Condition`.
        """
        if lr_up is not None:
            lr_up = np.asarray(lr_up, np.float32)
        if lr is not None:
            lr = np.asarray(lr, np.float32)
            grid = self._grid(lr)
            expected = (lr.shape[0], 3, *grid.size)
            if lr_up is not None and lr_up.shape != expected:
                raise UserError(f"lr_up must have the shape {expected}, not {lr_up.shape}")
        else:
            grid = self._grid_of_enlarged(lr_up)
        budget = self.tiling.features_budget(grid, len(lr_up if lr is None else lr))
        return Condition(self.networks, grid, lr, lr_up, self.tiling.margin, budget)

    def _grid_of_enlarged(self, lr_up):
        if lr_up is None or not self.networks.lr_up_suffices:
            raise UserError("this model enlarges pictures: give them as lr, an array (B, 3, h, w)")
        if lr_up.ndim != 4 or lr_up.shape[1] != 3 or 0 in lr_up.shape or any(n % self.scale for n in lr_up.shape[2:]):
            raise UserError(
                f"lr_up must be an array (B, 3, H, W), H and W multiples of {self.scale}, not {lr_up.shape}"
            )
        return self.tiling.grid(lr_up.shape[0], *(side // self.scale for side in lr_up.shape[2:]))

    def predict(self, x_t, t, condition, progress=None):
        """The network's raw prediction (ε or v).

        Args:
            x_t: (B, 3, H, W) float32.
            t: (B,), what the network is told of the noise: int32 the step, or float32 √ᾱ.
            condition: from :meth:`encode`.
            progress: called after each window.

        Returns:
            (B, 3, H, W) float32 NumPy.
        """
        grid, t = condition.grid, self.noise_level.checked(t)
        x_t = np.asarray(x_t, np.float32)
        result = None if grid.whole else np.zeros_like(x_t)
        for number, window in enumerate(grid.windows):
            values = self.networks.denoise(grid.read(x_t, window)[0], t, condition.features(number))
            if grid.whole:
                result = grid.crop(values)
            else:
                grid.add(result, values, window)
            if progress is not None:
                progress()
        return result

    def predict_noise(self, x_t, t, condition):
        """ε for x_t.

        Args:
            x_t: (B, 3, H, W) float32.
            t: (B,) int32 in [0, T), or float32 √ᾱ in (0, 1), as the network was trained.
            condition: from :meth:`encode`.

        Returns:
            (B, 3, H, W) float32 NumPy.
        """
        prediction = self.predict(x_t, t, condition)
        if self.prediction == "noise":
            return prediction
        rates = (rate.astype(np.float32).reshape(-1, 1, 1, 1) for rate in self.noise_level.rates(np.asarray(t)))
        return noise_from_velocity(np.asarray(x_t, np.float32), prediction, *rates)

    def denoise(self, x_t, step, condition, progress=None):
        """The x_0 that the network sees in x_t, clipped to [−1, 1] if the target is; a sampler's ``denoise``."""
        prediction = self.predict(x_t, np.full(x_t.shape[0], self.noise_level.of(step)), condition, progress)
        of_xt, of_prediction = x0_coefficients(self.prediction, step.alpha_bar)
        out = None if condition.grid.whole else prediction  # a whole picture's prediction is the network's own array
        x_0 = weighted_sum([(of_xt, x_t), (of_prediction, prediction)], out=out)
        return np.clip(x_0, -1, 1, out=x_0) if self.target.clip else x_0

    def draw(self, condition, seed=0, progress=None, noise=None, callback=None, process=None, **options):
        """Draw HR pictures.

        Args:
            condition: from :meth:`encode`.
            seed: an int for the batch (its pictures take seed, seed + 1, …) or one int for each picture.
            progress: called after each pass of the network over a window.
            noise: ``noise(k, shape)`` gives the k-th draw (0 is x_T, then one per step); None takes a seeded source.
            callback: called after each step as ``callback(k, step, x, x_0)``; the arrays are reused, copy what is kept.
            process: a :class:`src.inference.process.Process` that keeps some steps as pictures.
            options: those of :class:`src.inference.sampling.Sampling`; None takes the model's default.

        Returns:
            (B, 3, H, W) float32 NumPy in about [−1, 1].

        Raises:
            UserError: an option is unknown or out of range.
        """
        sampling = Sampling(**options).filled(sampling_of(self.config))
        if noise is None:
            noise = SeededNoise(seeds_of(seed, condition.shape[0]))
        agree = Agreement(condition, self.scale, self.target) if sampling.consistency else None

        def denoise(x_t, step):
            x_0 = self.denoise(x_t, step, condition, progress)
            return agree.residual(x_0) if agree else x_0

        path = self._path(sampling)
        if process is not None:
            process.begin(len(path), lambda x_0: self.target.to_picture(x_0, condition.lr_up))
        after = _each(process, callback)
        x_0 = sampling.function()(denoise, condition.shape, path, noise, sampling.temperature, after)
        picture = self.target.to_picture(x_0, condition.lr_up)
        return agree.picture(picture) if agree else picture


class Agreement:
    """Keeps samples among the pictures whose MATLAB reduction is the LR picture (as DDNM does, arXiv 2212.00490).

    Args:
        condition: of the pictures.
        scale: HR size / LR size.
        target: a ``ResidualTarget`` or an ``ImageTarget``.

    Raises:
        UserError: there are no LR pictures.
    """

    def __init__(self, condition, scale, target):
        if condition.lr is None:
            raise UserError("consistency is with LR pictures, and there are none: give lr, or leave it off")
        self._projection = BackProjection(*condition.lr.shape[2:], scale)
        self._lr = condition.lr
        # x_0 agrees where its reduction is that of the picture's x_0, which is affine, and reducing is linear
        self._goal = target.unclipped(condition.lr, self._projection.reduce(condition.lr_up))

    def residual(self, x_0):
        """The nearest x_0 that agrees, in place."""
        return self._projection.project(x_0, self._goal)

    def picture(self, picture):
        """A finished picture that agrees and stays in [−1, 1], in place."""
        return self._projection.fit(picture, self._lr)


def _each(*callbacks):
    """A sampler's callback that calls those of these that are there; None where there are none."""
    there = [callback for callback in callbacks if callback is not None]

    def after(*step):
        for callback in there:
            callback(*step)

    return after if there else None


_REMEDY = "call sample(None, shape=(B, 3, H, W)), or take a model that enlarges"


class FromNothing:
    """An upscaler that knows no LR picture; its scale is 1. ``sample(None, shape=(B, 3, H, W))`` draws pictures."""

    needs_pictures = False

    @property
    def usual_size(self):
        """(height, width) of pictures where none is named: ``sr3.image_size``, a training's patches as a rule."""
        return (self.config.sr3.image_size,) * 2

    def encode(self, lr=None, lr_up=None):
        """Refuse pictures; without any there is nothing to compute, and the condition is None."""
        if lr is not None or lr_up is not None:
            raise UserError(f"this model makes pictures from nothing and enlarges none: {_REMEDY}")

    def from_nothing(self, shape):
        """Return the :class:`src.inference.condition.NoCondition` for pictures of a shape (B, 3, H, W).

        Raises:
            UserError: it is no such shape.
        """
        if len(shape) != 4 or shape[1] != 3 or min(shape) < 1:
            raise UserError(f"the shape of pictures is (B, 3, H, W), not {tuple(shape)}")
        return NoCondition(self.tiling.grid(shape[0], *shape[2:]), shape)

    def draw(self, condition, *arguments, **options):
        """As of what enlarges.

        Raises:
            UserError: the condition is None, which tells no size.
        """
        if condition is None:
            raise UserError(f"this model makes pictures from nothing, but of which size? {_REMEDY}")
        return super().draw(condition, *arguments, **options)


class PictureGenerator(FromNothing, DiffusionUpscaler):
    """A :class:`DiffusionUpscaler` :class:`FromNothing`; ``predict_noise`` takes None as the condition."""

    def predict(self, x_t, t, condition=None, progress=None):
        """As in :class:`DiffusionUpscaler`; a condition of None is that of x_t's shape."""
        return super().predict(x_t, t, condition or self.from_nothing(x_t.shape), progress)
