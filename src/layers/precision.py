"""Mixed precision: which cells compute in 16 bits, and the scale that keeps small gradients from becoming 0 there."""

import logging

import mindspore as ms
from mindspore import nn

from ..errors import UserError

DTYPES = {"float16": ms.float16, "bfloat16": ms.bfloat16}


def usable_level(level, dtype):
    """The level that this device can train with: on the CPU that is always "O0", float32."""
    if level == "O0":
        return level
    if ms.get_context("device_target") == "CPU":
        logging.warning("the CPU trains in float32: train.amp_level %s is for Ascend and GPU", level)
        return "O0"
    if dtype == "bfloat16" and ms.get_context("device_target") == "Ascend" and _is_ascend_910a():
        raise UserError("this Ascend has no bfloat16: set train.amp_dtype=float16")
    return level


def compute_in_16_bits(model, level, dtype):
    """Make a Cell compute in "float16" or "bfloat16", but for what these would spoil; its parameters stay float32.

    Level "O2" means all but normalisations, "O3" all (``mindspore.amp.auto_mixed_precision``, whose list of
    normalisations lacks GroupNorm), "O0" nothing. A Cell whose class says ``exact = True`` stays in float32 at every
    level, with all inside it; one whose class says ``exact_inputs = True`` takes its inputs as they are, and those
    inside it round theirs.
    """
    if level == "O0":
        return
    # what it returns beside is a wrapper that makes float32 of the output, which the loss does by itself
    ms.amp.auto_mixed_precision(model, level, DTYPES[dtype])
    for _, cell in model.cells_and_names():
        if getattr(cell, "exact", False) or (level == "O2" and isinstance(cell, nn.GroupNorm)):
            cell.to_float(ms.float32)
        if getattr(cell, "exact_inputs", False):
            cell.add_flags(fp16=False, bf16=False, fp32=True)  # as to_float, which changes the cells inside too


class ScaledLoss(nn.Cell):
    """A loss times the scale (arXiv 1710.03740, section 3.2), and beside it the loss itself and what it ``tells``."""

    def __init__(self, loss, scaler, tells=False):
        super().__init__(auto_prefix=False)
        self.loss, self.scaler, self.tells = loss, scaler, tells

    def construct(self, *batch):
        losses = self.loss(*batch)
        if self.tells:
            return (self.scaler.scale(losses[0]),) + losses
        return self.scaler.scale(losses), losses


def loss_scaler(level, dtype, scale, window):
    """What scales the loss of a run, or None where gradients are safe without: in float32 and bfloat16.

    It doubles after a ``window`` of steps without overflow and halves after one with; where that is 0, it stays.
    """
    if level == "O0" or dtype == "bfloat16":
        return None
    if window == 0:
        return ms.amp.StaticLossScaler(scale)
    return ms.amp.DynamicLossScaler(scale, scale_factor=2, scale_window=window)


def _is_ascend_910a():
    name = ms.hal.get_device_name() if hasattr(ms, "hal") else ""
    return name.startswith("Ascend910") and not name.startswith(("Ascend910B", "Ascend910_93"))
