"""What of the models stays in float32 when the rest computes in 16 bits, in training and in exports."""


def compute_in_16_bits(model, level, dtype):
    """Make a model compute in 16 bits, but for what these would spoil; its parameters stay float32.

    LR↑ is to be exact, and so is √ᾱ: rounded, that of SR3's first dozen steps would be one and the same number.

    Args:
        model: the network of any configuration, changed.
        level, dtype: see :func:`src.training.precision.mixed_precision`.
    """
    from src.diffusion.denoiser import SR3, SR3Regression
    from src.models.bicubic import BicubicUpscale
    from src.models.layers import SinusoidalEmbedding
    from src.models.sr3_unet import SR3UNet
    from src.training.precision import mixed_precision

    mixed_precision(
        [model], level, dtype, in_float32=(SinusoidalEmbedding, BicubicUpscale),
        exact_inputs=(SR3, SR3Regression, SR3UNet),
    )  # fmt: skip
