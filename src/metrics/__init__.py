"""Scores of an upscaled picture against the original, and the one evaluation loop."""
