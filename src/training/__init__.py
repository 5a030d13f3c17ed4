"""Training: step, optimiser, checkpoints, loop."""
