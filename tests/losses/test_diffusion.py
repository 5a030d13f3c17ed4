"""The denoising loss against NumPy, with a network whose answer is known."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from src.build import build_loss, build_model
from src.diffusion.schedule import make_schedule
from src.diffusion.target import ResidualTarget
from src.errors import UserError
from src.losses.diffusion import DiffusionLoss
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


class UNet(nn.Cell):
    def project(self, features, lr_up):
        return features.mean() + lr_up


class Model(nn.Cell):
    """Predicts x_t·(t + 1)/10 + 0.5·condition."""

    def __init__(self):
        super().__init__()
        self.encoder, self.unet = Encoder(), UNet()

    def lr_up(self, lr):
        b, c, h, w = lr.shape
        return ops.broadcast_to(lr.reshape(b, c, h, 1, w, 1), (b, c, h, 4, w, 4)).reshape(b, c, 4 * h, 4 * w)

    def construct(self, x_t, t, condition):
        return x_t * ((t + 1) / 10).reshape(-1, 1, 1, 1) + 0.5 * condition


def expected(prediction, kind):
    x_0 = np.clip(2 * (HR - LR_UP), -1, 1)
    signal, noise_rate = (rate[T].reshape(-1, 1, 1, 1) for rate in (SCHEDULE.signal_rate, SCHEDULE.noise_rate))
    x_t = signal * x_0 + noise_rate * NOISE
    goal = NOISE if prediction == "noise" else signal * NOISE - noise_rate * x_0
    found = x_t * ((T + 1) / 10).reshape(-1, 1, 1, 1) + 0.5 * (0.25 * LR.mean() + LR_UP)
    return np.abs(found - goal).mean() if kind == "l1" else ((found - goal) ** 2).mean()


BATCH = [ms.Tensor(array) for array in (HR, LR, T, NOISE)]


@pytest.mark.parametrize("kind", ["l1", "l2"])
@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_the_formula(prediction, kind):
    loss = DiffusionLoss(Model(), SCHEDULE, ResidualTarget(), prediction, kind)
    np.testing.assert_allclose(loss(*BATCH).asnumpy(), expected(prediction, kind), rtol=1e-5)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_gradient_stops_at_a_frozen_encoder(frozen):
    config = tiny.config("srdiff", None, f"encoder.frozen={str(frozen).lower()}")
    loss = build_loss(config, build_model(config))
    _, gradients = ms.value_and_grad(loss, None, [loss.model.encoder.first_conv.weight])(*BATCH)
    assert (np.abs(gradients[0].asnumpy()).max() == 0) == frozen


@pytest.mark.parametrize(("options", "name"), [({"prediction": "x0"}, "prediction"), ({"loss": "l3"}, "loss")])
def test_unknown_options(options, name):
    with pytest.raises(UserError, match=f"{name} must be one of"):
        DiffusionLoss(Model(), SCHEDULE, ResidualTarget(), **options)
