"""Checkpoints of the PyTorch SRDiff as read_torch returns them, made of NumPy arrays."""

import numpy as np

from src.diffusion.schedule import cosine_betas
from src.families.srdiff import convert as layout
from src.weights.schedule_tables import TABLES

ENCODER = {"features": 8, "growth": 4, "blocks": 2}
UNET = {"width": 8, "multipliers": [1, 2], "normalised": False, "attention": False, "add_lr_up": False}


def tensors_of(shapes, seed=0):
    """Return {name: float32 array} of these shapes."""
    draw = np.random.default_rng(seed)
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def encoder_tensors(scale=4, **sizes):
    """Return an encoder's tensors, names starting with ``rrdb.``."""
    return tensors_of(layout.encoder_shapes(**{**ENCODER, **sizes}, scale=scale))


def schedule_tables(betas=None):
    """Return every table that the program registers, float32 (T,)."""
    betas = cosine_betas(20) if betas is None else betas
    alpha_bar = np.cumprod(1 - betas)
    previous = np.append(1.0, alpha_bar[:-1])
    variance = betas * (1 - previous) / (1 - alpha_bar)
    tables = {
        "betas": betas,
        "alphas_cumprod": alpha_bar,
        "alphas_cumprod_prev": previous,
        "sqrt_alphas_cumprod": np.sqrt(alpha_bar),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - alpha_bar),
        "log_one_minus_alphas_cumprod": np.log(1 - alpha_bar),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / alpha_bar),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / alpha_bar - 1),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
        "posterior_mean_coef1": betas * np.sqrt(previous) / (1 - alpha_bar),
        "posterior_mean_coef2": (1 - previous) * np.sqrt(1 - betas) / (1 - alpha_bar),
    }
    assert tables.keys() == TABLES
    return {name: table.astype(np.float32) for name, table in tables.items()}


def srdiff_tensors(scale=4, betas=None, encoder=None, **options):
    """Return a whole SRDiff's state dict."""
    encoder = {**ENCODER, **(encoder or {})}
    condition_channels = encoder["features"] * ((encoder["blocks"] + 1) // 3)
    unet = layout.unet_shapes(**{**UNET, **options}, scale=scale, condition_channels=condition_channels)
    return schedule_tables(betas) | tensors_of(unet, seed=1) | encoder_tensors(scale, **encoder)
