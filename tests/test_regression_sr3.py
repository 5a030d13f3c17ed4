"""SR3's regression baseline: trained for a step, and one pass through the same seams as RRDB's."""

import numpy as np
import pytest

from src.build import load_model, load_upscaler
from src.cli import eval as eval_command
from src.cli import infer
from src.errors import UserError
from src.host.device import select_device
from src.imaging.io import read_rgb, write_image
from src.imaging.resize import imresize
from src.inference.tile_size import TileOptions
from src.training.run import run_training
from tests import tiny_sr3
from tests.export import models

REGRESSION = "sr3.noise_level=none", "sr3.dropout=0.5", "train.pixel_loss=l2", "train.steps=1", *tiny_sr3.ONE_LEVEL


@pytest.fixture(scope="module")
def path(tmp_path_factory, tiny_pictures):
    select_device("CPU")
    run = tmp_path_factory.mktemp("runs") / "1"
    data = [f"data.{part}={tiny_pictures / part}" for part in ("train", "val")]
    run_training(tiny_sr3.config(*data, *REGRESSION), run)
    row = (run / "validation.csv").read_text().splitlines()[-1].split(",")
    assert row[:2] == ["1", "sr3_tiny"] and float(row[2]) > 1  # dB
    return run / "model.ckpt"


def test_the_picture_is_what_the_network_makes_of_lr_up(path, photo):
    import mindspore as ms

    picture, lr = models.picture(photo, 6, 8)
    up = load_upscaler(path, "CPU")
    enlarged = imresize(lr[0].transpose(1, 2, 0), 4).clip(-1, 1).transpose(2, 0, 1)[None].astype(np.float32)
    expected = load_model(path)[1].unet(ms.Tensor(enlarged)).asnumpy()
    np.testing.assert_allclose(up.sample(lr), expected, atol=1e-4)
    assert up.passes((1, 6, 8), up.resolve()) == 1
    for size in ((1, 1), (5, 3)):  # 1: LR↑ needs two, and the levels an even number of pixels
        (found,) = up.upscale([picture[: size[0], : size[1]]])
        assert found.shape == (4 * size[0], 4 * size[1], 3)
    with pytest.raises(UserError, match="samples nothing, 2 samples would be equal"):
        next(up.samples([picture], count=2))


def test_by_tiles(path, photo):
    _, lr = models.picture(photo, 16, 24)
    tiled = load_upscaler(path, "CPU", tile_options=TileOptions(tile=32, halo=8))
    assert not tiled.tiling.grid(1, 16, 24).whole
    assert tiled.sample(lr).shape == (1, 3, 64, 96) and np.isfinite(tiled.sample(lr)).all()


@pytest.mark.slow
def test_exported(path, photo, tmp_path):
    written = models.write(path, tmp_path / "m.mindir")
    assert sorted(file.name for file in written) == ["m.mindir", "m.mindir.json"]
    _, lr = models.picture(photo, 5, 7)
    found = load_upscaler(tmp_path / "m.mindir", "CPU").sample(lr)
    np.testing.assert_allclose(found, load_upscaler(path, "CPU").sample(lr), atol=1e-5)
    with pytest.raises(UserError, match="samples nothing: of the options of sampling it has --consistency alone"):
        models.write(path, tmp_path / "n.mindir", steps=3)


@pytest.mark.slow
def test_the_commands(path, photo, tmp_path, monkeypatch, capsys):
    write_image(tmp_path / "hr" / "eye.png", photo[100:132, 200:232])
    monkeypatch.chdir(tmp_path)
    common = "--checkpoint", str(path), "--device", "CPU"
    monkeypatch.setattr("sys.argv", ["eval.py", *common, "--hr", "hr", "--lpips", "none", "--output", "found"])
    eval_command.main()
    assert "sr3_tiny" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["infer.py", *common, "--input", "hr", "--output", "sr"])
    infer.main()
    assert read_rgb(tmp_path / "sr" / "eye.png").shape == (128, 128, 3)
