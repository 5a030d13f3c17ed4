"""Learning-rate schedules and Adam."""

import math
from dataclasses import dataclass

import mindspore as ms
from mindspore import nn, ops
from mindspore.nn.learning_rate_schedule import LearningRateSchedule


@dataclass(frozen=True)
class RateSchedule:
    """A learning rate as a function of the step."""

    lr: float  # at the start
    schedule: str  # "step", "milestones", "cosine" (arXiv 1608.03983, eq. 5, without restarts), or "constant"
    total: int  # optimiser steps of the whole run, over which the cosine falls
    decay_every: int = 1  # steps, after which "step" multiplies by the factor
    decay_factor: float = 0.5
    milestones: tuple[int, ...] = ()  # steps, after each of which "milestones" multiplies by the factor
    minimum: float = 0.0  # to which the cosine falls
    warmup: int = 0  # steps of linear growth from lr / warmup to the schedule (arXiv 1706.02677, section 2.2); 0: none

    def at(self, step):
        """The rate of optimiser step ``step`` (0, 1, …) as a float; :meth:`in_graph` does the same in float32."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "step":
            return warm * self.lr * self.decay_factor ** (step // self.decay_every)
        if self.schedule == "milestones":
            return warm * self.lr * self.decay_factor ** sum(step >= milestone for milestone in self.milestones)
        if self.schedule == "cosine":
            fall = 0.5 * (1 + math.cos(math.pi * min(step, self.total) / self.total))
            return warm * (self.minimum + (self.lr - self.minimum) * fall)
        return warm * self.lr

    def in_graph(self):
        if self.schedule == "step":
            base = nn.ExponentialDecayLR(self.lr, self.decay_factor, self.decay_every, is_stair=True)
        elif self.schedule == "milestones":
            base = _Milestones(self.lr, self.decay_factor, self.milestones)
        elif self.schedule == "cosine":
            base = nn.CosineDecayLR(self.minimum, self.lr, self.total)
        else:
            base = nn.ExponentialDecayLR(self.lr, 1.0, 1)
        return _WarmedUp(base, self.warmup) if self.warmup else base


class _Milestones(LearningRateSchedule):
    def __init__(self, lr, factor, milestones):
        super().__init__()
        self.lr, self.factor = float(lr), float(factor)
        self.milestones = ms.Tensor([*milestones, 2**31 - 1], ms.int32)  # an empty tensor would not compile

    def construct(self, global_step):
        passed = (global_step >= self.milestones).astype(ms.float32).sum()
        return self.lr * ops.pow(self.factor, passed)


class _WarmedUp(LearningRateSchedule):
    def __init__(self, base, steps):
        super().__init__()
        self.base = base
        self.steps = float(steps)

    def construct(self, global_step):
        return self.base(global_step) * ops.minimum((global_step + 1) / self.steps, 1.0)


def adam(groups, beta1=0.9, beta2=0.999):
    """Adam (arXiv 1412.6980) of a list of (parameters, :class:`RateSchedule`), one for each learning rate."""
    settings = {"beta1": beta1, "beta2": beta2, "eps": 1e-8}
    if len(groups) == 1:  # the optimiser's graph is smaller without groups
        parameters, schedule = groups[0]
        return nn.Adam(list(parameters), learning_rate=schedule.in_graph(), **settings)
    listed = [{"params": list(parameters), "lr": schedule.in_graph()} for parameters, schedule in groups]
    return nn.Adam(listed, learning_rate=groups[0][1].lr, **settings)
