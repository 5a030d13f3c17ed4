"""The denoising loss against NumPy, with a network whose answer is known."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from src.diffusion.process import ResidualTarget
from src.diffusion.schedule import make_schedule
from src.errors import UserError
from src.families.registry import family_of
from src.losses.diffusion import DiffusionLoss, error_scale
from tests import tiny

RANDOM = np.random.default_rng(1)
HR = RANDOM.uniform(-1, 1, (3, 3, 16, 16)).astype(np.float32)
LR = RANDOM.uniform(-1, 1, (3, 3, 4, 4)).astype(np.float32)
NOISE = RANDOM.standard_normal(HR.shape).astype(np.float32)
T = np.array([0, 1, 3], np.int32)
LR_UP = LR.repeat(4, 2).repeat(4, 3)
SCHEDULE = make_schedule("cosine", 4)


class Encoder(nn.Cell):
    def condition(self, lr):
        return lr * 0.25


class Model(nn.Cell):
    """Predicts x_t·(t + 1)/10 + 0.5·condition."""

    def __init__(self):
        super().__init__()
        self.encoder = Encoder()

    def given(self, lr):
        b, c, h, w = lr.shape
        base = ops.broadcast_to(lr.reshape(b, c, h, 1, w, 1), (b, c, h, 4, w, 4)).reshape(b, c, 4 * h, 4 * w)
        return self.encoder.condition(lr), base

    def project(self, features, base):
        return features.mean() + base

    def construct(self, x_t, t, condition):
        return x_t * ((t + 1) / 10).reshape(-1, 1, 1, 1) + 0.5 * condition


def expected(prediction, kind, weight="uniform"):
    x_0 = np.clip(2 * (HR - LR_UP), -1, 1)
    signal, noise_rate = (rate[T].reshape(-1, 1, 1, 1) for rate in (SCHEDULE.signal_rate, SCHEDULE.noise_rate))
    x_t = signal * x_0 + noise_rate * NOISE
    goal = NOISE if prediction == "noise" else signal * NOISE - noise_rate * x_0
    found = x_t * ((T + 1) / 10).reshape(-1, 1, 1, 1) + 0.5 * (0.25 * LR.mean() + LR_UP)
    error = (found - goal) * error_scale(weight, prediction, SCHEDULE.signal_rate**2)[T].reshape(-1, 1, 1, 1)
    return np.abs(error).mean() if kind == "l1" else (error**2).mean()


BATCH = [ms.Tensor(array) for array in (HR, LR, T, NOISE)]


@pytest.mark.parametrize("kind", ["l1", "l2"])
@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_the_formula(prediction, kind):
    loss = DiffusionLoss(Model(), SCHEDULE, ResidualTarget(), prediction, kind)
    np.testing.assert_allclose(loss(*BATCH).asnumpy(), expected(prediction, kind), rtol=1e-5)


def test_several_draws_of_a_picture_share_its_features():
    loss = DiffusionLoss(Model(), SCHEDULE, ResidualTarget(), "velocity", "l2")
    second = ms.Tensor(np.array([2, 1, 0], np.int32)), ms.Tensor(NOISE[::-1].copy())
    apart = [loss(*BATCH).asnumpy(), loss(*BATCH[:2], *second).asnumpy()]
    together = [ops.stack(pair, 1).reshape(6, *pair[0].shape[1:]) for pair in zip(BATCH[2:], second, strict=True)]
    np.testing.assert_allclose(loss(*BATCH[:2], *together).asnumpy(), np.mean(apart), rtol=1e-5)


@pytest.mark.parametrize(("weight", "prediction"), [("min_snr", "noise"), ("min_snr", "velocity"), ("x0", "velocity")])
def test_the_weights_scale_the_error(weight, prediction):
    loss = DiffusionLoss(Model(), SCHEDULE, ResidualTarget(), prediction, "l2", weight)
    np.testing.assert_allclose(loss(*BATCH).asnumpy(), expected(prediction, "l2", weight), rtol=1e-5)


@pytest.mark.parametrize(("weight", "of_x0"), [("min_snr", lambda snr: np.minimum(snr, 5)), ("x0", np.ones_like)])
def test_the_scales_are_those_of_an_error_of_x0(weight, of_x0):
    alpha_bar = np.array([0.999, 0.9, 0.5, 0.1, 1e-4])
    x_0, found, noise = 0.25, 0.75, 2.0  # the error of x_0 is 0.5 at every t
    signal, rate = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    x_t = signal * x_0 + rate * noise
    errors = {"velocity": (signal * x_t - found) / rate - (signal * noise - rate * x_0)}
    if weight != "x0":
        errors["noise"] = (x_t - signal * found) / rate - noise
    for prediction, error in errors.items():
        scale = error_scale(weight, prediction, alpha_bar)
        np.testing.assert_allclose((scale**2).mean(), 1, rtol=1e-6)
        ratio = (scale * error) ** 2 / of_x0(alpha_bar / (1 - alpha_bar))
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


@pytest.mark.parametrize(("of", "frozen"), [("bicubic", True), ("bicubic", False), ("encoder", True)])
def test_the_gradient_stops_at_a_frozen_encoder(frozen, of):
    config = tiny.config("srdiff", None, f"encoder.frozen={str(frozen).lower()}", f"diffusion.residual_of={of}")
    loss = family_of(config).objectives(family_of(config).model())[0].loss
    _, gradients = ms.value_and_grad(loss, None, [loss.model.encoder.first_conv.weight])(*BATCH)
    assert (np.abs(gradients[0].asnumpy()).max() == 0) == frozen


@pytest.mark.parametrize(
    ("options", "name"),
    [({"prediction": "x0"}, "prediction"), ({"loss": "l3"}, "loss"), ({"weight": "snr"}, "loss_weight")],
)
def test_unknown_options(options, name):
    with pytest.raises(UserError, match=f"{name} must be one of"):
        DiffusionLoss(Model(), SCHEDULE, ResidualTarget(), **options)
