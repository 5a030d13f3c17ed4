"""SR3 and DDPM from a PyTorch file through the commands, run as a user runs them."""

import numpy as np
import pytest

from src.cli import infer
from src.errors import UserError
from src.imaging.io import read_rgb, write_image
from tests import tiny, tiny_sr3
from tests.weights.checkpoints import sr3_tensors


@pytest.fixture
def picture(tmp_path, photo):
    write_image(tmp_path / "lr.png", photo[100:109, 200:207])
    return tmp_path / "lr.png"


@pytest.mark.parametrize("level", ["continuous", "discrete"])
def test_convert_then_infer(tmp_path, picture, level):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in sr3_tensors(noise_level=level).items()}
    torch.save(tensors, tmp_path / "I10_E1_gen.pth")
    given = "--input", "I10_E1_gen.pth", "--output", "w.ckpt", "data.scale=4", "sr3.groups=4"
    code, out, err = tiny.run("convert.py", *given, cwd=tmp_path)
    assert code == 0 and "sr3 x4" in out and "taking sr3.image_size=128, which no tensor tells" in err[0]
    given = "--checkpoint", "w.ckpt", "--input", picture, "--output", "sr.png", "--device", "CPU", "--steps", "3"
    code, _, err = tiny.run("infer.py", *given, cwd=tmp_path)
    assert code == 0 and len(err) == 1 and err[0].startswith("exported w.ckpt for ONNX Runtime in")
    assert read_rgb(tmp_path / "sr.png").shape == (36, 28, 3)


def test_eval(tmp_path, photo):
    write_image(tmp_path / "hr" / "eye.png", photo[100:132, 200:232])
    path = tiny_sr3.checkpoint(tmp_path / "w.ckpt")
    arguments = "--checkpoint", path, "--hr", tmp_path / "hr", "--lpips", "none", "--output", "found"
    code, out, err = tiny.run("eval.py", *arguments, cwd=tmp_path)
    assert code == 0, err
    assert "protocol sr3" in out and "sr3_tiny" in out and (tmp_path / "found" / "metrics.json").is_file()


def test_what_such_a_model_cannot_do(tmp_path, picture, monkeypatch):
    path = tiny_sr3.checkpoint(tmp_path / "w.ckpt", *tiny_sr3.UNCONDITIONAL)
    given = ["--checkpoint", path, "--input", picture, "--output", tmp_path / "x.png"]
    monkeypatch.setattr("sys.argv", ["infer.py", *map(str, given)])
    with pytest.raises(UserError, match="from nothing and enlarges none"):
        infer.main()
