"""One optimiser step: gradients, clipping, what is trained and what is not."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.build import build_loss, build_model
from src.training.optimizers import adam
from src.training.step import TrainStep
from tests import tiny

RANDOM = np.random.default_rng(3)
HR, NOISE = (RANDOM.uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32) for _ in range(2))
LR = HR.reshape(2, 3, 8, 4, 8, 4).mean((3, 5))
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
    step = TrainStep(loss, nn.SGD([loss.a, loss.b], learning_rate=1.0), clip_norm)
    value, norm = step(ms.Tensor(x), ms.Tensor(y))
    expected = np.sqrt((x**2).sum() + (y**2).sum())
    factor = min(1, clip_norm / expected) if clip_norm else 1
    assert (float(value), norm.dtype, norm.shape) == (0, ms.float32, ())
    np.testing.assert_allclose(float(norm), expected, rtol=1e-6)
    np.testing.assert_allclose(loss.a.asnumpy(), -factor * x, rtol=1e-6)
    np.testing.assert_allclose(loss.b.asnumpy(), -factor * y, rtol=1e-6)


def test_a_gradient_of_zero_is_left_alone():
    loss = Linear()
    step = TrainStep(loss, nn.SGD([loss.a, loss.b], learning_rate=1.0), 1.0)
    _, norm = step(ms.Tensor(np.zeros(3, np.float32)), ms.Tensor(np.zeros((2, 2), np.float32)))
    assert float(norm) == 0 and np.isfinite(loss.a.asnumpy()).all()


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_stays_and_a_free_one_moves(frozen):
    ms.set_seed(0)
    config = tiny.config("srdiff", None, f"encoder.frozen={frozen}".lower(), "encoder.upsampler=nearest")
    model = build_model(config)
    trained = model.unet.trainable_params() if frozen else model.trainable_params()
    step = TrainStep(build_loss(config, model), adam(trained, 1e-3))
    before = {p.name: p.asnumpy().copy() for p in model.get_parameters()}
    step(*BATCH)
    moved = {p.name for p in model.get_parameters() if not np.array_equal(before[p.name], p.asnumpy())}
    assert {name for name in before if name.startswith("unet.")} <= moved
    condition = {name for name in before if name.startswith(("encoder.first", "encoder.blocks"))}
    assert condition and (not condition & moved if frozen else condition <= moved)


def test_the_order_of_the_batch_does_not_matter():
    ms.set_seed(0)
    config = tiny.config("srdiff")
    loss = build_loss(config, build_model(config))
    gradient = TrainStep(loss, nn.SGD(loss.model.unet.trainable_params(), learning_rate=0.0)).gradient
    turned = tuple(ms.Tensor(tensor.asnumpy()[::-1].copy()) for tensor in BATCH)
    (one, ones), (two, twos) = gradient(*BATCH), gradient(*turned)
    np.testing.assert_allclose(one.asnumpy(), two.asnumpy(), rtol=1e-5)
    for a, b in zip(ones, twos, strict=True):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("system", ["rrdb", "srdiff"])
def test_thirty_steps_on_one_batch_lower_the_loss(system):
    ms.set_seed(0)
    config = tiny.config(system, None, "encoder.upsampler=nearest")
    model = build_model(config)
    step = TrainStep(build_loss(config, model), adam(model.trainable_params(), 5e-3), 10.0)
    losses = [float(step(*BATCH[: 2 if system == "rrdb" else 4])[0]) for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.9 * losses[0]
