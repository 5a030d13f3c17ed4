"""What every test may use: the repository on the import path, mindspore's environment, and real pictures."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from src.runtime import prepare  # noqa: E402  (only importable now that the root is on the path)

prepare()  # before any test module imports mindspore


@pytest.fixture(scope="session")
def shared():
    """Return the folder of test data and golden values beside the repository; skip where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("../shared, the folder of test data and golden values, is not on this machine")
    return folder


@pytest.fixture(scope="session")
def photo():
    """Return scikit-image's photograph of an astronaut: uint8 (512, 512, 3), read-only."""
    skimage_data = pytest.importorskip("skimage.data")
    picture = skimage_data.astronaut()
    picture.flags.writeable = False
    return picture
