"""Encode once, then denoise step by step."""

import numpy as np

from ..diffusion.noise_level import StepNumber
from ..diffusion.process import noise_from_velocity, x0_coefficients
from ..diffusion.samplers import weighted_sum
from ..errors import UserError
from ..imaging.back_projection import BackProjection
from .condition import Condition
from .upscaler import Upscaler


class DiffusionUpscaler(Upscaler):
    """A diffusion model behind samplers that know no network, over windows that no sampler knows.

    ``networks`` is a ``DiffusionNetworks``: arrays are NumPy but for the features, which stay where the network runs.
    ``prediction`` is what it predicts, "noise" or "velocity", and ``noise_level`` what it is told, the step t by
    default.
    """

    def __init__(
        self, networks, tiling, *, name, system, sampling, schedule, target, prediction, noise_level=None,
        conditional=True, usual_size=None,
    ):  # fmt: skip
        super().__init__(networks, tiling, name=name, system=system, sampling=sampling)
        self.schedule, self.target, self.prediction = schedule, target, prediction
        self.noise_level = noise_level or StepNumber(schedule)
        self.conditional, self.usual_size = conditional, usual_size

    def resolve(self, defaults=None, **options):
        sampling = (defaults or self.sampling).replaced(**options)
        sampling.check()
        self._steps(sampling)
        return sampling

    def check_process(self):
        """Nothing to refuse: every step can be shown."""

    def check_fusion(self, from_step=None):
        if not self.conditional:
            super().check_fusion()
        if from_step is not None and not 1 <= from_step <= len(self.schedule):
            raise UserError(f"content is put in from step 1 to {len(self.schedule)} of this model, not {from_step}")

    def passes(self, shape, sampling):
        return len(self.tiling.grid(*shape).windows) * len(self._steps(sampling))

    def _steps(self, sampling):
        return self.schedule.steps(sampling.steps, sampling.spacing, self.noise_level.any_level)

    def _encode(self, lr, lr_up):
        if lr_up is not None:
            lr_up = np.asarray(lr_up, np.float32)
        if lr is None:
            grid = self._grid_of_enlarged(lr_up)
        else:
            lr = np.asarray(lr, np.float32)
            grid = self._grid(lr)
            expected = (lr.shape[0], 3, *grid.size)
            if lr_up is not None and lr_up.shape != expected:
                raise UserError(f"lr_up must have the shape {expected}, not {lr_up.shape}")
        return Condition(grid, len(lr_up if lr is None else lr), self.networks, lr, lr_up, self.tiling.margin)

    def _grid_of_enlarged(self, lr_up):
        if lr_up is None or not self.networks.lr_up_suffices:
            raise UserError("this model enlarges pictures: give them as lr, an array (B, 3, h, w)")
        if lr_up.ndim != 4 or lr_up.shape[1] != 3 or 0 in lr_up.shape or any(n % self.scale for n in lr_up.shape[2:]):
            raise UserError(
                f"lr_up must be an array (B, 3, H, W), H and W multiples of {self.scale}, not {lr_up.shape}"
            )
        return self.tiling.grid(lr_up.shape[0], *(side // self.scale for side in lr_up.shape[2:]))

    def predict(self, x_t, t, condition=None, progress=None):
        """The network's raw prediction (ε or v) for x_t: both (B, 3, H, W) float32 NumPy.

        ``t`` (B,) is what the network is told of the noise: int32 the step in [0, T), or float32 √ᾱ in (0, 1). Without
        a ``condition`` it is that of x_t's shape, of an unconditional model. Pictures in tiles are a UserError.
        """
        if condition is None:
            condition = self._unconditional(x_t.shape)
        condition.check_whole()
        grid, t = condition.grid, self.noise_level.checked(t)
        x_t = grid.read(np.asarray(x_t, np.float32), grid.windows[0])[0]
        result = grid.crop(self.networks.denoise(x_t, t, *condition.features))
        if progress is not None:
            progress()
        return result

    def predict_noise(self, x_t, t, condition):
        """ε for x_t, (B, 3, H, W) float32 NumPy; arguments as of :meth:`predict`."""
        prediction = self.predict(x_t, t, condition)
        if self.prediction == "noise":
            return prediction
        rates = (rate.astype(np.float32).reshape(-1, 1, 1, 1) for rate in self.noise_level.rates(np.asarray(t)))
        return noise_from_velocity(np.asarray(x_t, np.float32), prediction, *rates)

    def denoise(self, x_t, step, condition, progress=None):
        """The x_0 that the network sees in x_t, clipped to [−1, 1] if the target is; a sampler's ``denoise``."""
        prediction = self.predict(x_t, np.full(x_t.shape[0], self.noise_level.of(step)), condition, progress)
        of_xt, of_prediction = x0_coefficients(self.prediction, step.alpha_bar)
        x_0 = weighted_sum([(of_xt, x_t), (of_prediction, prediction)])
        return np.clip(x_0, -1, 1, out=x_0) if self.target.clip else x_0

    def _draw(self, condition, sampling, noise, progress=None, callback=None, process=None, fusion=None):
        """See :class:`Upscaler`; ``process`` is a :class:`src.inference.process.Process` that keeps some steps."""
        steps, base, lr = self._steps(sampling), condition.lr_up, condition.lr
        if sampling.consistency:  # among the pictures whose MATLAB reduction is LR (as DDNM does, arXiv 2212.00490)
            if lr is None:
                raise UserError("consistency is with LR pictures, and there are none: give lr, or leave it off")
            projection = BackProjection(*lr.shape[2:], self.scale)
            # x_0 agrees where its reduction is that of the picture's x_0, which is affine, and reducing is linear
            goal = self.target.unclipped(lr, projection.reduce(base))
        if process is not None:
            process.begin(len(steps), lambda x_0: self.target.to_picture(x_0, base))
        callbacks = [each for each in (process, callback) if each is not None]

        def denoise(x_t, step):
            x_0 = self.denoise(x_t, step, condition, progress)
            return projection.project(x_0, goal) if sampling.consistency else x_0

        def after(*step):
            for each in callbacks:
                each(*step)

        arguments = denoise, condition.shape, steps, noise, sampling.temperature, after
        if fusion is None:
            x_0 = sampling.function()(*arguments)
        else:
            x_0 = fusion.sample(sampling.function(), *arguments, lambda hr, place: self.target.to_x0(hr, base[place]))
        return self.target.to_picture(x_0, base)
