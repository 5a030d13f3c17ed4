"""The checkpoints that come with the project, which the commands take where none is named."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "checkpoints"
SRDIFF = FOLDER / "srdiff_lite_x4.ckpt"
RRDB = FOLDER / "rrdb_lite_x4.ckpt"
