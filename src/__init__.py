"""Diffusion super-resolution for MindSpore."""
