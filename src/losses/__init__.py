"""Training losses as nn.Cells."""
