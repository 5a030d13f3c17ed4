"""Networks as nn.Cells: RRDB encoder, conditional U-Net and their layers."""
