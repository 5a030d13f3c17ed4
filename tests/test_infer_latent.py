"""infer.py --interpolate and --fuse."""

import numpy as np
import pytest
from PIL import Image

from src.cli import infer
from src.errors import UserError
from src.imaging.io import read_rgb, write_image
from tests.inference.fake_networks import unconditional

FUSE = ("--fuse", "cat.png", "--box", "8,8,40,30")


@pytest.fixture
def command(monkeypatch, capsys, tmp_path, photo, tiny_checkpoints):
    """``command(arguments…)`` runs infer.py's main in a folder with ``in.png`` (20 × 24); returns its stdout's lines.

    The model is the project's, unless ``system`` names a tiny one.
    """
    monkeypatch.chdir(tmp_path)
    write_image("in.png", photo[100:120, 200:224])
    write_image("cat.png", photo[200:260, 100:180])
    write_image("black.png", np.zeros((80, 96, 3), np.uint8))

    def command(*arguments, system=None, given=("--input", "in.png")):
        model = ["--checkpoint", str(tiny_checkpoints[system])] if system else []
        monkeypatch.setattr("sys.argv", ["infer.py", *model, *given, "--device", "CPU", *map(str, arguments)])
        infer.main()
        return capsys.readouterr().out.splitlines()

    return command


def test_the_way_from_one_sample_to_another(command):
    names = [f"o_{end}" for end in ("000.png", "001.png", "002.png", "strip.png")] + ["o.webp"]
    assert command("--interpolate", 3, 8, "--frames", 3, "--output", "o.png") == names
    for frame, seed in ((0, 3), (2, 8)):
        command("--seed", seed, "--output", "plain.png")
        with open(f"o_00{frame}.png", "rb") as found, open("plain.png", "rb") as expected:
            assert found.read() == expected.read()
    strip = read_rgb("o_strip.png")
    assert strip.shape[1] == 3 * 96 + 2 * 2
    np.testing.assert_array_equal(strip[-80:, 98:194], read_rgb("o_001.png"))
    with Image.open("o.webp") as image:
        assert image.n_frames == 3 and image.info["loop"] == 0


def test_frames_from_nothing(command, monkeypatch):
    monkeypatch.setattr("src.build.load_upscaler", lambda *_, **__: unconditional())
    names = [f"out/1_to_4_{end}" for end in ("000.png", "001.png", "strip.png")] + ["out/1_to_4.webp"]
    given = ("--checkpoint", "gray.ckpt", "--count", "2")
    assert command("--interpolate", 1, 4, "--output", "out", given=given) == names
    with pytest.raises(UserError, match="--count is how many frames"):
        command("--interpolate", 1, 4, "--frames", 3, given=given)
    with pytest.raises(UserError, match="--fuse is for one picture"):
        command(*FUSE, given=given)


def test_content_in_a_box_or_a_mask(command):
    (path,) = command(*FUSE, "--from-step", 1, "--output", "o.png")
    command("--output", "plain.png")
    difference = np.abs(read_rgb(path).astype(int) - read_rgb("plain.png"))
    assert difference[8:38, 8:48].mean() > 20
    mask = np.zeros((80, 96, 3), np.uint8)
    mask[8:38, 8:48] = 255
    write_image("mask.png", mask)
    assert command("--fuse", "cat.png", "--mask", "mask.png", "--samples", 2, "--output", "m.png")[0] == "m_1.png"
    written = command(*FUSE, "--process", "png", "--compare", "--outscale", 2, "--output", "p.png")
    assert written == ["p.png", "p_compare.png", "p_process.png"]


@pytest.mark.parametrize(("arguments", "message"), [
    (("--interpolate", 3, 3), "name two, not 3 twice"),
    (("--interpolate", 3, 4, "--frames", 1), "must have from 2 to 100 frames, not 1"),
    (("--interpolate", 3, 4, "--samples", 2), "--interpolate makes its own samples: leave --samples"),
    (("--interpolate", 3, 4, "--process", "png"), "leave --samples, --process"),
    (("--interpolate", 3, 4, *FUSE), "--fuse and --seed out"),
    (("--fuse", "cat.png"), "--fuse needs the content's place"),
    ((*FUSE, "--mask", "black.png"), "--box X,Y,W,H or --mask FILE: name one of both"),
    (("--box", "1,1,2,2"), "are of --fuse: name the CONTENT"),
    (("--box", "1,1,2,2", "--mask", "black.png"), "are of --fuse: name the CONTENT"),
    (("--from-step", 3), "are of --fuse: name the CONTENT"),
    (("--fuse", ".", "--box", "1,1,2,2"), "\\. is a folder: name one picture with --fuse"),
    (("--fuse", "none.png", "--box", "1,1,2,2"), "no picture at none.png"),
    (("--fuse", "cat.png", "--box", "90,0,7,5"), "the box 90,0,7,5 leaves the enlarged picture"),
    (("--fuse", "cat.png", "--box", "9,9,0,5"), "the box 9,9,0,5 is empty"),
    (("--fuse", "cat.png", "--mask", "black.png"), "the mask is black everywhere"),
    (("--fuse", "cat.png", "--mask", "cat.png"), "the mask has 80 x 60 pixels, the enlarged picture 96 x 80"),
    ((*FUSE, "--from-step", 101), "from step 1 to 100 of this model, not 101"),
])  # fmt: skip
def test_what_is_refused(command, arguments, message, tmp_path):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=message) as error:
        command(*arguments, "--output", "o.png")
    assert "\n" not in str(error.value) and sorted(tmp_path.iterdir()) == before


def test_more_of_what_is_refused(command, capsys):
    with pytest.raises(UserError, match="--fuse is for one picture: name its file with --input, no folder"):
        command(*FUSE, given=("--input", "."))
    for arguments, message in (
        (("--interpolate", 1, 2), "this model samples nothing"),
        (FUSE, "is not: take SRDiff or SR3 alone"),
    ):
        with pytest.raises(UserError, match=message):
            command(*arguments, system="rrdb")
    with pytest.raises(SystemExit):
        command("--fuse", "cat.png", "--box", "1,2,3")
    assert "expected x,y,width,height in output pixels, got '1,2,3'" in capsys.readouterr().err
    write_image("in.webp", read_rgb("in.png"))
    with pytest.raises(UserError, match="in.webp would overwrite a picture of the input"):
        command("--interpolate", 1, 2, "--output", ".", given=("--input", "in.webp"))
