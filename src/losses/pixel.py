"""Pixel losses, and the training of a network that makes its picture in one pass."""

from mindspore import nn, ops

from ..errors import UserError

LOSSES = ("l1", "l2")


class PixelLoss(nn.Cell):
    """Mean absolute ("l1") or mean squared ("l2") difference of two (B, C, H, W) float32 arrays, a scalar."""

    def __init__(self, kind="l1"):
        super().__init__()
        if kind not in LOSSES:
            raise UserError(f"loss must be one of {', '.join(LOSSES)}, not '{kind}'")
        self.absolute = kind == "l1"

    def construct(self, prediction, goal):
        difference = prediction - goal
        if self.absolute:
            return ops.abs(difference).mean()
        return (difference * difference).mean()


class RegressionLoss(nn.Cell):
    """The difference between HR and the picture of a network that maps LR (B, 3, h, w) to it, both in [−1, 1].

    As SRDiff pre-trains its encoder (arXiv 2104.14951, section 3.3), and SR3 its baseline (arXiv 2104.07636, section
    4).
    """

    def __init__(self, model, loss="l1"):
        super().__init__(auto_prefix=False)
        self.model = model
        self.pixel_loss = PixelLoss(loss)

    def construct(self, hr, lr, keys=None):
        """The loss of one batch, a float32 scalar; ``keys`` (B,) int32 are those of a model with dropout, or None."""
        picture = self.model(lr) if keys is None else self.model(lr, keys)
        return self.pixel_loss(picture, hr)
