"""SRDiff as two calls: ``encode`` once per picture, ``denoise`` once per step."""

from mindspore import nn


class SRDiff(nn.Cell):
    """The encoder and the U-Net together.

    Args:
        encoder: with ``condition(lr)`` and ``bicubic(x)``, as RRDBNet has.
        unet: with ``project(features, lr_up)`` and ``construct(x_t, t, condition)``, as ConditionalUNet has.
        lr_divisor: LR↑ is the bicubic of lr_uint8 / lr_divisor. The public PyTorch checkpoints were trained with
            256, where 255 maps white to white.
    """

    def __init__(self, encoder, unet, lr_divisor=255):
        super().__init__()
        self.encoder = encoder
        self.unet = unet
        self.to_unit = 127.5 / lr_divisor

    def lr_up(self, lr):
        """LR↑: (B, 3, h, w) float32 in [−1, 1] → (B, 3, H, W)."""
        return self.encoder.bicubic((lr + 1) * self.to_unit) * 2 - 1

    def encode(self, lr):
        """Compute all that does not depend on x_t.

        Args:
            lr: (B, 3, h, w) float32 in [−1, 1].

        Returns:
            the condition for ``denoise`` and LR↑ (B, 3, H, W), float32.
        """
        lr_up = self.lr_up(lr)
        return self.unet.project(self.encoder.condition(lr), lr_up), lr_up

    def construct(self, x_t, t, condition):
        """The network's prediction (ε or v) for x_t (B, 3, H, W) float32 at steps t (B,) int32."""
        return self.unet(x_t, t, condition)


class Encode(nn.Cell):
    """``SRDiff.encode`` as the entry of a graph of its own; shares the model's parameters."""

    def __init__(self, model):
        super().__init__(auto_prefix=False)
        self.model = model

    def construct(self, lr):
        return self.model.encode(lr)


class Project(nn.Cell):
    """The condition for a given LR↑ (B, 3, H, W), used as it is instead of the network's own."""

    def __init__(self, model):
        super().__init__(auto_prefix=False)
        self.model = model

    def construct(self, lr, lr_up):
        return self.model.unet.project(self.model.encoder.condition(lr), lr_up)
