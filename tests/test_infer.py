"""infer.py from its command line."""

import functools
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.build import load_upscaler
from src.cli import infer
from src.errors import PartlyDone, UserError
from src.imaging.io import read_image, read_rgb, write_image
from src.imaging.resize import imresize
from src.imaging.strip import side_by_side
from src.inference.records import FOLDER
from src.metrics.scores import lr_psnr
from tests import tiny, wandb_files


@pytest.fixture(scope="module")
def load_once():
    """``load_upscaler`` that remembers what it has loaded and compiled."""
    return functools.cache(load_upscaler)


@pytest.fixture
def command(monkeypatch, capsys, tiny_checkpoints, load_once):
    """``command(arguments…)`` runs infer.py's main in this process and returns its stdout's lines."""
    monkeypatch.setattr("src.build.load_upscaler", load_once)

    def command(*arguments, system="srdiff"):
        checkpoint = ["--checkpoint", tiny_checkpoints[system], "--device", "CPU"]
        monkeypatch.setattr("sys.argv", ["infer.py", *map(str, [*checkpoint, *arguments])])
        infer.main()
        return capsys.readouterr().out.splitlines()

    return command


@pytest.fixture
def folder(tmp_path, photo):
    """A folder of three small pictures, two of one size."""
    for name, (height, width) in {"a.png": (7, 9), "b é.png": (7, 9), "c.jpg": (1, 1)}.items():
        write_image(tmp_path / "in" / name, photo[100 : 100 + height, 100 : 100 + width])
    return tmp_path / "in"


def test_a_folder_and_its_broken_picture(folder, tmp_path, tiny_checkpoints):
    (folder / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    out = tmp_path / "my results"
    (tmp_path / "cwd").mkdir()
    arguments = ["--checkpoint", tiny_checkpoints["srdiff"], "--input", folder, "--output", out, "--device", "CPU"]
    status, printed, lines = tiny.run("infer.py", *arguments, "--compare", cwd=tmp_path / "cwd")
    assert status == 1
    assert lines[-1] == "error: 1 of 4 pictures could not be done: the lines above say why"
    assert sum("d.png" in line for line in lines) == 1
    assert sum(line.startswith("error:") for line in lines) == 2 and not any("Traceback" in line for line in lines)
    expected = [out / f"{stem}{end}.png" for stem in ("a", "b é", "c") for end in ("", "_compare")]
    assert printed.splitlines() == list(map(str, expected))
    assert sorted(out.iterdir()) == sorted([*expected, out / FOLDER]) and list((tmp_path / "cwd").iterdir()) == []
    assert read_rgb(out / "c.png").shape == (4, 4, 3) and read_rgb(out / "c_compare.png").shape == (4, 12, 3)


def test_the_seed_decides_and_company_does_not(command, folder, tmp_path):
    def result(output, *arguments, source=folder):
        command("--input", source, "--output", tmp_path / output, *arguments)
        return (tmp_path / output / "b é.png").read_bytes()

    first = result("1")
    assert result("2") == first
    assert result("3", "--batch", "1") == first
    assert result("4", source=folder / "b é.png") == first
    assert result("5", "--seed", "1") != first
    assert result("6", "--temperature", "0") != first
    assert result("7", "--temperature", "0", "--seed", "9") == result("8", "--temperature", "0")


def test_what_is_done_is_not_done_again(command, folder, tmp_path, caplog, monkeypatch, tiny_checkpoints):
    caplog.set_level("INFO")
    write_image(folder / "more" / "a.png", read_rgb(folder / "a.png")[:4])

    def again(*options, **more):
        caplog.clear()
        printed = command("--input", folder, "--output", out, "--recursive", *options, **more)
        told = [line for line in map(str, (r.getMessage() for r in caplog.records)) if line.startswith("skipped")]
        return [Path(line).relative_to(out).as_posix() for line in printed], told

    out, whole = tmp_path / "out", ["a.png", "b é.png", "c.png", "more/a.png"]
    assert again("--samples", 1) == (whole, [])  # a record of it is kept in any case
    assert read_rgb(out / "more" / "a.png").shape == (16, 36, 3)
    done = "skipped, since they are done: 4 of 4 pictures (a.png, b é.png, c.jpg, more/a.png)"
    with monkeypatch.context() as patched:
        patched.setattr("src.build.load_upscaler", None)  # no model is needed to see it
        assert again("--skip-existing") == ([], [done])
        assert again("--skip-existing", "--batch", 1) == ([], [done])
    write_image(folder / "more" / "a.png", read_rgb(folder / "a.png")[:5])
    (out / "c.png").unlink()
    (folder / "d.png").write_bytes(b"no picture")
    with pytest.raises(PartlyDone, match="1 of 5 pictures could not be done"):
        again("--skip-existing")
    assert [(out / name).exists() for name in ("c.png", "d.png")] == [True, False]
    assert read_rgb(out / "more" / "a.png").shape == (20, 36, 3)
    (folder / "d.png").unlink()
    for options in (["--seed", 1], ["--steps", 3], ["--tile", 100], ["--compare"], ["--outscale", 2], ["--samples", 2]):
        first, told = again("--skip-existing", *options)
        assert len(first) >= 4 and told == [], options
    assert len(again("--skip-existing", system="rrdb")[0]) == 4  # another model


@pytest.mark.slow
def test_what_is_done_when_it_is_killed(folder, tmp_path, tiny_checkpoints, photo):
    for number in range(30):
        write_image(folder / f"n{number}.png", photo[:40, :40])
    arguments = ["infer.py", "--checkpoint", tiny_checkpoints["srdiff"], "--input", folder, "--output", "out"]
    arguments += ["--batch", 1, "--device", "CPU"]
    process = tiny.start(*arguments, cwd=tmp_path)
    out = tmp_path / "out"
    while len(list(out.glob("n*.png"))) < 3:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    tiny.finish(process)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    status, printed, lines = tiny.run(*arguments, "--skip-existing", cwd=tmp_path)
    skipped = [line for line in lines if line.startswith("skipped, since they are done: ")]
    assert status == 0 and len(skipped) == 1, lines
    done = int(skipped[0].split()[5])
    assert len(before) - 1 <= done <= len(before)  # one may have been written and not yet recorded
    again = [out.parent / line for line in printed.splitlines()]
    assert len(again) == 33 - done and len(list(out.glob("*.png"))) == 33
    kept = before.keys() - set(again)
    assert len(kept) == done and all(path.stat().st_mtime_ns == before[path] for path in kept)


def test_rrdb(command, folder, tmp_path):
    assert command("--input", folder / "a.png", "--output", tmp_path / "x.webp", system="rrdb") == [
        str(tmp_path / "x.webp")
    ]
    assert Image.open(tmp_path / "x.webp").size == (36, 28)


def test_gray_and_alpha_are_kept(command, tmp_path, photo):
    Image.fromarray(photo[:5, :6]).convert("LA").save(tmp_path / "a.png")
    command("--input", tmp_path / "a.png", "--output", tmp_path / "x.png")
    assert Image.open(tmp_path / "x.png").mode == "LA"


@pytest.mark.parametrize("steps", [1, 4])
def test_any_number_of_steps(command, folder, tmp_path, steps):
    assert len(command("--input", folder, "--output", tmp_path / "out", "--steps", steps)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "5"], "from 1 to 4 for this model, not 5"),
        (["--steps", "0"], "from 1 to 4 for this model, not 0"),
        (["--sampler", "ddim9"], "sampler must be one of ddpm, ddim, dpmpp_2m, dpmpp_2m_sde, sr3, not 'ddim9'"),
        (["--temperature", "-1"], "the temperature must be"),
        (["--temperature", "nan"], "the temperature must be"),
        (["--batch", "0"], "--batch must be from 1 to 1024, .*, not 0, 1 and 0"),
        (["--samples", "0"], "--samples from 1 to 1000"),
        (["--eta", "0.5", "--sampler", "ddpm"], "eta is an option of the sampler ddim, ddpm has none"),
        (["--eta", "2", "--sampler", "ddim"], "eta must be a number from 0 to 1, not 2"),
        (["--spacing", "log"], "spacing"),
        (["--temperature", "1e300"], "the temperature must be"),
        (["--tile", "32", "--halo", "16"], "a tile of 32 pixels leaves nothing between halos of 16: .* at least 36"),
        (["--tile", "-1"], "--tile must be a number of pixels"),
        (["--halo", "-1"], "--halo must be a number of pixels, not -1"),
        (["--max-memory", "0"], "--max-memory must be a number of GB above 0"),
        (["--seed", "-1"], "--seed from 0 to"),
        (["--seed", str(2**64)], "--seed from 0 to"),
    ],
)
def test_options_out_of_range(command, folder, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        command("--input", folder, "--output", tmp_path / "out", *arguments)


def test_several_samples(command, folder, tmp_path):
    arguments = ["--input", folder / "a.png", "--output", tmp_path / "x.png", "--samples", 3, "--compare"]
    written = command(*arguments, "--seed", 5)
    ends = ("1", "2", "3", "mean", "std", "best", "compare")
    assert written == [str(tmp_path / f"x_{end}.png") for end in ends]
    assert {path.name for path in tmp_path.glob("x*")} == {f"x_{end}.png" for end in ends}
    command("--input", folder / "a.png", "--output", tmp_path / "single.png", "--seed", 7)
    read = {end: read_rgb(tmp_path / f"x_{end}.png") for end in ends}
    np.testing.assert_array_equal(read["3"], read_rgb(tmp_path / "single.png"))
    assert any(np.array_equal(read["best"], read[end]) for end in "123")
    samples = np.stack([read[end] for end in "123"]).astype(float)
    inside = (samples > 0).all(0) & (samples < 255).all(0)  # samples are saturated one by one, the mean once
    assert inside.any() and np.abs(read["mean"] - samples.mean(0))[inside].max() <= 1
    assert read["std"].shape == (28, 36, 3) and read["std"].max() > 0


def test_samples_in_another_size(command, folder, tmp_path):
    arguments = ["--input", folder / "a.png", "--samples", 2, "--compare"]
    command(*arguments, "--output", tmp_path / "x.png")
    command(*arguments, "--output", tmp_path / "y.png", "--outscale", 2.5)
    for end in ("1", "2", "mean", "std", "best"):
        expected = imresize(read_rgb(tmp_path / f"x_{end}.png"), size=(18, 22))  # 17.5 and 22.5, rounded to even
        np.testing.assert_array_equal(read_rgb(tmp_path / f"y_{end}.png"), expected)
    assert read_rgb(tmp_path / "y_compare.png").shape == (18, 3 * 22, 3)


@pytest.mark.parametrize("factor", ["0", "-2", "inf", "nan", "two"])
def test_a_factor_that_is_none_is_one_line(folder, factor, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["infer.py", "--input", str(folder), "--outscale", factor])
    with pytest.raises(SystemExit, match="2"):
        infer.main()
    assert capsys.readouterr().err == (
        f"error: argument --outscale: expected a number above 0, got {factor} (see infer.py --help)\n"
    )


def test_samples_never_overwrite_an_input(command, folder, tmp_path):
    write_image(folder / "a_mean.png", read_rgb(folder / "a.png"))
    with pytest.raises(UserError, match="a_mean.png would overwrite a picture of the input"):
        command("--input", folder, "--output", folder, "--samples", 2)


def test_one_sample_of_a_model_that_does_not_sample(command, folder, tmp_path):
    with pytest.raises(UserError, match="this model samples nothing, 2 samples would be equal"):
        command("--input", folder / "a.png", "--output", tmp_path / "x.png", "--samples", 2, system="rrdb")


def test_a_consistent_picture_reduces_to_its_input(command, folder, tmp_path):
    command("--input", folder / "a.png", "--output", tmp_path / "x.png", "--consistency", "--sampler", "dpmpp_2m")
    assert lr_psnr(read_rgb(tmp_path / "x.png"), read_rgb(folder / "a.png")) >= 50


@pytest.mark.parametrize("tile", [(), ("--tile", 96, "--halo", 16)])
def test_sixteen_bits_are_consistent_to_their_levels(command, tmp_path, photo, tile):
    low = np.random.default_rng(0).integers(0, 256, (40, 30, 3))
    lr = (imresize(photo, 1 / 8)[:40, :30].astype(int) * 200 + 8000 + low).astype(np.uint16)
    write_image(tmp_path / "a.png", lr)
    command("--input", tmp_path / "a.png", "--output", tmp_path / "x.tif", "--consistency", *tile)
    result = read_image(tmp_path / "x.tif").rgb
    assert result.dtype == np.uint16
    assert np.sqrt(np.square(imresize(result, 1 / 4).astype(float) - lr).mean()) < 2  # of 65536 levels


def test_a_folder_in_another_format(command, folder, tmp_path):
    (folder / "c.jpg").unlink()
    written = command("--input", folder, "--output", tmp_path / "out", "--format", "jpg", "--quality", 70)
    assert written == [str(tmp_path / "out" / f"{name}.jpg") for name in ("a", "b é")]
    with pytest.raises(
        UserError, match="--format and --quality are for pictures of --input: leave them out of --count"
    ):
        command("--count", 1, "--format", "jpg")


def test_tiles_are_told_with_their_number_and_memory(tmp_path, photo, tiny_checkpoints):
    write_image(tmp_path / "in.png", photo[:80, :60])
    arguments = [
        "--checkpoint",
        tiny_checkpoints["srdiff"],
        "--input",
        "in.png",
        "--output",
        "a.png",
        "--device",
        "CPU",
    ]
    status, printed, lines = tiny.run("infer.py", *arguments, "--tile", 128, "--halo", 16, cwd=tmp_path)
    assert (status, printed) == (0, "a.png\n")
    assert len(lines) == 1 and lines[0].startswith(
        "in.png: 9 tiles of 104 x 128 pixels, 1.6 times the work of the whole, about 0."
    )
    assert lines[0].endswith(" GB, 18 passes of the network")


def test_the_largest_seed(command, folder, tmp_path):
    assert command("--input", folder / "a.png", "--output", tmp_path / "x.png", "--seed", 2**64 - 1)


def test_an_output_that_cannot_be_written_is_found_before_the_model_is_loaded(command, folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("src.build.load_upscaler", None)
    with pytest.raises(UserError, match="cannot make the folder"):
        command("--input", folder, "--output", tmp_path / "file" / "out")
    with pytest.raises(UserError, match="would overwrite"):
        command("--input", folder, "--output", folder)


def test_wandb_gets_pictures_and_speed(command, folder, tmp_path, wandb, tiny_checkpoints, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr("src.commands.infer.LOGGED_PICTURES", 2)
    out = tmp_path / "out"
    printed = command("--input", folder, "--output", out, "--seed", 7, "--temperature", 0.5, "--wandb", "offline")
    assert printed == [str(out / f"{stem}.png") for stem in ("a", "b é", "c")]
    run = wandb_files.read(Path("runs/infer"))
    config = tiny.config("srdiff")
    assert (run["run"].project, run["run"].job_type, run["exit"]) == ("mindspore-sr", "infer", 0)
    about = {"sampler": config.eval.sampler, "steps": 2, "temperature": 0.5, "seed": 7, "batch": 4, "scale": 4}
    about |= {"system": "srdiff", "model": "/".join(tiny_checkpoints["srdiff"].parts[-2:])}
    assert {name: run["config"][name] for name in about} == about
    assert list(run["history"]) == [1, 2, 3]
    assert all(
        row["infer/seconds_per_picture"] > 0 < row["infer/megapixels_per_second"] for row in run["history"].values()
    )
    pictures = {name: entry for row in run["history"].values() for name, entry in row.items() if "pictures/" in name}
    assert list(pictures) == ["pictures/a", "pictures/b é"]
    for stem in ("a", "b é"):
        logged = read_rgb(run["files"] / pictures[f"pictures/{stem}"]["path"])
        np.testing.assert_array_equal(
            logged, side_by_side(read_rgb(folder / f"{stem}.png"), read_rgb(out / f"{stem}.png"))
        )


def test_wandb_and_a_model_that_does_not_sample(command, folder, tmp_path, wandb, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("src.commands.infer.LONGEST", 10)
    arguments = ("--input", folder / "a.png", "--output", "x.png", "--outscale", 3.5)
    command(*arguments, "--wandb", "offline", system="rrdb")
    run = wandb_files.read(Path("runs/infer"))
    assert run["config"]["system"] == "rrdb" and run["config"]["outscale"] == 3.5 and "sampler" not in run["config"]
    assert max(read_rgb(run["files"] / run["history"][1]["pictures/x"]["path"]).shape) == 10


def test_only_one_model_can_be_named(folder, tmp_path):
    status, out, lines = tiny.run("infer.py", "--checkpoint", "a", "--model", "b", "--input", folder, cwd=tmp_path)
    assert (status, out) == (2, "")
    assert lines == ["error: argument --model: not allowed with argument --checkpoint (see infer.py --help)"]


def test_a_missing_device_is_one_line(folder, tmp_path, tiny_checkpoints):
    arguments = ["--checkpoint", tiny_checkpoints["rrdb"], "--input", folder, "--output", tmp_path / "o"]
    status, out, lines = tiny.run("infer.py", *arguments, "--device", "Ascend", cwd=tmp_path)
    if status == 0:
        pytest.skip("this is an Ascend machine")
    assert (status, out, len(lines)) == (2, "", 1) and lines[0].startswith("error: device Ascend is not available here")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_one_line(tmp_path, photo, tiny_checkpoints, number):
    """Also in the middle of a graph, where mindspore turns a Ctrl-C into a SIGTERM of its own."""
    write_image(tmp_path / "in.png", photo[:40, :40])
    arguments = ["--checkpoint", tiny_checkpoints["srdiff"], "--input", "in.png", "--output", "out", "--device", "CPU"]
    process = tiny.start("infer.py", *arguments, "--samples", 1000, cwd=tmp_path)
    while not list(tmp_path.glob("out/*_2.png")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    status, _, lines = tiny.finish(process)
    assert status in (130, 143) and lines[-1] == "interrupted"
    assert not any("Traceback" in line for line in lines) and not list(tmp_path.glob("out/.*"))
