"""Folders of pictures that several files of tests read."""

import numpy as np
import pytest

from src.dataset.div2k_preprocess import main
from tests.dataset.pictures import crops, write_pictures


@pytest.fixture
def div2k(tmp_path, photo):
    """Return a folder like DIV2K: train with official LR, which are marked by a constant, and validation without."""
    root = tmp_path / "data set ü"
    write_pictures(root / "DIV2K_train_HR", [*crops(photo, 3), photo[:33, :41]])
    lr_names = [f"{number:04d}x4.png" for number in range(1, 5)]
    lr = [np.full((16, 20, 3), number, np.uint8) for number in range(3)] + [np.full((9, 11, 3), 3, np.uint8)]
    write_pictures(root / "DIV2K_train_LR_bicubic/X4", lr, lr_names)
    write_pictures(root / "DIV2K_valid_HR", [photo[:66, :90]], ["0801.png"])
    return root


@pytest.fixture
def port(tmp_path, photo):
    """Return a folder as the port writes it, whose LR↑ is a picture of its own, so that it is known again."""
    squares = [picture[:32, :32] for picture in crops(photo, 3)]
    names = [f"{number:05d}.png" for number in range(3)]
    write_pictures(tmp_path / "celebahq_8_32/hr_32", squares, names)
    write_pictures(tmp_path / "celebahq_8_32/lr_8", [square[::4, ::4] for square in squares], names)
    write_pictures(tmp_path / "celebahq_8_32/sr_8_32", [255 - square for square in squares], names)
    return tmp_path / "celebahq_8_32"


@pytest.fixture(scope="session")
def own(tmp_path_factory, photo):
    """Return an output of this project's own command."""
    root = tmp_path_factory.mktemp("faces ü")
    write_pictures(root / "in", crops(photo, 4))
    arguments = ["--root", root / "in", "--dataset", "folder", "--output", root / "out", "--sizes", "8,32"]
    assert main([str(argument) for argument in [*arguments, "--workers", "1"]]) == 0
    return root / "out"
