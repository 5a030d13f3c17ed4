"""The loss of distillation against its formula, on a network of one number."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.diffusion.process import ResidualTarget
from src.losses.distillation import DistillationLoss
from src.losses.gan import PictureLoss

SHAPE = (4, 3, 6, 6)  # two draws of two pictures
RATES = 0.6, 0.8


class Gain(nn.Cell):
    """A network whose prediction is x_t times a number, times what it is told, plus the condition."""

    def __init__(self):
        super().__init__()
        self.gain = ms.Parameter(ms.Tensor(0.5, ms.float32), name="gain")

    def project(self, features, base):
        return features + base

    def construct(self, x_t, t, condition):
        return x_t * self.gain * t.reshape(-1, 1, 1, 1) + condition


@pytest.mark.parametrize("truth", [0.0, 0.25])
def test_it_is_the_difference_of_pictures_and_of_the_named_noise(truth):
    random = np.random.default_rng(0)
    hr, features, base = random.uniform(-0.5, 0.5, (3, 2, *SHAPE[1:])).astype(np.float32)
    x_t, x_0 = random.standard_normal((2, *SHAPE), np.float32)
    loss = DistillationLoss(
        Gain(), ResidualTarget(4.0, clip=False), PictureLoss({"pixel": 2.0}, truth=truth), 0.1,
        (0.64, np.array([0.25], np.float32)),
    )  # fmt: skip
    told, rates = np.full(4, 0.5, np.float32), np.array(RATES, np.float32)
    total, parts = loss(*map(ms.Tensor, (hr, features, base, x_t, told, rates, x_0)))

    def x0_of(x, says, signal, noise):
        return signal * x - noise * says

    condition, base = (array.repeat(2, 0) for array in (features + base, base))
    sr = x0_of(x_t, x_t * 0.25 + condition, *RATES) / 4 + base
    goal, real = x_0 / 4 + base, hr.repeat(2, 0)
    pixel = 2 * ((1 - truth) * np.abs(sr - goal).mean() + truth * np.abs(sr - real).mean()) / 2
    says = x_0 * 0.125 + condition
    named = 0.6 * x_0 + 0.8 * says
    inverse = 0.1 * np.square(named - x_t).mean()
    np.testing.assert_allclose(parts.asnumpy(), [pixel, inverse], rtol=1e-5)
    assert float(total.asnumpy()) == pytest.approx(pixel / RATES[1] + inverse, rel=1e-5)


def test_squares_count_as_those_of_the_velocity_and_the_student_is_not_clipped():
    loss = DistillationLoss(
        Gain(), ResidualTarget(1.0), PictureLoss({"pixel": 1.0}, "l2"), 0.0, (0.64, np.array([0.25], np.float32))
    )
    zeros, ones = np.zeros((1, 3, 2, 2), np.float32), np.ones((1, 3, 2, 2), np.float32)
    arrays = zeros, zeros, zeros, 8 * ones, ones[0, 0, 0, :1], np.array(RATES, np.float32), 3 * ones
    total, parts = loss(*map(ms.Tensor, arrays))
    x_0 = 0.6 * 8 - 0.8 * 8 * 0.5  # of the student, beyond 1 and not clipped; the teacher's 3 is
    assert float(parts.asnumpy()[0]) == pytest.approx(((x_0 - 1) / 2) ** 2, rel=1e-5)
    assert float(total.asnumpy()) == pytest.approx(((x_0 - 1) / 2) ** 2 / RATES[1] ** 2, rel=1e-5)
