"""The degradation that settings describe."""

from ..imaging.degradation import Degradation, Pass


def degradation_of(degradation):
    """Return the ``Degradation`` of a ``src.config.schema.DegradationConfig``, None where its kind is none."""
    if degradation.kind == "none":
        return None
    first = Pass(
        1.0, degradation.blur_sigma, degradation.resize_prob, degradation.resize_range, degradation.noise_range,
        degradation.poisson_scale_range, degradation.jpeg_range,
    )  # fmt: skip
    second = Pass(
        degradation.second_blur_prob, degradation.blur_sigma2, degradation.resize_prob2, degradation.resize_range2,
        degradation.noise_range2, degradation.poisson_scale_range2, degradation.jpeg_range2,
    )  # fmt: skip
    return Degradation(
        first, second, kernel_size=degradation.kernel_size, kernel_prob=degradation.kernel_prob,
        sinc_prob=degradation.sinc_prob, betag_range=degradation.betag_range, betap_range=degradation.betap_range,
        gaussian_noise_prob=degradation.gaussian_noise_prob, gray_noise_prob=degradation.gray_noise_prob,
        final_sinc_prob=degradation.final_sinc_prob, gt_usm=degradation.gt_usm,
    )  # fmt: skip
