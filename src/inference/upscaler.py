"""LR pictures in, HR pictures out: what users, evaluation and the exported model's runner all call."""

import logging
import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from src.diffusion.process import noise_from_velocity, x0_from_noise, x0_from_velocity
from src.diffusion.samplers.ddpm import ddpm
from src.diffusion.samplers.noise import SeededNoise
from src.errors import UserError
from src.inference.padding import Padding

SAMPLERS = {"ddpm": ddpm}


class Condition(NamedTuple):
    """What ``encode`` computed once for a batch of pictures.

    Attributes:
        features: the network's own condition, on its device, for the padded picture.
        lr_up: (B, 3, H, W) float32 NumPy, LR↑ without padding.
        padding: the :class:`Padding` of this picture size.
    """

    features: Any
    lr_up: np.ndarray
    padding: Padding


class Upscaler(ABC):
    """Common to both systems: uint8 pictures to and from the network's arrays.

    Attributes:
        scale: enlargement factor.
        config: the model's resolved ``Config``.
    """

    def __init__(self, networks, config, scale, size_multiple):
        self.networks = networks
        self.config = config
        self.scale = scale
        self.size_multiple = size_multiple

    @abstractmethod
    def check(self, sampler=None, steps=None, temperature=None):
        """Refuse sampling options that :meth:`sample` would refuse, before any work.

        Raises:
            UserError: an option is unknown or out of range.
        """

    @abstractmethod
    def sample(self, lr, seed=0, **options):
        """(B, 3, h, w) float32 in [−1, 1] → (B, 3, H, W) float32 NumPy in about [−1, 1]."""

    def upscale(self, pictures, seeds=None, **options):
        """Upscale pictures of one size as one batch.

        Args:
            pictures: list of uint8 (h, w, 3) RGB, all of one size.
            seeds: one int for each picture; by default 0, 1, 2, …
            options: of :meth:`sample`.

        Returns:
            list of uint8 (H, W, 3).
        """
        lr = np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
        sr = self.sample(lr, seed=list(range(len(pictures))) if seeds is None else list(seeds), **options)
        levels = np.clip(np.rint((sr + 1) * 127.5), 0, 255).astype(np.uint8)
        return list(levels.transpose(0, 2, 3, 1))

    def _padding(self, lr):
        if lr.ndim != 4 or lr.shape[1] != 3 or 0 in lr.shape:
            raise UserError(f"LR pictures must be an array (B, 3, h, w), not {tuple(lr.shape)}")
        return Padding(lr.shape[2], lr.shape[3], self.scale, self.size_multiple)


class RegressionUpscaler(Upscaler):
    """One forward pass: RRDB.

    Args:
        networks: with ``regress(lr) → sr``, NumPy to NumPy.
        config, scale, size_multiple: as in :class:`Upscaler`.
    """

    def check(self, sampler=None, steps=None, temperature=None):
        """Say once that sampling options have no effect, if there are any."""
        if (sampler, steps, temperature) != (None, None, None):
            logging.warning("this model samples nothing: sampler, steps and temperature have no effect")

    def sample(self, lr, seed=0, sampler=None, steps=None, temperature=None, callback=None):
        """Upscale a batch; the sampling options are accepted and have no effect, since nothing is sampled here.

        Args:
            lr: (B, 3, h, w) float32 in [−1, 1].

        Returns:
            (B, 3, H, W) float32 NumPy.
        """
        lr = np.asarray(lr, np.float32)
        padding = self._padding(lr)
        return padding.crop_hr(self.networks.regress(padding.pad_lr(lr)))


class DiffusionUpscaler(Upscaler):
    """Encode once, then denoise step by step: SRDiff.

    Args:
        networks: with ``encode(lr, lr_up) → (features, lr_up)`` and ``denoise(x_t, t, features)``; arrays are NumPy but
            for the features, which stay where the network runs.
        schedule: a ``Schedule``.
        target: a ``ResidualTarget``.
        prediction: what the network predicts, "noise" or "velocity".
        config, scale, size_multiple: as in :class:`Upscaler`.
    """

    def __init__(self, networks, config, scale, size_multiple, schedule, target, prediction):
        super().__init__(networks, config, scale, size_multiple)
        self.schedule = schedule
        self.target = target
        self.prediction = prediction

    def check(self, sampler=None, steps=None, temperature=None):
        """Refuse an unknown sampler, and steps or a temperature out of range; see :class:`Upscaler`."""
        self._resolve(sampler, steps, temperature)

    def _resolve(self, sampler, steps, temperature):
        """Fill in the model's defaults; return the sampler function, its list of steps and the temperature."""
        defaults = self.config.eval
        draw = sampler_named(defaults.sampler if sampler is None else sampler)
        temperature = defaults.temperature if temperature is None else temperature
        if not 0 <= temperature < math.inf:
            raise UserError(f"the temperature must be a number from 0 up, not {temperature}")
        return draw, self.schedule.steps(defaults.steps if steps is None else steps), temperature

    def encode(self, lr, lr_up=None):
        """Compute all that does not depend on x_t.

        Args:
            lr: (B, 3, h, w) float32 in [−1, 1], any size.
            lr_up: (B, 3, H, W) float32 in [−1, 1], used as given instead of the network's own.

        Returns:
            :class:`Condition`.
        """
        lr = np.asarray(lr, np.float32)
        padding = self._padding(lr)
        if lr_up is not None:
            lr_up = np.asarray(lr_up, np.float32)
            expected = (lr.shape[0], 3, lr.shape[2] * self.scale, lr.shape[3] * self.scale)
            if lr_up.shape != expected:
                raise UserError(f"lr_up must have the shape {expected}, not {lr_up.shape}")
            lr_up = padding.pad_hr(lr_up)
        features, lr_up = self.networks.encode(padding.pad_lr(lr), lr_up)
        return Condition(features, padding.crop_hr(lr_up), padding)

    def predict(self, x_t, t, condition):
        """The network's raw prediction (ε or v): x_t (B, 3, H, W) float32, t (B,) int32 → (B, 3, H, W) float32."""
        padding = condition.padding
        x_t = padding.pad_hr(np.asarray(x_t, np.float32))
        return padding.crop_hr(self.networks.denoise(x_t, np.asarray(t, np.int32), condition.features))

    def predict_noise(self, x_t, t, condition):
        """ε for x_t.

        Args:
            x_t: (B, 3, H, W) float32.
            t: (B,) int32 in [0, T).
            condition: from :meth:`encode`.

        Returns:
            (B, 3, H, W) float32 NumPy.
        """
        t = np.asarray(t)
        prediction = self.predict(x_t, t, condition)
        if self.prediction == "noise":
            return prediction
        signal = self.schedule.signal_rate[t].astype(np.float32).reshape(-1, 1, 1, 1)
        noise_rate = self.schedule.noise_rate[t].astype(np.float32).reshape(-1, 1, 1, 1)
        return noise_from_velocity(np.asarray(x_t, np.float32), prediction, signal, noise_rate)

    def denoise(self, x_t, step, condition):
        """The x_0 that the network sees in x_t, clipped to [−1, 1] if the target is; a sampler's ``denoise``."""
        prediction = self.predict(x_t, np.full(x_t.shape[0], step.t), condition)
        convert = x0_from_noise if self.prediction == "noise" else x0_from_velocity
        x_0 = convert(x_t, prediction, step.alpha_bar**0.5, (1 - step.alpha_bar) ** 0.5)
        return x_0.clip(-1, 1) if self.target.clip else x_0

    def sample(
        self, lr, seed=0, sampler=None, steps=None, temperature=None, noise=None, lr_up=None, callback=None,
    ):  # fmt: skip
        """Draw HR pictures for a batch of LR pictures.

        Args:
            lr: (B, 3, h, w) float32 in [−1, 1], any size.
            seed: an int for the batch (its pictures take seed, seed + 1, …) or one int for each picture.
            sampler: "ddpm"; None takes the model's default.
            steps: number of steps, 1 to T; None takes the model's default.
            temperature: scales all noise; None takes the model's default.
            noise: ``noise(k, shape)`` gives the k-th draw (0 is x_T, then one per step); None takes a seeded source.
            lr_up: as in :meth:`encode`.
            callback: called after each step as ``callback(k, step, x, x_0)``.

        Returns:
            (B, 3, H, W) float32 NumPy in about [−1, 1].

        Raises:
            UserError: an option is unknown or out of range.
        """
        draw, path, temperature = self._resolve(sampler, steps, temperature)
        condition = self.encode(lr, lr_up)
        if noise is None:
            noise = SeededNoise(_seeds(seed, condition.lr_up.shape[0]))
        x_0 = draw(
            lambda x_t, step: self.denoise(x_t, step, condition),
            condition.lr_up.shape, path, noise, temperature, callback,
        )  # fmt: skip
        return self.target.to_picture(x_0, condition.lr_up)


def sampler_named(name):
    """Return the sampler function, or raise a UserError that lists them."""
    if name not in SAMPLERS:
        raise UserError(f"sampler must be one of {', '.join(SAMPLERS)}, not '{name}'")
    return SAMPLERS[name]


def _seeds(seed, count):
    return [seed + i for i in range(count)] if np.ndim(seed) == 0 else list(seed)
