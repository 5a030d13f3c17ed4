"""Adversarial losses and their gradients, as recorded from BasicSR and leftthomas/SRGAN."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.errors import UserError
from src.losses.adversarial import KINDS, AdversarialLoss, total_variation

RECORDED = {"vanilla": "vanilla", "relativistic": "vanilla_ra", "least_squares": "lsgan", "hinge": "hinge",
            "probability": "leftthomas"}  # fmt: skip


class Of(nn.Cell):
    def __init__(self, kind, part):
        super().__init__()
        self.loss, self.is_generators = AdversarialLoss(kind), part == "g"

    def construct(self, real, fake):
        return self.loss.generator(real, fake) if self.is_generators else self.loss.discriminator(real, fake)


class Differentiated(nn.Cell):
    def __init__(self, loss):
        super().__init__()
        self.gradient = ms.value_and_grad(loss, (0, 1))

    def construct(self, real, fake):
        return self.gradient(real, fake)


def differentiated(kind, part, real, fake):
    loss, gradients = Differentiated(Of(kind, part))(ms.Tensor(real), ms.Tensor(fake))
    return loss.asnumpy(), *(gradient.asnumpy() for gradient in gradients)


@pytest.mark.parametrize("part", ["g", "d"])
@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients(shared, kind, part):
    golden = np.load(shared / "golden/srgan/gan_losses/golden.npz")
    for shape in ("vector", "map"):
        prefix = f"{shape}/{RECORDED[kind]}_{part}/"
        found = differentiated(kind, part, golden[f"{shape}/real"], golden[f"{shape}/fake"])
        for name, value in zip(("loss", "grad_real", "grad_fake"), found, strict=True):
            np.testing.assert_allclose(value, golden[prefix + name], atol=1e-6, err_msg=prefix + name)


@pytest.mark.parametrize("kind", ["vanilla", "relativistic"])
def test_large_logits_stay_finite(kind):
    real, fake = np.full((2, 1), -300, np.float32), np.full((2, 1), 300, np.float32)
    loss, d_real, d_fake = differentiated(kind, "d", real, fake)
    factor = {"vanilla": 1, "relativistic": 0.5}[kind]
    assert loss == pytest.approx(600 * factor * (1 if kind == "vanilla" else 2))
    np.testing.assert_allclose([*d_real.ravel(), *d_fake.ravel()], np.array([-1, -1, 1, 1]) * factor / 2)


def test_other_kinds_are_refused():
    with pytest.raises(UserError, match="loss.kind must be one of vanilla, relativistic, .* not 'wgan'"):
        AdversarialLoss("wgan")


def test_total_variation():
    x = np.random.default_rng(0).random((2, 3, 5, 4), np.float32)
    down, across = np.diff(x, axis=2) ** 2, np.diff(x, axis=3) ** 2
    expected = 2 * (down.sum() / (3 * 4 * 4) + across.sum() / (3 * 5 * 3)) / 2
    np.testing.assert_allclose(total_variation(ms.Tensor(x)).asnumpy(), expected, rtol=1e-6)
