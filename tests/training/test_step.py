"""One optimiser step: gradients, clipping, what is trained and what is not."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.families.registry import family_of
from src.layers.layers import Mish, SinusoidalEmbedding
from src.layers.phase_upscale import BicubicUpscale
from src.layers.precision import compute_in_16_bits
from src.training.ema import MovingAverage
from src.training.optimizers import RateSchedule, adam
from src.training.step import JointStep, TrainStep, Update
from src.weights.checkpoint import put
from tests import tiny

SMALLEST = "encoder.blocks=1", "unet.condition_every=1", "unet.multipliers=[1]"  # whose graphs compile fastest
RANDOM = np.random.default_rng(3)
HR, NOISE = (RANDOM.uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32) for _ in range(2))
LR = HR.reshape(2, 3, 8, 4, 8, 4).mean((3, 5))
RATE = RateSchedule(1e-2, "step", total=100, decay_every=3)
BATCH = tuple(ms.Tensor(array) for array in (HR, LR, np.array([0, 3], np.int32), NOISE))


class Linear(nn.Cell):
    """The loss Σ w·x: its gradient for w is x."""

    def __init__(self):
        super().__init__()
        self.a = ms.Parameter(np.zeros(3, np.float32), name="a")
        self.b = ms.Parameter(np.zeros((2, 2), np.float32), name="b")

    def construct(self, x, y):
        return (self.a * x).sum() + (self.b * y).sum()


@pytest.mark.parametrize("clip_norm", [0.0, 0.5, 100.0])
def test_the_gradient_is_clipped_by_its_global_norm(clip_norm):
    x, y = np.array([3, -4, 0], np.float32), np.array([[1, 2], [-2, 4]], np.float32)
    loss = Linear()
    step = TrainStep(loss, Update(nn.SGD([loss.a, loss.b], learning_rate=1.0), clip_norm))
    value, norm, taken = step([(ms.Tensor(x), ms.Tensor(y))])
    assert bool(taken)
    expected = np.sqrt((x**2).sum() + (y**2).sum())
    factor = min(1, clip_norm / expected) if clip_norm else 1
    assert (float(value), norm.dtype, norm.shape) == (0, ms.float32, ())
    np.testing.assert_allclose(float(norm), expected, rtol=1e-6)
    np.testing.assert_allclose(loss.a.asnumpy(), -factor * x, rtol=1e-6)
    np.testing.assert_allclose(loss.b.asnumpy(), -factor * y, rtol=1e-6)


def test_a_gradient_of_zero_is_left_alone():
    loss = Linear()
    step = TrainStep(loss, Update(nn.SGD([loss.a, loss.b], learning_rate=1.0), 1.0))
    _, norm, _ = step([(ms.Tensor(np.zeros(3, np.float32)), ms.Tensor(np.zeros((2, 2), np.float32)))])
    assert float(norm) == 0 and np.isfinite(loss.a.asnumpy()).all()


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_stays_and_a_free_one_moves(frozen):
    ms.set_seed(0)
    config = tiny.config("srdiff", None, *SMALLEST, f"encoder.frozen={frozen}".lower())
    model = family_of(config).model()
    trained = model.unet.trainable_params() if frozen else model.trainable_params()
    step = TrainStep(family_of(config).objectives(model)[0].loss, Update(adam([(trained, RATE)])))
    before = {p.name: p.asnumpy().copy() for p in model.get_parameters()}
    step([BATCH])
    moved = {p.name for p in model.get_parameters() if not np.array_equal(before[p.name], p.asnumpy())}
    assert {name for name in before if name.startswith("unet.")} <= moved
    condition = {name for name in before if name.startswith(("encoder.first", "encoder.blocks"))}
    assert condition and (not condition & moved if frozen else condition <= moved)


@pytest.mark.slow
def test_the_order_of_the_batch_does_not_matter():
    ms.set_seed(0)
    config = tiny.config("srdiff", None, *SMALLEST)
    loss = family_of(config).objectives(family_of(config).model())[0].loss
    update = Update(nn.SGD(loss.model.unet.trainable_params(), learning_rate=0.0))
    gradient = TrainStep(loss, update).whole.gradient
    turned = tuple(ms.Tensor(tensor.asnumpy()[::-1].copy()) for tensor in BATCH)
    (one, ones), (two, twos) = gradient(*BATCH), gradient(*turned)
    np.testing.assert_allclose(one[0].asnumpy(), two[0].asnumpy(), rtol=1e-5)
    for a, b in zip(ones, twos, strict=True):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
def test_thirty_steps_on_one_batch_lower_the_loss(system):
    ms.set_seed(0)
    config = tiny.config(system, None, *(SMALLEST if system == "srdiff" else SMALLEST[:1]))
    model = family_of(config).model()
    rate = RateSchedule(5e-3, "constant", total=30)
    step = TrainStep(
        family_of(config).objectives(model)[0].loss, Update(adam([(model.trainable_params(), rate)]), 10.0)
    )
    losses = [float(step([BATCH[: 2 if system == "rrdb" else 4]])[0]) for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.9 * losses[0]


class Trained:
    """Two tiny networks, one the other's average, and a step that trains them."""

    def __init__(self, passes=1, scale=None, window=3, level="O0", clip_norm=10.0, decay=0.99):
        self.net, copy = (nn.SequentialCell([nn.Conv2d(3, 3, 3, has_bias=True) for _ in range(3)]) for _ in range(2))
        for k, parameter in enumerate(self.net.get_parameters()):
            values = np.random.default_rng(k).standard_normal(parameter.shape) * 0.3
            parameter.set_data(ms.Tensor(values, ms.float32))
        for parameter in copy.get_parameters():
            parameter.name = "ema." + parameter.name
        optimizer = adam([(self.net.trainable_params(), RATE)])
        self.average = MovingAverage(optimizer.parameters, copy.get_parameters(), decay)
        self.average.start()
        compute_in_16_bits(self.net, level, "float16")
        self.scaler = ms.amp.DynamicLossScaler(scale, 2, window) if scale else None
        update = Update(optimizer, clip_norm, average=self.average, scaler=self.scaler, passes=passes)
        self.step = TrainStep(Distance(self.net), update, passes)

    def __call__(self, x):
        """Train on x (4, 3, 8, 8), cut into as many passes as the step takes; return loss, norm and taken."""
        parts = [x] if self.step.whole else np.split(x, 2)
        return [tensor.asnumpy().item() for tensor in self.step([(ms.Tensor(part),) for part in parts])]

    def state(self):
        optimizer = self.step.update.optimizer
        parameters = [*optimizer.parameters, *optimizer.moment1, *optimizer.moment2, *self.average.averages]
        return {parameter.name: parameter.asnumpy().copy() for parameter in parameters}


class Distance(nn.Cell):
    def __init__(self, net):
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(self, x):
        return ((self.net(x) - x) ** 2).mean()


X = np.random.default_rng(5).standard_normal((4, 3, 8, 8)).astype(np.float32)


def largest_difference(one, other):
    return max(np.abs(one[name].astype(np.float64) - other[name]).max() for name in one)


@pytest.mark.parametrize(
    "options", [{"passes": 2}, {"scale": 2.0**16}, {"passes": 2, "scale": 2.0**16}], ids=["passes", "scaled", "both"]
)
def test_passes_and_a_loss_scale_change_nothing(options):
    plain, other = Trained(), Trained(**options)
    for _ in range(5):
        np.testing.assert_allclose(other(X), plain(X), rtol=1e-5)
    assert largest_difference(plain.state(), other.state()) < 1e-6


@pytest.mark.parametrize("options", [{}, {"passes": 2}, {"scale": 1024.0}], ids=["plain", "passes", "scaled"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_a_step_that_is_not_finite_is_skipped(options, bad):
    run = Trained(**options)
    run(X)
    before = run.state()
    spoilt = X.copy()
    spoilt[0, 0, 0, 0] = bad
    assert run(spoilt)[2] == 0
    assert largest_difference(before, run.state()) == 0
    assert run(X)[2] == 1 and largest_difference(before, run.state()) > 0


@pytest.mark.parametrize("passes", [1, 2])
def test_a_loss_above_the_limit_is_skipped(passes):
    run = Trained(passes=passes)
    loss, *_ = run(X)
    before = run.state()
    run.step.update.skip_above(loss / 2)
    assert run(X)[2] == 0 and largest_difference(before, run.state()) == 0
    run.step.update.skip_above(np.inf)
    assert run(X)[2] == 1


def test_the_learning_rate_goes_on_over_a_skipped_step():
    run = Trained()
    run(X)
    for _ in range(2):
        run(X * np.nan)
    assert run.step.update.optimizer.global_step.asnumpy().item() == 3
    weight = run.state()["0.weight"]
    run(X)  # the fourth step: the rate has halved, and Adam moves by about the rate
    assert np.median(np.abs(run.state()["0.weight"] - weight)) == pytest.approx(RATE.at(3), rel=0.3)


def test_the_loss_scale_halves_on_overflow_and_doubles_after_a_while():
    run = Trained(scale=1024.0, window=2)
    scales = []
    for x in (X, X, X * np.nan, X, X):
        run(x)
        scales.append(run.scaler.scale_value.asnumpy().item())
    assert scales == [1024, 2048, 1024, 1024, 2048]


@pytest.mark.parametrize("level", ["O2", "O3"])
def test_sixteen_bits_overflow_until_the_scale_fits_and_then_train(level):
    run, plain = Trained(scale=2.0**24, level=level, window=1000), Trained()
    results = [run(X) for _ in range(20)]
    skipped = sum(not taken for *_, taken in results)
    assert 0 < skipped < 20 and run.scaler.scale_value.asnumpy() == 2.0 ** (24 - skipped)
    assert results[-1][2] and results[-1][0] < results[0][0]
    np.testing.assert_allclose(results[0][0], plain(X)[0], rtol=2e-3)
    assert all(parameter.dtype == ms.float32 for parameter in run.net.get_parameters())


def test_the_average_by_hand():
    run = Trained(decay=0.5)
    names = [parameter.name for parameter in run.step.update.optimizer.parameters]
    state = run.state()
    expected = {name: state[name].copy() for name in names}
    for name in names:
        np.testing.assert_array_equal(state["ema." + name], expected[name])
    for count in range(1, 12):
        run(X)
        decay = min(0.5, (1 + count) / (10 + count))
        state = run.state()
        for name in names:
            expected[name] = decay * expected[name] + (1 - decay) * state[name]
            np.testing.assert_allclose(state["ema." + name], expected[name], rtol=0, atol=1e-6)


def test_a_parameter_that_was_given_a_value_after_a_step_goes_on_from_it():
    run = Trained()
    run(X)
    before = run.state()
    parameters = {parameter.name: parameter for parameter in run.step.update.optimizer.get_parameters()}
    run(X)
    for name, parameter in parameters.items():
        if name in before:
            put(parameter, before[name])
    put(parameters["global_step"], np.array([1], np.int32))
    run(X)
    assert run.step.update.optimizer.global_step.asnumpy().item() == 2
    assert all(np.abs(run.state()[name] - before[name]).max() > 0 for name in before if name.startswith("moment"))


KINDS = (SinusoidalEmbedding, BicubicUpscale, nn.Conv2d, Mish, nn.GroupNorm)


def flags(cell):
    return getattr(cell, "fp16", False), getattr(cell, "fp32", False)


@pytest.mark.parametrize("level", ["O2", pytest.param("O3", marks=pytest.mark.slow)])
def test_what_stays_in_32_bits_in_the_real_networks(level):
    """LR↑, of which the goal is made, and the time embedding always; normalisation at O2."""
    ms.set_seed(0)
    config = tiny.config("srdiff", None, *SMALLEST, "unet.groups=4", "unet.attention=true", "unet.add_lr_up=true")
    model = family_of(config).model()
    compute_in_16_bits(model, level, "float16")
    cells = dict(model.cells_and_names())
    kinds = {kind: {flags(cell) for cell in cells.values() if isinstance(cell, kind)} for kind in KINDS}
    half, full = (True, False), (False, True)
    expected = {kind: {half} for kind in KINDS} | {SinusoidalEmbedding: {full}, BicubicUpscale: {full}}
    assert kinds == expected | ({nn.GroupNorm: {full}} if level == "O2" else {})

    plain = family_of(config).model()
    for target, source in zip(plain.get_parameters(), model.get_parameters(), strict=True):
        put(target, source.asnumpy())
    expected = family_of(config).objectives(plain)[0].loss(*BATCH)
    scaler = ms.amp.DynamicLossScaler(64.0, 2, 1000)
    rate = RateSchedule(1e-4, "constant", total=10)
    update = Update(adam([(model.unet.trainable_params(), rate)]), 10.0, scaler=scaler)
    loss, norm, taken = TrainStep(family_of(config).objectives(model)[0].loss, update)([BATCH])
    assert bool(taken) and loss.dtype == norm.dtype == ms.float32
    np.testing.assert_allclose(float(loss), float(expected), rtol=2e-3)


class Producer(nn.Cell):
    """The loss Σ w·x, which hands on x and w·x."""

    parts = ("sum", "twice")

    def __init__(self):
        super().__init__()
        self.w = ms.Parameter(np.array([1, -2, 3], np.float32), name="w")

    def construct(self, x):
        loss = (self.w * x).sum()
        return loss, ms.ops.stack((loss, 2 * loss)), x, ms.ops.stop_gradient(self.w * x)


class Consumer(nn.Cell):
    """The loss Σ v·x·made, whose gradient for v is x·made."""

    parts = ("made",)

    def __init__(self):
        super().__init__()
        self.v = ms.Parameter(np.ones(3, np.float32), name="v")

    def construct(self, x, made):
        loss = (self.v * x * made).sum()
        return loss, loss.reshape(1)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("passes", [1, 2])
def test_objectives_step_one_after_the_other_on_what_the_first_hands_on(passes, scaled):
    batches = np.array([[1, 2, 3], [-1, 0.5, 2]], np.float32)[:passes]
    losses = Producer(), Consumer()
    steps = [
        TrainStep(
            loss,
            Update(
                nn.SGD(loss.trainable_params(), learning_rate=0.1),
                scaler=ms.amp.StaticLossScaler(1024.0) if scaled else None,
                passes=passes,
            ),
            passes,
        )
        for loss in losses
    ]
    w, v = np.array([1, -2, 3], np.float32), np.ones(3, np.float32)
    loss, norm, taken, parts = JointStep(steps, steps[0])([(ms.Tensor(x),) for x in batches])
    mean = batches.mean(0)
    assert bool(taken)
    assert float(loss) == pytest.approx((w * mean).sum())
    assert float(norm) == pytest.approx(np.linalg.norm(mean))
    last = (w * batches[-1]).sum()
    names, values = zip(*((names, part.asnumpy()) for names, part in parts), strict=True)
    assert names == (("sum", "twice"), ("made",))
    np.testing.assert_allclose(values[0], [last, 2 * last], rtol=1e-6)
    np.testing.assert_allclose(values[1], [(v * batches[-1] * w * batches[-1]).sum()], rtol=1e-6)
    np.testing.assert_allclose(losses[0].w.asnumpy(), w - 0.1 * mean, rtol=1e-6)
    np.testing.assert_allclose(losses[1].v.asnumpy(), v - 0.1 * (batches * w * batches).mean(0), rtol=1e-6)


def test_a_step_that_one_objective_skips_counts_as_skipped():
    losses = Producer(), Consumer()
    steps = [TrainStep(loss, Update(nn.SGD(loss.trainable_params(), learning_rate=0.1))) for loss in losses]
    steps[1].update.skip_above(-100)  # no loss is as low
    *_, taken, _ = JointStep(steps, steps[0])([(ms.Tensor(np.ones(3, np.float32)),)])
    assert not bool(taken)
    np.testing.assert_array_equal(losses[1].v.asnumpy(), 1)
    np.testing.assert_allclose(losses[0].w.asnumpy(), [0.9, -2.1, 2.9], rtol=1e-6)
