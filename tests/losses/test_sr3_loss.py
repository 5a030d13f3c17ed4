"""SR3's and DDPM's training loss against NumPy and against golden values, and training with it."""

import mindspore as ms
import numpy as np
import pytest

from src.diffusion.process import ImageTarget
from src.errors import UserError
from src.families.registry import family_of
from src.families.sr3.network import SR3
from src.losses.diffusion import DiffusionLoss
from src.training.step import TrainStep, Update
from tests import tiny_sr3

RANDOM = np.random.default_rng(1)
HR = RANDOM.uniform(-1, 1, (3, 3, 16, 16)).astype(np.float32)
LR = RANDOM.uniform(-1, 1, (3, 3, 4, 4)).astype(np.float32)
NOISE = RANDOM.standard_normal(HR.shape).astype(np.float32)
TIMES = {"continuous": np.array([0.5, 1.25, 3.75], np.float32), "discrete": np.array([0, 1, 3], np.int32)}


class Sees(ms.nn.Cell):
    """A network that says what it was given: x_t·told + 0.5·LR↑."""

    def construct(self, x_t, t, lr_up, keys=None):
        return x_t * t.astype(ms.float32).reshape(-1, 1, 1, 1) + 0.5 * lr_up


class Repeat(ms.nn.Cell):
    def construct(self, lr):
        b, c, h, w = lr.shape
        return ms.ops.broadcast_to(lr.reshape(b, c, h, 1, w, 1), (b, c, h, 4, w, 4)).reshape(b, c, 4 * h, 4 * w)


@pytest.mark.parametrize("kind", ["l1", "l2"])
@pytest.mark.parametrize("level", ["continuous", "discrete"])
def test_the_formula(level, kind):
    schedule, t = family_of(tiny_sr3.config()).schedule(), TIMES[level]
    if level == "continuous":
        signal = told = np.interp(t, np.arange(5), np.append(1.0, schedule.signal_rate))
    else:
        signal, told = schedule.signal_rate[t], t
    signal, told = signal.reshape(-1, 1, 1, 1), told.reshape(-1, 1, 1, 1)
    x_t = signal * HR + np.sqrt(1 - signal**2) * NOISE
    error = x_t * told + 0.5 * LR.repeat(4, 2).repeat(4, 3) - NOISE
    loss = DiffusionLoss(
        SR3(Sees(), Repeat()), schedule, ImageTarget(), "noise", kind, continuous=level == "continuous"
    )
    found = loss(*(ms.Tensor(array) for array in (HR, LR, t, NOISE))).asnumpy()
    np.testing.assert_allclose(found, np.abs(error).mean() if kind == "l1" else (error**2).mean(), rtol=1e-5)


def test_weights_of_steps_do_not_fit_continuous_levels():
    with pytest.raises(UserError, match="loss_weight=min_snr is a function of the step: take uniform"):
        DiffusionLoss(Sees(), family_of(tiny_sr3.config()).schedule(), ImageTarget(), weight="min_snr", continuous=True)


@pytest.mark.parametrize("level", ["continuous", "discrete"])
@pytest.mark.parametrize("options", [(), tiny_sr3.UNCONDITIONAL], ids=["conditional", "from nothing"])
def test_steps_lower_the_loss(level, options):
    ms.set_seed(0)
    config = tiny_sr3.config(f"sr3.noise_level={level}", "sr3.dropout=0", *options)
    loss = family_of(config).objectives(family_of(config).model())[0].loss
    optimizer = ms.nn.Adam(loss.trainable_params(), 1e-2)
    step = TrainStep(loss, Update(optimizer, clip_norm=1.0))
    lr = HR if options else LR
    batch = [ms.Tensor(array) for array in (HR, lr, TIMES[level], NOISE)]
    losses = [float(step([batch])[0].asnumpy()) for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0] and np.isfinite(losses).all()


def test_training_drops_values_as_their_keys_say():
    config = tiny_sr3.config("sr3.dropout=0.5")
    loss = family_of(config).objectives(family_of(config).model())[0].loss
    batch = [ms.Tensor(array) for array in (HR, LR, TIMES["continuous"], NOISE)]
    step = TrainStep(loss, Update(ms.nn.Adam(loss.trainable_params(), 1e-12)))  # the weights stay the same
    keys = [[1, 2, 3], [1, 2, 3], [1, 2, 4]]
    first, again, other = (float(step([[*batch, ms.Tensor(three, ms.int32)]])[0].asnumpy()) for three in keys)
    assert first == again and abs(first - other) > 1e-5
