"""What every test may use: the repository on the import path, mindspore's environment, and real pictures."""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from src.host.device import prepare  # noqa: E402

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in the background of a shell, and in all that is started here
    signal.signal(signal.SIGINT, signal.default_int_handler)

prepare()  # before any test module imports mindspore
if "PYTEST_XDIST_WORKER" not in os.environ:  # one cache folder for the whole run; tests leave nothing at home
    os.environ["MINDSPORE_SR_CACHE"] = _cache = tempfile.mkdtemp(prefix="mindspore-sr-tests-")
    atexit.register(shutil.rmtree, _cache, ignore_errors=True)


@pytest.fixture(autouse=True)
def answers_to_signals():
    """Give Ctrl-C back to pytest after a test that ran a command in this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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


@pytest.fixture(scope="session")
def tiny_pictures(tmp_path_factory, photo):
    """Return a folder with a few crops of the photograph in train/ and val/."""
    from src.imaging.io import write_image

    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        write_image(folder / "train" / f"{number}.png", photo[100 * number : 100 * number + 48, 100:156])
    write_image(folder / "val" / "eye.png", photo[100:132, 200:240])
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoints(tmp_path_factory):
    """Return {system: path} of checkpoints of the tiny networks with random weights."""
    from tests import tiny

    folder = tmp_path_factory.mktemp("checkpoints")
    return {name: tiny.save_untrained(folder / f"{name}.ckpt", tiny.config(name)) for name in ("rrdb", "srdiff")}


@pytest.fixture
def wandb(monkeypatch, tmp_path):
    """Return the package wandb in a process that nobody has logged in from; skip where it is not installed."""
    package = pytest.importorskip("wandb")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("WANDB_ERROR_REPORTING", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, "")  # so that monkeypatch takes back what a run sets
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / ".netrc"))
    yield package
    package.teardown()
