"""The denoising loss against NumPy, with networks whose answers are known, and training SR3 and DDPM with it."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from src.diffusion.process import ImageTarget, ResidualTarget
from src.diffusion.schedule import make_schedule
from src.errors import UserError
from src.families.registry import family_of
from src.families.sr3.network import SR3
from src.losses.diffusion import ContinuousLevels, DiffusionLoss, StepLevels, error_scale
from src.training.step import TrainStep, Update
from tests import tiny, tiny_sr3

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

    def features_and_base(self, lr):
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


TIMES = {"continuous": np.array([0.5, 1.25, 3.75], np.float32), "discrete": np.array([0, 1, 3], np.int32)}


class Sees(nn.Cell):
    """A network that says what it was given: x_t·told + 0.5·LR↑."""

    def construct(self, x_t, t, lr_up, keys=None):
        return x_t * t.astype(ms.float32).reshape(-1, 1, 1, 1) + 0.5 * lr_up


class Repeat(nn.Cell):
    def construct(self, lr):
        b, c, h, w = lr.shape
        return ops.broadcast_to(lr.reshape(b, c, h, 1, w, 1), (b, c, h, 4, w, 4)).reshape(b, c, 4 * h, 4 * w)


@pytest.mark.parametrize("kind", ["l1", "l2"])
@pytest.mark.parametrize("level", ["continuous", "discrete"])
def test_the_formula_of_sr3(level, kind):
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


@pytest.mark.parametrize(("level", "options"), [("continuous", ()), ("discrete", tiny_sr3.UNCONDITIONAL)])
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
    keys = [[1, 2, 3], [1, 2, 3], [1, 2, 4]]
    first, again, other = (float(loss(*batch, ms.Tensor(three, ms.int32)).asnumpy()) for three in keys)
    assert first == again and abs(first - other) > 1e-5


LONG = make_schedule("linear", 2000, beta_start=1e-6, beta_end=1e-2, last_beta=None)


def numbers(levels, t):
    return [found.asnumpy().astype(np.float64).ravel() for found in levels(ms.Tensor(t))]


def test_noise_levels_of_steps():
    t = np.array([0, 7, 1999], np.int32)
    signal_rate, noise_rate, told = numbers(StepLevels(LONG), t)
    np.testing.assert_allclose(signal_rate, LONG.signal_rate[t], rtol=1e-6)
    np.testing.assert_allclose(noise_rate, LONG.noise_rate[t], rtol=1e-6)
    np.testing.assert_array_equal(told, t)


def test_continuous_levels_lie_linearly_between_the_steps():
    t = np.array([0.0, 0.25, 1.0, 7.5, 1000.75, 1999.5, 1999.9998], np.float32)
    signal_rate, noise_rate, told = numbers(ContinuousLevels(LONG), t)
    expected = np.interp(t.astype(np.float64), np.arange(2001), np.append(1.0, LONG.signal_rate))
    np.testing.assert_allclose(signal_rate, expected, atol=1e-7)
    np.testing.assert_allclose(noise_rate, np.sqrt(1 - expected**2), rtol=1e-4)
    np.testing.assert_array_equal(told, signal_rate)


def test_uniform_times_draw_levels_uniformly_between_neighbours():
    schedule = make_schedule("linear", 4, beta_start=0.1, beta_end=0.5, last_beta=None)
    t = np.random.default_rng(0).uniform(0, 4, 40_000).astype(np.float32)
    _, _, told = numbers(ContinuousLevels(schedule), t)
    ends = np.append(1.0, schedule.signal_rate)
    for after, before in zip(ends[1:], ends, strict=False):
        inside = told[(told > after) & (told <= before)]
        assert len(inside) == pytest.approx(10_000, rel=0.05)
        assert inside.mean() == pytest.approx((after + before) / 2, abs=0.02 * (before - after))
        assert inside.std() == pytest.approx((before - after) / 12**0.5, rel=0.02)
