"""Learning rates in graph and in Python, and Adam."""

import mindspore as ms
import numpy as np
import pytest

from src.errors import UserError
from src.training.optimizers import adam, learning_rate, learning_rate_at

SCHEDULES = [
    {"lr": 2e-4, "schedule": "step", "total": 12, "decay_every": 5, "decay_factor": 0.5},
    {"lr": 1e-3, "schedule": "step", "total": 12, "decay_every": 1, "decay_factor": 0.9},
    {"lr": 5e-4, "schedule": "cosine", "total": 12, "minimum": 1e-6},
    {"lr": 5e-4, "schedule": "cosine", "total": 1, "minimum": 0.0},
    {"lr": 3e-4, "schedule": "constant", "total": 12},
]
STEPS = (0, 1, 4, 5, 6, 9, 10, 11, 12, 20)


@pytest.mark.parametrize("settings", SCHEDULES, ids=lambda s: f"{s['schedule']} {s['total']}")
def test_the_shown_rate_is_the_one_in_the_graph(settings):
    rate = learning_rate(**settings)
    found = [rate if settings["schedule"] == "constant" else rate(ms.Tensor(k, ms.int32)).asnumpy() for k in STEPS]
    expected = [learning_rate_at(step, **settings) for step in STEPS]
    # the graph computes in float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * settings["lr"])


def test_rates_by_hand():
    step, _, cosine, *_ = SCHEDULES
    assert [learning_rate_at(k, **step) for k in (0, 4, 5, 9, 10)] == [2e-4, 2e-4, 1e-4, 1e-4, 5e-5]
    assert learning_rate_at(0, **cosine) == 5e-4
    assert learning_rate_at(6, **cosine) == pytest.approx((5e-4 + 1e-6) / 2)
    assert learning_rate_at(12, **cosine) == learning_rate_at(99, **cosine) == pytest.approx(1e-6)


def test_an_unknown_schedule():
    with pytest.raises(UserError, match="train.lr_schedule must be one of step, cosine, constant, not 'poly'"):
        learning_rate(1e-3, "poly", 10)


@pytest.mark.parametrize(
    "settings", [SCHEDULES[0] | {"lr": 1e-2, "decay_every": 2}, SCHEDULES[4]], ids=["step", "constant"]
)
def test_adam_is_torchs_adam(settings):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    start = random.standard_normal((4, 3)).astype(np.float32)
    gradients = [(random.standard_normal((4, 3)) * 10.0**-k).astype(np.float32) for k in range(6)]

    ours = ms.Parameter(ms.Tensor(start), name="w")
    optimizer = adam([ours], learning_rate(**settings), beta1=0.9, beta2=0.99)
    theirs = torch.nn.Parameter(torch.tensor(start))
    reference = torch.optim.Adam([theirs], lr=1.0, betas=(0.9, 0.99), eps=1e-8)
    for step, gradient in enumerate(gradients):
        optimizer((ms.Tensor(gradient),))
        reference.param_groups[0]["lr"] = learning_rate_at(step, **settings)
        theirs.grad = torch.tensor(gradient)
        reference.step()
        np.testing.assert_allclose(ours.asnumpy(), theirs.detach().numpy(), rtol=0, atol=1e-5 * settings["lr"] / 3e-4)
