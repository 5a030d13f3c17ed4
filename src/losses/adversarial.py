"""What a generator and a discriminator minimise against each other (arXiv 1406.2661), and total variation."""

import mindspore as ms
from mindspore import nn, ops

from ..errors import UserError
from ..layers.ranks import MeanOverRanks

KINDS = ("vanilla", "relativistic", "least_squares", "hinge", "probability")


class AdversarialLoss(nn.Cell):
    """The two losses on logits of real and of generated pictures, any shape, high for real; float32 scalars.

    "vanilla" is the cross entropy, for the generator −log D (arXiv 1406.2661, section 3), "least_squares" arXiv
    1611.04076 (eq. 9), twice, "hinge" arXiv 1705.02894 (section 3.1). "relativistic" is the average form of arXiv
    1809.00219 (eqs. 1 and 2), halved as in BasicSR. "probability" is leftthomas': means of probabilities, without
    logarithm.
    """

    def __init__(self, kind):
        super().__init__()
        if kind not in KINDS:
            raise UserError(f"loss.kind must be one of {', '.join(KINDS)}, not '{kind}'")
        self.kind = kind
        self.over_all = nn.Identity()

    def over_ranks(self, size):
        """From now on take the averages of "relativistic" over the batches of so many ranks; before the first call."""
        self.over_all = MeanOverRanks(size)

    def generator(self, real, fake):
        """What the generator minimises; only "relativistic" depends on ``real``, which gets no gradient."""
        real, fake = ops.stop_gradient(real).astype(ms.float32), fake.astype(ms.float32)
        if self.kind == "vanilla":
            return _entropy_of_real(fake)
        if self.kind == "relativistic":
            real_mean, fake_mean = self.over_all(real.mean()), self.over_all(fake.mean())
            return (_entropy_of_fake(real - fake_mean) + _entropy_of_real(fake - real_mean)) / 2
        if self.kind == "least_squares":
            return ops.square(fake - 1).mean()
        if self.kind == "hinge":
            return -fake.mean()
        return 1 - ops.sigmoid(fake).mean()

    def discriminator(self, real, fake):
        """What the discriminator minimises; "relativistic" hands no gradient on through the means, as BasicSR."""
        real, fake = real.astype(ms.float32), fake.astype(ms.float32)
        if self.kind == "vanilla":
            return _entropy_of_real(real) + _entropy_of_fake(fake)
        if self.kind == "relativistic":
            real_mean = self.over_all(ops.stop_gradient(real.mean()))
            fake_mean = self.over_all(ops.stop_gradient(fake.mean()))
            return (_entropy_of_real(real - fake_mean) + _entropy_of_fake(fake - real_mean)) / 2
        if self.kind == "least_squares":
            return ops.square(real - 1).mean() + ops.square(fake).mean()
        if self.kind == "hinge":
            return ops.relu(1 - real).mean() + ops.relu(1 + fake).mean()
        return 1 - ops.sigmoid(real).mean() + ops.sigmoid(fake).mean()


def total_variation(x):
    """Twice the mean squared difference of neighbours, down and across, of (B, C, H, W); as leftthomas/SRGAN."""
    down, across = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
    return 2 * ((down * down).mean() + (across * across).mean())


def _entropy_of_real(logits):
    return ops.softplus(-logits).mean()  # −log σ(x), exact for large logits too


def _entropy_of_fake(logits):
    return ops.softplus(logits).mean()  # −log(1 − σ(x))
