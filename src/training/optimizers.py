"""Learning-rate schedules and Adam."""

import math

from mindspore import nn

from src.errors import UserError

SCHEDULES = ("step", "cosine", "constant")


def learning_rate_at(step, lr, schedule, total, decay_every=1, decay_factor=0.5, minimum=0.0):
    """The learning rate of optimiser step ``step`` (0, 1, …) as a float; :func:`learning_rate` does the same in graph.

    Args:
        lr: the rate at the start.
        schedule: "step" multiplies by ``decay_factor`` every ``decay_every`` steps; "cosine" falls to ``minimum``
            over ``total`` steps (arXiv 1608.03983, eq. 5, without restarts); "constant" stays.
    """
    if schedule == "step":
        return lr * decay_factor ** (step // decay_every)
    if schedule == "cosine":
        return minimum + 0.5 * (lr - minimum) * (1 + math.cos(math.pi * min(step, total) / total))
    return lr


def learning_rate(lr, schedule, total, decay_every=1, decay_factor=0.5, minimum=0.0):
    """The same schedule for a MindSpore optimiser: a float or a ``LearningRateSchedule``.

    Raises:
        UserError: the schedule is unknown.
    """
    if schedule == "step":
        return nn.ExponentialDecayLR(lr, decay_factor, decay_every, is_stair=True)
    if schedule == "cosine":
        return nn.CosineDecayLR(minimum, lr, total)
    if schedule == "constant":
        return lr
    raise UserError(f"train.lr_schedule must be one of {', '.join(SCHEDULES)}, not '{schedule}'")


def adam(parameters, rate, beta1=0.9, beta2=0.999):
    """Adam (arXiv 1412.6980) over a list of parameters; ``rate`` from :func:`learning_rate`."""
    return nn.Adam(list(parameters), learning_rate=rate, beta1=beta1, beta2=beta2, eps=1e-8)
