"""Learning rates in graph and in Python, and Adam."""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest

from src.training.optimizers import RateSchedule, adam

STEP = RateSchedule(2e-4, "step", total=12, decay_every=5, decay_factor=0.5)
COSINE = RateSchedule(5e-4, "cosine", total=12, minimum=1e-6)
CONSTANT = RateSchedule(3e-4, "constant", total=12)
MILESTONES = RateSchedule(1e-4, "milestones", total=12, milestones=(5, 6, 11))
SCHEDULES = [
    STEP, COSINE, CONSTANT, MILESTONES,
    RateSchedule(1e-4, "milestones", total=11),
    RateSchedule(1e-3, "step", total=12, decay_every=1, decay_factor=0.9),
    RateSchedule(5e-4, "cosine", total=1, minimum=0.0),
    *(replace(schedule, warmup=7) for schedule in (STEP, COSINE, CONSTANT)),
]  # fmt: skip
STEPS = (0, 1, 4, 5, 6, 9, 10, 11, 12, 20)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: f"{s.schedule} {s.total} {s.warmup}")
def test_the_shown_rate_is_the_one_in_the_graph(schedule):
    rate = schedule.in_graph()
    found = [rate(ms.Tensor([k], ms.int32)).asnumpy().item() for k in STEPS]
    # the graph computes in float32
    np.testing.assert_allclose(found, [schedule.at(step) for step in STEPS], rtol=1e-5, atol=1e-6 * schedule.lr)


def test_rates_by_hand():
    assert [STEP.at(k) for k in (0, 4, 5, 9, 10)] == [2e-4, 2e-4, 1e-4, 1e-4, 5e-5]
    assert COSINE.at(0) == 5e-4
    assert COSINE.at(6) == pytest.approx((5e-4 + 1e-6) / 2)
    assert COSINE.at(12) == COSINE.at(99) == pytest.approx(1e-6)
    assert [MILESTONES.at(k) for k in (4, 5, 6, 10, 11, 99)] == [1e-4, 5e-5, 2.5e-5, 2.5e-5, 1.25e-5, 1.25e-5]
    assert CONSTANT.at(0) == CONSTANT.at(999) == 3e-4


def test_a_warm_up_grows_linearly_to_the_schedule():
    warm = replace(STEP, warmup=4)
    assert [warm.at(k) for k in range(6)] == pytest.approx([5e-5, 1e-4, 1.5e-4, 2e-4, 2e-4, 1e-4])


@pytest.mark.parametrize("schedule", [replace(STEP, lr=1e-2, decay_every=2), CONSTANT, replace(COSINE, warmup=4)])
def test_adam_is_torchs_adam(schedule):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    start = random.standard_normal((4, 3)).astype(np.float32)
    gradients = [(random.standard_normal((4, 3)) * 10.0**-k).astype(np.float32) for k in range(6)]

    ours = ms.Parameter(ms.Tensor(start), name="w")
    optimizer = adam([([ours], schedule)], beta1=0.9, beta2=0.99)
    theirs = torch.nn.Parameter(torch.tensor(start))
    reference = torch.optim.Adam([theirs], lr=1.0, betas=(0.9, 0.99), eps=1e-8)
    for step, gradient in enumerate(gradients):
        optimizer((ms.Tensor(gradient),))
        reference.param_groups[0]["lr"] = schedule.at(step)
        theirs.grad = torch.tensor(gradient)
        reference.step()
        np.testing.assert_allclose(ours.asnumpy(), theirs.detach().numpy(), rtol=0, atol=1e-5 * schedule.lr / 3e-4)


def test_each_group_has_its_own_rate():
    first, second = (ms.Parameter(ms.Tensor(np.zeros(2, np.float32)), name=name) for name in "ab")
    optimizer = adam([([first], replace(CONSTANT, lr=1e-2)), ([second], replace(CONSTANT, lr=1e-4, warmup=2))])
    for _ in range(2):
        optimizer((ms.Tensor(np.ones(2, np.float32)),) * 2)
    # with an unchanging gradient Adam moves by the rate
    np.testing.assert_allclose(first.asnumpy(), -2e-2, rtol=1e-4)
    np.testing.assert_allclose(second.asnumpy(), -1.5e-4, rtol=1e-4)
