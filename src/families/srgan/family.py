"""SRGAN (arXiv 1609.04802), ESRGAN (1809.00219) and Real-ESRGAN (2107.10833): one pass, trained with an adversary."""

from dataclasses import dataclass, field
from typing import Literal

from src.config.schema import Config, setting


@dataclass(frozen=True)
class GeneratorConfig:
    """What makes the picture: SRGAN's SRResNet, ESRGAN's RRDBNet, BasicSR's MSRResNet, Real-ESRGAN's compact net."""

    network: Literal["srresnet", "rrdb", "msrresnet", "compact"] = "srresnet"
    features: int = setting(64, at_least=1)
    blocks: int = setting(16, at_least=1)  # residual blocks, RRDBs, or the compact network's inner convolutions
    growth: int = setting(0, at_least=0)  # rrdb: channels that each dense convolution adds; 0 takes features / 2
    upsampler: Literal["nearest", "pixelshuffle"] = "nearest"  # rrdb: as of the family rrdb
    unshuffle: Literal[1, 2, 4] = 1  # rrdb: fold so many pixels into channels first, and enlarge so much more
    biases: bool = False  # srresnet: of convolutions in front of BatchNorm too, as in ports
    trunk_end: Literal["batchnorm", "prelu"] = "batchnorm"  # srresnet: after its body's last convolution
    output: Literal["linear", "tanh", "clamp"] = "linear"  # srresnet: at its end
    checkpoint: str = ""  # stage 1: a checkpoint of the same generator that training starts from


@dataclass(frozen=True)
class DiscriminatorConfig:
    """What tells pictures from the generator's: SRGAN's for one patch size, with pooling, ESRGAN's, Real-ESRGAN's."""

    network: Literal["none", "srgan", "pooled", "esrgan", "unet"] = "none"
    features: int = setting(64, at_least=1)  # of its first convolution
    hidden: int = setting(0, at_least=0)  # of its dense layer; 0 takes the paper's: srgan, pooled 1024, esrgan 100
    lr: float = setting(0.0, at_least=0)  # 0 takes train.lr
    checkpoint: str = ""  # of such a discriminator that training starts from, as convert.py writes it


@dataclass(frozen=True)
class PerceptualConfig:
    """The loss on a classifier's features."""

    network: Literal["vgg19", "vgg16", "lpips_squeeze", "lpips_alex", "lpips_vgg"] = "vgg19"
    # of VGG: convI_J before its activation, reluI_J after, poolI after the block; with weights: conv1_2=0.1,conv5_4=1
    layers: str = "conv5_4"
    loss: Literal["l1", "l2"] = "l1"
    normalize: bool = True  # pictures by ImageNet's mean and deviation
    weights: str = ""  # the network's file; empty: where train.py --vgg-download puts it


@dataclass(frozen=True)
class LossConfig:
    """What the generator minimises: a weighted sum of losses on pictures in [0, 1]; a weight of 0 leaves one out."""

    pixel: float = setting(1.0, at_least=0)  # times train.pixel_loss
    perceptual: float = setting(0.0, at_least=0)
    adversarial: float = setting(0.0, at_least=0)
    variation: float = setting(0.0, at_least=0)  # total variation
    # relativistic: ESRGAN's average (arXiv 1809.00219, eqs. 1 and 2); probability: leftthomas'
    kind: Literal["vanilla", "relativistic", "least_squares", "hinge", "probability"] = "vanilla"
    discriminator_first: bool = False  # the discriminator's step comes before the generator's


@dataclass(frozen=True)
class SRGANSettings(Config):
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    perceptual: PerceptualConfig = field(default_factory=PerceptualConfig)
    loss: LossConfig = field(default_factory=LossConfig)
