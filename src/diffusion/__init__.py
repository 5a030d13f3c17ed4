"""Diffusion: schedule, process, target, denoiser and samplers."""
