"""Every setting, with its default and its meaning. Something in the package reads each of them."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class DataConfig:
    """Where the pictures are and how training patches are cut from them."""

    train: str = "data/df2k/train"  # written by div2k_preprocess.py (X1/, X4/; hr_128/, lr_16/), or any pictures
    val: str = "data/df2k/val"  # the pictures that validation during training looks at
    test: str = ""  # the pictures that eval.py scores unless told otherwise; empty: those of val
    val_pictures: int = 10  # validate on the first so many by name; 0 takes all
    scale: int = 4  # 2, 4 or 8; 1 where no LR picture is looked at (sr3.conditional=false)
    patch_size: int = 160  # HR pixels, the side of a training patch
    flip: bool = True  # random left-right mirroring
    rotate: bool = True  # random quarter turns
    workers: int = 2  # parallel workers that decode and crop
    prefetch: int = 4  # batches kept ready
    sink: bool = False  # Ascend and GPU: feed the device through a queue of its own (not with train.accumulate)
    cache_mb: int = 2048  # decoded pictures are kept in memory if all of them fit in so many MiB


@dataclass(frozen=True)
class EncoderConfig:
    """RRDBNet (ESRGAN's generator, arXiv 1809.00219), SRDiff's LR encoder."""

    features: int = 64
    blocks: int = 17
    growth: int = 0  # channels that each dense convolution adds; 0 takes features / 2
    upsampler: str = "nearest"  # "nearest": ESRGAN's; "pixelshuffle": LR↑ plus a correction made at LR resolution
    checkpoint: str = ""  # stage 2: the pre-trained encoder; empty starts it from random weights
    frozen: bool = True  # stage 2: False trains the encoder along


@dataclass(frozen=True)
class UNetConfig:
    """SRDiff's conditional U-Net (arXiv 2104.14951, section 3.3)."""

    width: int = 64  # channels of the first level
    multipliers: tuple[int, ...] = (1, 2, 3, 4)  # channels of each level, times width
    groups: int = 0  # GroupNorm groups; 0: no normalisation
    attention: bool = False  # linear attention in the middle
    add_lr_up: bool = False  # add a convolution of LR↑ (or of the encoder's picture) after the first level
    space_to_depth: int = 1  # work on r×r pixels folded into channels: 1 (the paper), 2 or 4
    condition_every: int = 3  # the features of every so many of the encoder's blocks: 3 (the paper), 1: of all


@dataclass(frozen=True)
class SR3Config:
    """SR3's U-Net (arXiv 2104.07636), and DDPM's."""

    width: int = 64  # channels of the first level
    multipliers: tuple[int, ...] = (1, 2, 4, 8, 8)  # channels of each level, times width
    blocks: int = 2  # residual blocks of each level on the way down; one more on the way up
    attention: tuple[int, ...] = (16,)  # self-attention in the levels of these resolutions, counted from image_size
    image_size: int = 128  # HR pixels that the resolutions are counted from; pictures may have other sizes
    space_to_depth: int = 1  # work on r×r pixels folded into channels: 1 (the papers), 2 or 4
    groups: int = 32  # GroupNorm groups
    dropout: float = 0.2  # share of values dropped while training
    # what the network is told: "continuous": √ᾱ (SR3); "discrete": the step (DDPM); "none": nothing, it makes the
    # picture from LR↑ in one pass, without diffusion (SR3's regression baseline)
    noise_level: str = "continuous"
    affine: bool = False  # the noise level scales and shifts the channels; false: it shifts them
    conditional: bool = True  # LR↑ beside x_t; false: pictures from nothing


@dataclass(frozen=True)
class DiffusionConfig:
    """The Gaussian diffusion: of the residual, residual_scale·(HR − what it is the residual of), or of HR (sr3)."""

    steps: int = 100
    schedule: str = "cosine"  # "cosine" or "linear"
    cosine_offset: float = 0.008  # s of the cosine schedule
    beta_start: float = 1e-4  # linear schedule
    beta_end: float = 0.02  # linear schedule; of the residual, the last β is 0.999
    residual_of: str = "bicubic"  # "bicubic": HR − LR↑ (the paper); "encoder": HR − the encoder's own picture
    residual_scale: float = 2.0
    clip: bool = True  # clip x_0 to [−1, 1], in training and in sampling
    lr_divisor: int = 255  # LR↑ = bicubic(lr / divisor); 256 in the public PyTorch checkpoints
    prediction: str = "noise"  # what the network predicts: "noise" (ε) or "velocity" (v, arXiv 2202.00512)
    loss: str = "l1"  # "l1" or "l2"
    loss_weight: str = "uniform"  # over t: "uniform", "min_snr" (arXiv 2303.09556) or "x0" (see losses/diffusion.py)


@dataclass(frozen=True)
class TrainConfig:
    """The optimisation."""

    init: str = ""  # a checkpoint whose network, of the same sizes, the weights start from
    batch_size: int = 64  # per device and pass
    accumulate: int = 1  # passes whose gradients one optimiser step averages
    draws: int = 1  # of t and noise for each patch of a batch, which share the encoder's pass
    steps: int = 400_000  # optimiser steps; 0 computes them from epochs
    epochs: int = 0  # passes over the training pictures, used where steps is 0
    lr: float = 2e-4
    encoder_lr: float = 0.0  # of an encoder that trains along; 0 takes lr
    lr_schedule: str = "step"  # "step", "cosine" or "constant"
    lr_decay_every: int = 200_000  # step schedule: halve (see lr_decay_factor) every so many steps
    lr_decay_factor: float = 0.5
    lr_min: float = 0.0  # cosine schedule: the rate at the end
    warmup_steps: int = 0  # the rate grows linearly over so many steps
    beta1: float = 0.9  # Adam
    beta2: float = 0.999
    pixel_loss: str = "l1"  # of a network that makes its picture in one pass: "l1" or "l2"
    clip_norm: float = 10.0  # clip the gradient's global norm; 0 does not clip
    ema_decay: float = 0.9999  # of the moving average of the weights, which validation and export use; 0: no average
    amp_level: str = "O0"  # "O0": float32; "O2", "O3": MindSpore's mixed precision, on Ascend and GPU
    amp_dtype: str = "float16"  # "float16" or, where the device has it, "bfloat16"
    loss_scale: float = 65536.0  # float16: the first loss scale
    loss_scale_window: int = 2000  # double it after so many steps without overflow; 0 keeps it as it is
    max_loss_ratio: float = 30.0  # a step whose loss is so many times the recent ones' median is skipped; 0: none is
    max_skipped: int = 25  # after so many skipped steps in a row, go back to the last checkpoint
    log_every: int = 100
    log_pictures: int = 4  # validation pictures shown as LR | SR | HR, or pictures that are drawn from nothing
    tensorboard: bool = True
    wandb: str = "off"  # Weights & Biases: "off", "offline" or "online"
    wandb_project: str = "mindspore-sr"
    val_every: int = 5000  # 0: only at the end
    val_lpips: str = "none"  # LPIPS in validation: "none", "squeeze", "alex" or "vgg"
    # best.ckpt is the best of the validations by "psnr", "ssim", "lr_psnr" or "lpips"; where sr3.conditional is false,
    # by "loss", that of denoising the validation pictures
    best_metric: str = "psnr"
    save_every: int = 5000
    keep: int = 3  # checkpoints kept


@dataclass(frozen=True)
class EvalConfig:
    """How pictures are sampled and scored when the command line names nothing else."""

    protocol: str = "srdiff"  # "srdiff", "classic", "y" or "sr3"
    sampler: str = "ddpm"  # "ddpm", "ddim", "dpmpp_2m", "dpmpp_2m_sde" or "sr3"
    steps: int = 100
    spacing: str = "uniform"  # of the steps in time: "uniform", "trailing", "quadratic", "logsnr" or "linear_beta"; or
    # β of their own (docs/sampling.md): "linear_beta:FIRST,LAST", with quadratic_ or geometric_ too, "betas:B1,B2,…"
    eta: float = 0.0  # of ddim: 0 is deterministic, 1 has DDPM's noise
    temperature: float = 1.0  # scales all noise; 1 is the full sample, towards 0 comes the most faithful picture
    consistency: bool = False  # project onto the pictures whose reduction is the LR picture, at each step


@dataclass(frozen=True)
class Config:
    """One experiment."""

    name: str = "srdiff_df2k_x4"
    system: str = "srdiff"  # "rrdb" (stage 1, L1), "srdiff" (stage 2, diffusion) or "sr3" (SR3 and DDPM)
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    sr3: SR3Config = field(default_factory=SR3Config)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)

    @property
    def is_regression(self):
        """Whether one pass of the network is the result, and nothing is diffused or sampled."""
        return self.system == "rrdb" or (self.system == "sr3" and self.sr3.noise_level == "none")

    @property
    def is_from_nothing(self):
        """Whether pictures are made without looking at any."""
        return self.system == "sr3" and not self.sr3.conditional

    @property
    def is_continuous(self):
        """Whether the network is told √ᾱ, so that it knows every level of noise; training draws real times."""
        return self.system == "sr3" and self.sr3.noise_level == "continuous"
