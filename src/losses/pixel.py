"""Pixel losses, and stage 1 of SRDiff's training: the encoder alone."""

from mindspore import nn, ops

from src.errors import UserError

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
    """L1 between the network's picture and HR: SRDiff's pre-training of the encoder (arXiv 2104.14951, section 3.3).

    Args:
        model: maps LR (B, 3, h, w) to HR (B, 3, H, W), both in [−1, 1].
    """

    def __init__(self, model):
        super().__init__(auto_prefix=False)
        self.model = model
        self.pixel_loss = PixelLoss("l1")

    def construct(self, hr, lr):
        return self.pixel_loss(self.model(lr), hr)
