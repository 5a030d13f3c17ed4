"""What tells real pictures from the generator's; all map pictures (B, 3, H, W) in [0, 1] to logits, high for real."""

from mindspore import nn

from ..errors import UserError
from ..layers.batch_norm import BatchNorm2d
from ..layers.layers import conv1x1, conv3x3
from ..layers.phase_upscale import BilinearUpscale
from ..layers.spectral_norm import SpectralConv2d

_SLOPE = 0.2


def build_discriminator(network, features=64, hidden=0, patch_size=96):
    """The discriminator of a name in :data:`DISCRIMINATORS`, its parameters named ``discriminator.*``.

    ``features`` are the channels of its first convolution, ``hidden`` those of its dense layer, 0 for the source's.
    UserError where it cannot take patches of ``patch_size`` pixels.
    """
    if network == "unet":
        if patch_size % 8:
            raise UserError(
                f"the discriminator 'unet' takes patches of a multiple of 8 pixels, got {patch_size}: set "
                "data.patch_size to one"
            )
        model = UNetDiscriminator(features)
    elif network == "pooled":
        model = PooledDiscriminator(features, hidden or 1024)
    elif network == "esrgan":
        model = VGGStyleDiscriminator(features, hidden or 100, patch_size)
    elif network == "srgan":
        model = SRGANDiscriminator(features, hidden or 1024, patch_size)
    else:
        raise UserError(f"discriminator.network must be one of {', '.join(DISCRIMINATORS)}, not '{network}'")
    model.update_parameters_name("discriminator.")
    return model


class SRGANDiscriminator(nn.Cell):
    """SRGAN's (arXiv 1609.04802, figure 4): eight convolutions, two dense layers, of square patches; (B, 1) logits.

    Without biases in front of BatchNorm.
    """

    def __init__(self, features=64, hidden=1024, patch_size=96):
        super().__init__()
        if patch_size % 16 or patch_size < 16:
            raise UserError(
                f"the discriminator 'srgan' halves patches four times, to dense layers: got a patch of {patch_size} "
                "pixels, set data.patch_size to a multiple of 16 such as 96"
            )
        self.features = nn.SequentialCell(_srgan_convolutions(features, has_bias=False))
        self.hidden = nn.Dense(8 * features * (patch_size // 16) ** 2, hidden)
        self.activation = nn.LeakyReLU(_SLOPE)
        self.logit = nn.Dense(hidden, 1)

    def construct(self, x):
        x = self.features(x)
        return self.logit(self.activation(self.hidden(x.reshape(x.shape[0], -1))))


class PooledDiscriminator(nn.Cell):
    """SRGAN's convolutions, with biases, and a mean over their pixels: of pictures of any size; (B, 1) logits."""

    def __init__(self, features=64, hidden=1024):
        super().__init__()
        self.features = nn.SequentialCell(_srgan_convolutions(features, has_bias=True))
        self.hidden = conv1x1(8 * features, hidden)
        self.activation = nn.LeakyReLU(_SLOPE)
        self.logit = conv1x1(hidden, 1)

    def construct(self, x):
        x = self.features(x)
        b, c = x.shape[:2]
        x = x.reshape(b * c, -1).mean(-1).reshape(b, c, 1, 1)
        return self.logit(self.activation(self.hidden(x))).reshape(b, 1)


class VGGStyleDiscriminator(nn.Cell):
    """ESRGAN's (arXiv 1809.00219): halved by 4×4 convolutions to 4×4 pixels, two dense layers; (B, 1) logits.

    Five halvings for patches of 128, six for 256.
    """

    def __init__(self, features=64, hidden=100, patch_size=128):
        super().__init__()
        if patch_size not in (128, 256):
            raise UserError(
                f"the discriminator 'esrgan' takes patches of 128 or 256 pixels, got {patch_size}: set "
                "data.patch_size to one of them, or take another discriminator"
            )
        widths = [features * factor for factor in (1, 2, 4, 8, 8, 8)[: 5 if patch_size == 128 else 6]]
        layers = [(width, *how) for width in widths for how in ((3, 1), (4, 2))]
        self.features = nn.SequentialCell(_convolutions(layers, has_bias=False))
        self.hidden = nn.Dense(widths[-1] * 4 * 4, hidden)
        self.activation = nn.LeakyReLU(_SLOPE)
        self.logit = nn.Dense(hidden, 1)

    def construct(self, x):
        x = self.features(x)
        return self.logit(self.activation(self.hidden(x.reshape(x.shape[0], -1))))


class UNetDiscriminator(nn.Cell):
    """Real-ESRGAN's (arXiv 2107.10833, figure 6): a U-Net with spectral normalisation, a logit for every pixel.

    Input (B, 3, H, W) with H, W multiples of 8; output (B, 1, H, W).
    """

    def __init__(self, features=64):
        super().__init__()
        n = features
        self.first_conv = conv3x3(3, n)
        self.down = nn.CellList([SpectralConv2d(n * k, n * 2 * k, 4, stride=2) for k in (1, 2, 4)])
        self.up = nn.CellList([SpectralConv2d(n * 2 * k, n * k, 3) for k in (4, 2, 1)])
        self.end = nn.CellList([SpectralConv2d(n, n, 3) for _ in range(2)])
        self.last_conv = conv3x3(n, 1)
        self.enlarge = BilinearUpscale(2)
        self.activation = nn.LeakyReLU(_SLOPE)

    def construct(self, x):
        x = self.activation(self.first_conv(x))
        skips = ()
        for conv in self.down:
            skips += (x,)
            x = self.activation(conv(x))
        for level, conv in enumerate(self.up):
            x = self.activation(conv(self.enlarge(x))) + skips[2 - level]
        for conv in self.end:
            x = self.activation(conv(x))
        return self.last_conv(x)


DISCRIMINATORS = ("srgan", "pooled", "esrgan", "unet")


def _srgan_convolutions(features, has_bias):
    """Those of SRGAN's figure 4, each pair with twice the channels and, from its second, half the size."""
    widths = [features * factor for factor in (1, 2, 4, 8)]
    return _convolutions([(width, 3, stride) for width in widths for stride in (1, 2)], has_bias)


def _convolutions(layers, has_bias):
    """Of (channels, kernel, stride): convolution, BatchNorm but for the first, LeakyReLU; biases of all or the first.

    Index 0, 2, 5, 8, … of the list are the convolutions, 3, 6, 9, … the normalisations, as in the sources.
    """
    cells, before = [], 3
    for width, kernel, stride in layers:
        is_first = not cells
        cells.append(nn.Conv2d(before, width, kernel, stride, pad_mode="pad", padding=1, has_bias=has_bias or is_first))
        cells += [] if is_first else [BatchNorm2d(width)]
        cells.append(nn.LeakyReLU(_SLOPE))
        before = width
    return cells
