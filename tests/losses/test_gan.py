"""A generator and a discriminator whose steps can be computed by hand."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.layers.precision import compute_in_16_bits
from src.losses.adversarial import AdversarialLoss
from src.losses.gan import DiscriminatorLoss, GeneratorLoss, PictureLoss
from src.training.step import JointStep, TrainStep, Update
from tests import tiny, tiny_srgan

RATE = 0.1


class Gain(nn.Cell):
    """A generator that multiplies its input, which is as large as its output."""

    def __init__(self):
        super().__init__()
        self.gain = ms.Parameter(ms.Tensor(0.5, ms.float32), name="gain")

    def construct(self, lr):
        return (lr + 1) * self.gain - 1


class Slope(nn.Cell):
    """A discriminator: a slope times the mean of a picture."""

    def __init__(self):
        super().__init__()
        self.slope = ms.Parameter(ms.Tensor(0.3, ms.float32), name="slope")

    def construct(self, picture):
        return picture.mean((1, 2, 3)) * self.slope


@pytest.mark.parametrize("discriminator_first", [False, True])
def test_each_step_uses_what_the_other_has_become_by_then(discriminator_first):
    generator, discriminator, hinge = Gain(), Slope(), AdversarialLoss("hinge")
    losses = PictureLoss({"adversarial": 2.0}, discriminator=discriminator, adversarial=hinge)
    of_generator = GeneratorLoss(generator, losses)
    of_discriminator = DiscriminatorLoss(discriminator, hinge, generator if discriminator_first else None)
    steps = [
        TrainStep(loss, Update(nn.SGD(network.trainable_params(), learning_rate=RATE)))
        for loss, network in ((of_generator, generator), (of_discriminator, discriminator))
    ]
    joint = JointStep(steps[::-1] if discriminator_first else steps, steps[0])
    hr, lr = (np.random.default_rng(k).uniform(-1, 1, (2, 3, 4, 4)).astype(np.float32) for k in range(2))
    joint([(ms.Tensor(hr), ms.Tensor(lr))])
    real, fake = ((hr + 1) / 2).mean(), ((lr + 1) / 2).mean()  # of unit gain
    slope = 0.3 - RATE * (0.5 * fake - real)  # hinge: relu(1 - D(real)) + relu(1 + D(fake)), both within the margin
    gain = 0.5 + RATE * 2.0 * (slope if discriminator_first else 0.3) * fake
    assert float(discriminator.slope.asnumpy()) == pytest.approx(slope, rel=1e-5)
    assert float(generator.gain.asnumpy()) == pytest.approx(gain, rel=1e-5)


@pytest.mark.parametrize("level", ["O2", pytest.param("O3", marks=pytest.mark.slow)])
def test_sixteen_bits(level, tiny_pictures):
    """All losses but VGG's in float16: what the networks return is made float32 before any sum."""
    from src.families.registry import family_of

    family = family_of(tiny_srgan.adversarial("pixels", "compact", tiny_pictures, "loss.variation=0.1"))
    model = tiny.model(family.config)
    objectives = family.objectives(model)
    compute_in_16_bits(model, level, "float16")
    compute_in_16_bits(next(each.network for each in objectives if each.part), level, "float16")
    steps = [
        TrainStep(
            each.loss, Update(nn.SGD(each.groups[0][0], learning_rate=1e-3), scaler=ms.amp.StaticLossScaler(128.0))
        )
        for each in objectives
    ]
    hr = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    lr = hr.reshape(2, 3, 8, 4, 8, 4).mean((3, 5))
    before = [parameter.asnumpy().copy() for parameter in model.trainable_params()]
    loss, norm, taken, parts = JointStep(steps, steps[-1])([(ms.Tensor(hr), ms.Tensor(lr))])
    assert bool(taken) and float(norm) > 0
    values = {name: value for names, part in parts for name, value in zip(names, part.asnumpy(), strict=True)}
    assert sum(values[name] for name in ("pixel", "adversarial", "variation")) == pytest.approx(float(loss), rel=1e-3)
    assert all((old != new.asnumpy()).any() for old, new in zip(before, model.trainable_params(), strict=True))
