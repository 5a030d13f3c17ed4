"""infer.py with models of the SR3 family: pictures of the process, pictures from nothing, cascades."""

import numpy as np
import pytest
from PIL import Image

from src.cli import infer
from src.errors import UserError
from src.imaging.io import read_rgb, write_image
from src.imaging.resize import imresize
from tests import tiny, tiny_sr3
from tests.inference.fake_networks import enlarger, unconditional

MODELS = {"x2.ckpt": lambda options: enlarger(2, tile_options=options), "x4.ckpt": lambda options: enlarger(4)}
MODELS["gray.ckpt"] = lambda options: unconditional()


def load(paths, device, ema, tile_options, runtime, cache):
    """In place of ``load_upscaler``: upscalers in NumPy."""
    from src.inference.cascade import Cascade

    stages = [MODELS[path](tile_options) for path in paths]
    return Cascade(stages) if len(stages) > 1 else stages[0]


@pytest.fixture
def command(monkeypatch, capsys, tmp_path, photo):
    """``command(text, …)`` runs infer.py's main in a folder with ``in.png`` (6 × 8) and returns its stdout's lines."""
    monkeypatch.setattr("src.build.load_upscaler", load)
    monkeypatch.chdir(tmp_path)
    write_image("in.png", photo[100:106, 200:208])

    def command(text):
        monkeypatch.setattr("sys.argv", ["infer.py", *text.split()])
        infer.main()
        return capsys.readouterr().out.splitlines()

    return command


def test_the_process_of_a_picture(command):
    written = command("--checkpoint x4.ckpt --input in.png --output o.png --process png webp gif --steps 4 --frames 3")
    assert written == ["o.png", "o_process.png", "o_process.webp", "o_process.gif"]
    strip = read_rgb("o_process.png")
    assert strip.shape[1] == 3 * 32 + 2 * 2  # three columns of 6 × 8 pixels, enlarged
    last = strip[-24:, -32:]
    np.testing.assert_array_equal(last, read_rgb("o.png"))
    for suffix in ("gif", "webp"):
        with Image.open(f"o_process.{suffix}") as image:
            assert image.n_frames == 3


def test_a_cascade_and_its_process_in_a_size_between(command):
    written = command("--checkpoint x2.ckpt x4.ckpt --input in.png --output o.png --outscale 2.6 --process png gif")
    assert written == ["o.png", "o_process.png", "o_process.gif"]
    large = read_rgb("in.png").repeat(8, 0).repeat(8, 1)
    np.testing.assert_array_equal(read_rgb("o.png"), imresize(large, size=(16, 21)))
    last = read_rgb("o_process.png")[-16:, -21:]
    np.testing.assert_array_equal(last, read_rgb("o.png"))


def test_the_process_of_a_folder_of_pictures(command, photo):
    write_image("in/a.png", photo[:6, :8])
    write_image("in/b.png", photo[200:206, :8])
    written = command("--checkpoint x4.ckpt --input in --output out --process gif")
    assert written == [f"out/{name}" for name in ("a.png", "a_process.gif", "b.png", "b_process.gif")]
    with pytest.raises(UserError, match="--process shows pictures that are not cut into tiles"):
        command("--checkpoint x2.ckpt --input in/a.png --output o.png --process gif --tile 12 --halo 2")
    write_image("o_process.png", photo[:6, :8])
    with pytest.raises(UserError, match="o_process.png would overwrite a picture of the input"):
        command("--checkpoint x4.ckpt --input o_process.png --output o.png --process png")


def test_pictures_from_nothing(command, tmp_path):
    written = command("--checkpoint gray.ckpt --count 5 --size 16 --seed 7 --output faces --batch 2 --process png")
    names = [name for seed in range(7, 12) for name in (f"{seed}.png", f"{seed}_process.png")] + ["grid.png"]
    assert written == [f"faces/{name}" for name in names]
    assert sorted(path.name for path in (tmp_path / "faces").iterdir()) == sorted(names)
    assert read_rgb("faces/7.png").shape == (16, 16, 3)
    assert np.abs(read_rgb("faces/11.png").astype(int) - 159).max() <= 1  # (0.25 + 1)·127.5
    assert read_rgb("faces/grid.png").shape == (2 * 16 + 2, 3 * 16 + 2 * 2, 3)


def test_the_size_is_the_models_own_where_none_is_given(command):
    command("--checkpoint gray.ckpt x2.ckpt x4.ckpt --count 1 --output out")
    assert read_rgb("out/0.png").shape == (8 * 16, 8 * 16, 3)


def test_a_cascade(command):
    assert command("--checkpoint x2.ckpt x4.ckpt --input in.png --output o.png --compare") == ["o.png", "o_compare.png"]
    np.testing.assert_array_equal(read_rgb("o.png"), read_rgb("in.png").repeat(8, 0).repeat(8, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--checkpoint x4.ckpt", "with --input, or how many to make from nothing with --count: one of both"),
        ("--checkpoint gray.ckpt --input in.png --count 1", "one of both"),
        ("--checkpoint x4.ckpt --count 1", "x4 enlarges pictures: name some with --input instead of --count"),
        ("--checkpoint gray.ckpt --input in.png", "gray makes pictures from nothing and enlarges none: take --count N"),
        ("--checkpoint x4.ckpt --input in.png --size 8", "--size 8 is of pictures from nothing"),
        ("--checkpoint gray.ckpt --count 0", "--count must be from 1 to 100000, .* not 0 and None"),
        ("--checkpoint gray.ckpt --count 1 --size 0", "--size from 1 to 16384, not 1 and 0"),
        ("--checkpoint gray.ckpt --count 2 --samples 2", "--outscale, --format and --quality are for"),
        ("--checkpoint gray.ckpt --count 2 --outscale 3", "for pictures of --input: leave them out of --count"),
        ("--checkpoint gray.ckpt --count 2 --output x.png", "--output must be one, not the file x.png"),
        ("--checkpoint gray.ckpt --count 2 --output in.png", "--output must be one, not the file in.png"),
        (f"--checkpoint gray.ckpt --count 2 --seed {2**64 - 1}", "--seed from 0 to 2.64 less the samples"),
        ("--checkpoint gray.ckpt --count 1 --consistency", "consistency is with LR pictures"),
        ("--count 2", "--count needs a model that makes pictures from nothing: name one with --checkpoint"),
        ("--checkpoint x4.ckpt --input in.png --process png --samples 2", "--process shows one sample"),
        ("--checkpoint x4.ckpt --input in.png --frames 3", "with --process KIND or --interpolate, not 3"),
        ("--checkpoint x4.ckpt --input in.png --process png --frames 101", "--frames must be from 1 to 100"),
        ("--checkpoint x4.ckpt --input in.png --steps 9", "from 1 to 4 for this model, not 9"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(command, arguments, message):
    with pytest.raises(UserError, match=message):
        command(arguments)


def test_no_space_for_the_process_is_one_line(command, monkeypatch):
    save = Image.Image.save

    def full(image, path, format=None, **options):
        if format == "GIF":
            raise OSError(28, "No space left on device")
        save(image, path, format, **options)

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match="no space left on the disk for the animation out/0_process.gif"):
        command("--checkpoint gray.ckpt --count 1 --size 16 --output out --process gif")


def test_as_a_user_runs_it(tmp_path):
    paths = [
        tiny_sr3.checkpoint(tmp_path / "a b.ckpt", *tiny_sr3.UNCONDITIONAL),
        tiny_sr3.checkpoint(tmp_path / "c.ckpt"),
    ]
    given = (
        "--checkpoint",
        *paths,
        "--count",
        2,
        "--size",
        8,
        "--output",
        "my faces",
        "--device",
        "CPU",
        "--process",
        "gif",
    )
    code, out, err = tiny.run("infer.py", *given, "--steps", 1, "--spacing", "linear_beta:1e-4,0.4", cwd=tmp_path)
    assert code == 0 and all("for ONNX Runtime in" in line for line in err)
    names = ("0.png", "0_process.gif", "1.png", "1_process.gif", "grid.png")
    assert out.splitlines() == [f"my faces/{name}" for name in names]
    assert read_rgb(tmp_path / "my faces" / "1.png").shape == (32, 32, 3)
