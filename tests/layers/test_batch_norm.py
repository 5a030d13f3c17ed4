"""Batch normalisation against its formula and PyTorch's; its moving statistics."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.layers.batch_norm import BatchNorm2d
from src.layers.precision import compute_in_16_bits

RANDOM = np.random.default_rng(0)
X = (RANDOM.standard_normal((3, 4, 5, 6)) * 2 + 30).astype(np.float32)  # far from 0: E[x²] − E[x]² would be noise
WEIGHT = RANDOM.standard_normal(X.shape).astype(np.float32)
GAMMA, BETA = RANDOM.standard_normal((2, 4)).astype(np.float32)


class Weighted(nn.Cell):
    def __init__(self, norm):
        super().__init__(auto_prefix=False)
        self.norm = norm

    def construct(self, x, weight):
        return (self.norm(x) * weight).sum()


class Differentiated(nn.Cell):
    def __init__(self, norm):
        super().__init__(auto_prefix=False)
        self.gradient = ms.value_and_grad(Weighted(norm), 0, [norm.gamma, norm.beta])

    def construct(self, x, weight):
        return self.gradient(x, weight)


class Twice(nn.Cell):
    """Of two batches, one after the other, in one graph."""

    def __init__(self, norm):
        super().__init__(auto_prefix=False)
        self.norm = norm

    def construct(self, x, y):
        return self.norm(x), self.norm(y)


def norm_of(train=True):
    norm = BatchNorm2d(4)
    norm.gamma.set_data(ms.Tensor(GAMMA))
    norm.beta.set_data(ms.Tensor(BETA))
    return norm.set_train(train)


def test_forward_and_moving_statistics():
    norm = norm_of()
    out = norm(ms.Tensor(X)).asnumpy()
    x = X.astype(np.float64)
    mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * GAMMA.reshape(1, 4, 1, 1) + BETA.reshape(1, 4, 1, 1)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_allclose(norm.moving_mean.asnumpy(), 0.1 * mean.ravel(), rtol=1e-6)
    unbiased = x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(norm.moving_variance.asnumpy(), 0.9 + 0.1 * unbiased, rtol=1e-6)


def test_the_gradient_is_that_of_torch():
    torch = pytest.importorskip("torch")
    theirs, x = torch.nn.BatchNorm2d(4).double(), torch.tensor(X, dtype=torch.float64, requires_grad=True)
    theirs.weight.data, theirs.bias.data = torch.tensor(GAMMA).double(), torch.tensor(BETA).double()
    (theirs(x) * torch.tensor(WEIGHT)).sum().backward()
    norm = norm_of()
    dx, (d_gamma, d_beta) = Differentiated(norm).set_train()(ms.Tensor(X), ms.Tensor(WEIGHT))[1]
    for ours, expected in ((dx, x.grad), (d_gamma, theirs.weight.grad), (d_beta, theirs.bias.grad)):
        np.testing.assert_allclose(ours.asnumpy(), expected.numpy(), atol=2e-5)
    np.testing.assert_allclose(norm.moving_variance.asnumpy(), theirs.running_var.numpy(), rtol=1e-6)


def test_otherwise_the_moving_statistics_normalise_and_stay():
    norm = norm_of(train=False)
    norm.moving_mean.set_data(ms.Tensor([28.0, 29, 30, 31], ms.float32))
    norm.moving_variance.set_data(ms.Tensor([1.0, 2, 3, 4], ms.float32))
    out = norm(ms.Tensor(X)).asnumpy()
    mean, variance = np.array([28, 29, 30, 31]).reshape(1, 4, 1, 1), np.array([1, 2, 3, 4]).reshape(1, 4, 1, 1)
    expected = (X - mean) / np.sqrt(variance + 1e-5) * GAMMA.reshape(1, 4, 1, 1) + BETA.reshape(1, 4, 1, 1)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_array_equal(norm.moving_variance.asnumpy(), [1, 2, 3, 4])


def test_two_batches_in_one_graph_both_count():
    norm, apart = norm_of(), norm_of()
    Twice(norm).set_train()(ms.Tensor(X), ms.Tensor(X * 2))
    apart(ms.Tensor(X))
    apart(ms.Tensor(X * 2))
    np.testing.assert_allclose(norm.moving_mean.asnumpy(), apart.moving_mean.asnumpy(), rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance.asnumpy(), apart.moving_variance.asnumpy(), rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_statistics_that_are_not_finite_are_not_kept(value):
    norm, bad = norm_of(), X.copy()
    bad[0, 1, 0, 0] = value
    norm(ms.Tensor(bad))
    for moving, before in ((norm.moving_mean, 0), (norm.moving_variance, 1)):
        assert np.isfinite(moving.asnumpy()).all()
        assert moving.asnumpy()[1] == before and moving.asnumpy()[0] != before


def test_one_number_to_a_channel_is_normalised_to_beta():
    norm = norm_of()
    np.testing.assert_allclose(norm(ms.Tensor(X[:1, :, :1, :1])).asnumpy().ravel(), BETA)
    np.testing.assert_allclose(norm.moving_variance.asnumpy(), 0.9)


def test_it_stays_in_float32():
    net = nn.SequentialCell(BatchNorm2d(4), nn.Conv2d(4, 4, 1))
    compute_in_16_bits(net, "O3", "float16")
    assert net[0].fp32 and not net[0].fp16 and net[1].fp16
