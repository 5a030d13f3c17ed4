"""A model as two calls: ``encode`` once per picture, ``denoise`` once per step."""

from mindspore import nn, ops


class SRDiff(nn.Cell):
    """The encoder and the U-Net together.

    Args:
        encoder: with ``condition(lr)``, ``condition_and_picture(lr)`` and ``bicubic(x)``, as RRDBNet has.
        unet: with ``project(features, lr_up)`` and ``construct(x_t, t, condition)``, as ConditionalUNet has.
        lr_divisor: LR↑ is the bicubic of lr_uint8 / lr_divisor. The public PyTorch checkpoints were trained with
            256, where 255 maps white to white.
        residual_of: what the residual is added to, the base picture: "bicubic" (LR↑) or "encoder" (its own picture).
    """

    def __init__(self, encoder, unet, lr_divisor=255, residual_of="bicubic"):
        super().__init__()
        self.encoder = encoder
        self.unet = unet
        self.to_unit = 127.5 / lr_divisor
        self.of_encoder = residual_of == "encoder"

    def given(self, lr):
        """From (B, 3, h, w) float32 in [−1, 1], the encoder's features and the base picture (B, 3, H, W)."""
        if self.of_encoder:
            return self.encoder.condition_and_picture(lr)
        return self.encoder.condition(lr), self.encoder.bicubic((lr + 1) * self.to_unit) * 2 - 1

    def project(self, features, base):
        """The condition, see ``ConditionalUNet.project``."""
        return self.unet.project(features, base)

    def encode(self, lr):
        """Compute all that does not depend on x_t.

        Args:
            lr: (B, 3, h, w) float32 in [−1, 1].

        Returns:
            the condition for ``denoise`` and the base picture (B, 3, H, W), float32.
        """
        features, base = self.given(lr)
        return self.unet.project(features, base), base

    def construct(self, x_t, t, condition):
        """The network's prediction (ε or v) for x_t (B, 3, H, W) float32 at steps t (B,) int32."""
        return self.unet(x_t, t, condition)


class SR3(nn.Cell):
    """SR3 or DDPM: the condition is the enlarged picture, or there is none.

    Args:
        unet: with ``construct(x_t, t, lr_up)``, as SR3UNet has.
        enlarge: Cell that enlarges (B, 3, h, w) to (B, 3, H, W); None for an unconditional network.
    """

    def __init__(self, unet, enlarge=None):
        super().__init__()
        self.unet = unet
        self.enlarge = enlarge

    def given(self, lr, lr_up=None):
        """From (B, 3, h, w) float32 in [−1, 1], LR↑ (B, 3, H, W) in the same range, twice; or the one that is given.

        An unconditional model has no use for what it is given, and gives it back.
        """
        if lr_up is not None:
            return lr_up, lr_up
        if self.enlarge is None:
            return lr, lr
        lr_up = clipped(self.enlarge(lr))
        return lr_up, lr_up

    def project(self, features, base):
        """The condition, which is the base picture; as ``SRDiff.project``."""
        return base

    def encode(self, lr):
        """As ``SRDiff.encode``: the condition for ``denoise`` and the base picture, both LR↑ (B, 3, H, W)."""
        return self.given(lr)

    def construct(self, x_t, t, condition=None, keys=None):
        """The network's prediction (ε or v) for x_t (B, 3, H, W) float32 at noise levels t (B,), see SR3UNet.

        In training with dropout, ``keys`` (B,) int32 are those of its masks.
        """
        return self.unet(x_t, t, condition, keys)


class SR3Regression(nn.Cell):
    """The regression baseline of SR3 (arXiv 2104.07636, section 4): its U-Net makes the picture from LR↑ in one pass.

    Args:
        unet: with ``construct(lr_up, keys=)``, as SR3UNet has that is told no noise level.
        enlarge: Cell that enlarges (B, 3, h, w) to (B, 3, H, W).
    """

    def __init__(self, unet, enlarge):
        super().__init__()
        self.unet = unet
        self.enlarge = enlarge

    def construct(self, lr, keys=None):
        """From (B, 3, h, w) float32 in [−1, 1] the picture (B, 3, H, W) in about that range; ``keys`` as in SR3."""
        return self.unet(clipped(self.enlarge(lr)), None, None, keys)


def clipped(lr_up):
    """LR↑ within [−1, 1], as in the picture files that others prepare."""
    return ops.clamp(lr_up, -1.0, 1.0)


class Encode(nn.Cell):
    """``SRDiff.encode`` as the entry of a graph of its own; shares the model's parameters."""

    def __init__(self, model):
        super().__init__(auto_prefix=False)
        self.model = model

    def construct(self, lr):
        return self.model.encode(lr)


class Denoise(nn.Cell):
    """A model's step as the entry of a graph of its own, whose inputs keep these names when it is exported."""

    def __init__(self, model):
        super().__init__(auto_prefix=False)
        self.model = model

    def construct(self, x_t, t, condition):
        return self.model(x_t, t, condition)


class DenoiseFromNothing(nn.Cell):
    """:class:`Denoise` of a model that takes no condition."""

    def __init__(self, model):
        super().__init__(auto_prefix=False)
        self.model = model

    def construct(self, x_t, t):
        return self.model(x_t, t)


class Project(nn.Cell):
    """The condition for a given base picture (B, 3, H, W), used as it is instead of the network's own."""

    def __init__(self, model):
        super().__init__(auto_prefix=False)
        self.model = model

    def construct(self, lr, base):
        return self.model.unet.project(self.model.encoder.condition(lr), base)
