"""How noisy each sample of a batch is made: Cells from what was drawn to the rates of x_t and what the network is told.

Both map t (B,) to √ᾱ and √(1 − ᾱ), (B, 1, 1, 1) float32, and to what the network is told, (B,).
"""

import mindspore as ms
import numpy as np
from mindspore import nn, ops


class StepLevels(nn.Cell):
    """A step t, int32 in [0, T), as DDPM and SRDiff draw it; the network is told t.

    Args:
        schedule: a ``Schedule``.
    """

    def __init__(self, schedule):
        super().__init__()
        self.signal_rate = ms.Tensor(schedule.signal_rate, ms.float32)
        self.noise_rate = ms.Tensor(schedule.noise_rate, ms.float32)

    def construct(self, t):
        return self.signal_rate[t].reshape(-1, 1, 1, 1), self.noise_rate[t].reshape(-1, 1, 1, 1), t


class ContinuousLevels(nn.Cell):
    """A time t, float32 in [0, T), as SR3 draws it; the network is told √ᾱ, float32.

    Between two whole times, √ᾱ is linear: a uniform t draws a step and, uniformly between √ᾱ of this step and of the
    one before it, a level (arXiv 2104.07636, section 2.4, p(γ); of √ᾱ instead of ᾱ as in WaveGrad, arXiv 2009.00713).

    Args:
        schedule: a ``Schedule``.
    """

    def __init__(self, schedule):
        super().__init__()
        # 1 − √ᾱ, since √ᾱ itself rounds away how little noise there is in the first steps
        missing = np.append(0.0, -np.expm1(np.log1p(-schedule.betas).cumsum() / 2))
        self.before, self.after = ms.Tensor(missing[:-1], ms.float32), ms.Tensor(missing[1:], ms.float32)

    def construct(self, t):
        step = ops.floor(t)
        share, step = t - step, step.astype(ms.int32)
        before = self.before[step]
        missing = before + share * (self.after[step] - before)
        signal_rate, noise_rate = 1 - missing, ops.sqrt(missing * (2 - missing))
        return signal_rate.reshape(-1, 1, 1, 1), noise_rate.reshape(-1, 1, 1, 1), signal_rate
