import fcntl
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from src.dataset.div2k_preprocess import main
from src.dataset.manifest import is_whole, read_manifest
from src.dataset.patches import PatchPairs
from src.errors import UserError
from src.imaging.io import read_rgb
from tests.dataset.pictures import crops, quarter, write_pictures

SCRIPT = Path(__file__).resolve().parents[2] / "src/dataset/div2k_preprocess.py"
SMALL = ["--patch-size", "32", "--stride", "24"]


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


def run(root, output, *options, dataset="div2k", workers="1"):
    arguments = ["--root", root, "--dataset", dataset, "--output", output, "--workers", workers, *SMALL, *options]
    return main([str(argument) for argument in arguments])


def script(*arguments, **options):
    arguments = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, **options)


def files(folder):
    """Map the name of every file of an output to its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_patches_in_train_and_whole_pictures_in_val(tmp_path, div2k, photo):
    output = tmp_path / "out put"
    assert run(div2k, output) == 0
    assert sorted(p.name for p in (output / "train").iterdir()) == ["X1", "X4"]
    train = sorted((output / "train/X1").iterdir())
    assert [p.name for p in train] == [
        f"image_{number:04d}.png" for number in range(29)
    ]  # 3 × 9 of 64 × 80 and 2 of 33 × 41
    assert [p.name for p in sorted((output / "train/X4").iterdir())] == [p.name for p in train]
    assert np.array_equal(read_rgb(train[1]), photo[:32, 24:56])
    assert np.array_equal(read_rgb(train[8]), photo[32:64, 48:80])
    assert np.array_equal(read_rgb(output / "train/X4/image_0010.png"), np.full((8, 8, 3), 1))
    assert np.array_equal(read_rgb(train[28]), photo[:32, 8:40])  # the picture cropped to 32 × 40
    val = read_rgb(output / "val/X1/image_0000.png")
    assert np.array_equal(val, photo[:64, :88])
    assert np.array_equal(read_rgb(output / "val/X4/image_0000.png"), quarter(val))


def test_what_is_set_aside_is_val_and_the_official_pictures_are_the_test(tmp_path, div2k, photo, capsys):
    output = tmp_path / "out put"
    assert run(div2k, output, "--val-count", "2") == 0
    assert "test: 1 pictures from 1 source pictures" in capsys.readouterr().out
    sources = {name: split["sources"] for name, split in read_manifest(output)["splits"].items()}
    assert {name: [Path(source["name"]).stem for source in split] for name, split in sources.items()} == {
        "train": ["0001", "0002"],
        "val": ["0003", "0004"],
        "test": ["0801"],
    }
    assert len(list((output / "train/X1").iterdir())) == 18
    first, last = (read_rgb(output / f"val/X1/image_000{number}.png") for number in (0, 1))
    assert np.array_equal(first, crops(photo, 3)[2]) and np.array_equal(last, photo[:32, :40])
    assert np.array_equal(read_rgb(output / "val/X4/image_0000.png"), np.full((16, 20, 3), 2))  # the official LR
    test = read_rgb(output / "test/X1/image_0000.png")
    assert np.array_equal(test, photo[:64, :88])
    assert np.array_equal(read_rgb(output / "test/X4/image_0000.png"), quarter(test))


def test_the_test_pictures_are_what_an_output_without_val_count_validates_on(tmp_path, div2k):
    run(div2k, tmp_path / "with", "--val-count", "1")
    run(div2k, tmp_path / "without")
    assert files(tmp_path / "with/test") == files(tmp_path / "without/val")
    assert sorted(p.name for p in (tmp_path / "without").iterdir() if p.is_dir()) == ["train", "val"]


def test_a_missing_test_picture_is_written_again(tmp_path, div2k):
    output = tmp_path / "out"
    run(div2k, output, "--val-count", "1")
    expected = files(output)
    (output / "test/X1/image_0000.png").unlink()
    (output / "test/X4/image_0000.png.999.tmp").write_bytes(b"half a picture")
    assert run(div2k, output, "--val-count", "1") == 0
    assert files(output) == expected


def test_force_takes_the_test_pictures_of_another_plan_away(tmp_path, div2k):
    output = tmp_path / "out"
    run(div2k, output, "--val-count", "1")
    with pytest.raises(UserError, match="--force"):
        run(div2k, output)
    assert run(div2k, output, "--force") == 0
    run(div2k, tmp_path / "fresh")
    assert files(output) == files(tmp_path / "fresh")
    assert not (output / "test").exists()


def test_all_pictures_in_one_split(tmp_path, div2k, photo):
    output = tmp_path / "out"
    assert run(div2k, output, "--split", "test") == 0
    assert sorted(p.name for p in output.iterdir() if p.is_dir()) == ["test"]
    whole = [read_rgb(p) for p in sorted((output / "test/X1").iterdir())]
    assert [picture.shape[:2] for picture in whole] == [(64, 80)] * 3 + [(32, 40), (64, 88)]
    assert read_manifest(output)["options"]["split"] == "test"


def test_manifest(tmp_path, div2k):
    run(div2k, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert manifest["complete"] and manifest["version"] == 1
    assert manifest["options"] == {
        "datasets": ["div2k"],
        "scale": 4,
        "patch_size": 32,
        "stride": 24,
        "val_count": None,
    }
    train, val = (manifest["splits"][split] for split in ("train", "val"))
    assert train["files"] == len(list((tmp_path / "out/train/X1").iterdir()))
    assert train["sources"][1] == {
        "name": "DIV2K_train_HR/0002.png",
        "lr": "official",
        "size": [64, 80],
        "tile": [32, 32],
        "first": 9,
        "count": 9,
        "error": None,
    }
    assert val["sources"][0]["lr"] == "made" and val["sources"][0]["tile"] == [64, 88]


def test_training_reads_the_output(tmp_path, div2k):
    run(div2k, tmp_path / "out")
    patches = PatchPairs(tmp_path / "out", scale=4, patch_size=16)
    assert len(patches) == read_manifest(tmp_path / "out")["splits"]["train"]["files"]
    assert patches.sample(3)[0].shape == (16, 16, 3)
    with pytest.raises(UserError):
        PatchPairs(tmp_path / "out", scale=2, patch_size=16)


def test_many_processes_write_what_one_does(tmp_path, div2k):
    run(div2k, tmp_path / "one")
    result = script("--root", div2k, "--dataset", "div2k", "--output", "two", "--workers", 2, *SMALL, cwd=tmp_path)
    assert (result.returncode, files(tmp_path / "two")) == (0, files(tmp_path / "one"))
    assert "train: 29 pictures from 4 source pictures" in result.stdout
    assert "4 source" in result.stdout and "picture" in result.stderr


def test_a_finished_output_is_left_alone(tmp_path, div2k):
    run(div2k, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")}
    assert run(div2k, tmp_path / "out") == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")} == before


def test_what_is_missing_or_cut_short_is_written_again(tmp_path, div2k):
    output = tmp_path / "out"
    run(div2k, output)
    expected = files(output)
    (output / "train/X4/image_0003.png").unlink()
    (output / "train/X1/image_0015.png").write_bytes(b"")
    (output / "val/X1/image_0000.png").write_bytes(expected["val/X1/image_0000.png"][:-3])
    (output / "train/X1/image_0001.png.999.tmp").write_bytes(b"half a picture")
    (output / ".manifest.999.tmp.json").write_text("{")
    assert run(div2k, output) == 0
    assert files(output) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_and_started_again(tmp_path, photo, workers):
    root = write_pictures(tmp_path / "in", [photo[:256, :256]] * 12)
    run(root, tmp_path / "whole", dataset="folder")
    arguments = ["--root", root, "--dataset", "folder", "--output", tmp_path / "out", "--workers", workers, *SMALL]
    process = subprocess.Popen([sys.executable, SCRIPT, *map(str, arguments)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list((tmp_path / "out").glob("train/X4/*.png"))) < 100:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not read_manifest(tmp_path / "out")["complete"]
    with pytest.raises(UserError, match="unfinished"):
        PatchPairs(tmp_path / "out", scale=4, patch_size=16)
    result = script(*arguments)
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_ctrl_c_says_so_and_a_second_run_completes(tmp_path, photo):
    root = write_pictures(tmp_path / "in", [photo[:256, :256]] * 12)
    arguments = ["--root", root, "--dataset", "folder", "--output", tmp_path / "out", "--workers", 2, *SMALL]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list((tmp_path / "out").glob("train/X4/*.png"))) < 100:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and its workers
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.rstrip().endswith("interrupted") and "Traceback" not in errors
    assert script(*arguments).returncode == 0
    run(root, tmp_path / "whole", dataset="folder")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_a_picture_that_fails_to_decode_leaves_a_gap_until_it_is_mended(tmp_path, div2k, caplog, capsys):
    path = div2k / "DIV2K_train_HR/0002.png"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    output = tmp_path / "out"
    assert run(div2k, output) == 1
    assert "skipped DIV2K_train_HR/0002.png" in caplog.text
    assert "skipped: 1 broken" in capsys.readouterr().out
    names = [p.name for p in sorted((output / "train/X1").iterdir())]
    assert names == [f"image_{number:04d}.png" for number in range(29) if not 9 <= number < 18]
    manifest = read_manifest(output)
    assert "0002.png" in manifest["splits"]["train"]["sources"][1]["error"]
    assert manifest["complete"] and manifest["splits"]["train"]["files"] == 20
    assert len(PatchPairs(output, scale=4, patch_size=16)) == 20
    path.write_bytes(content)
    assert run(div2k, output) == 0
    run(div2k, tmp_path / "whole")
    assert files(output) == files(tmp_path / "whole")


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_a_picture_without_a_header_gets_no_numbers(tmp_path, div2k, caplog, content):
    (div2k / "DIV2K_train_HR/0002.png").write_bytes(content)
    assert run(div2k, tmp_path / "out") == 1
    assert "skipped DIV2K_train_HR/0002.png" in caplog.text
    names = [p.name for p in sorted((tmp_path / "out/train/X1").iterdir())]
    assert names == [f"image_{number:04d}.png" for number in range(20)]


def test_where_the_only_picture_of_a_split_breaks_the_others_are_still_made(tmp_path, photo, capsys):
    root = write_pictures(tmp_path / "in", crops(photo, 3))
    path = root / "0003.png"  # the one that is set aside
    path.write_bytes(path.read_bytes()[:500])
    output = tmp_path / "out"
    assert run(root, output, dataset="folder") == 1
    assert "val: 0 pictures from 0 source pictures" in capsys.readouterr().out
    assert read_manifest(output)["complete"] and list((output / "train/X1").iterdir())


def test_a_broken_official_lr_skips_its_picture(tmp_path, div2k, caplog):
    (div2k / "DIV2K_train_LR_bicubic/X4/0003x4.png").write_bytes(b"")
    assert run(div2k, tmp_path / "out") == 1
    assert "0003x4.png" in caplog.text


def test_other_options_need_force(tmp_path, div2k, photo):
    output = tmp_path / "out"
    run(div2k, output)
    before = files(output)
    with pytest.raises(UserError, match="--force"):
        run(div2k, output, "--stride", "32")
    write_pictures(div2k / "DIV2K_valid_HR", [photo[:64, :64]], ["0802.png"])
    with pytest.raises(UserError, match="--force"):
        run(div2k, output)
    assert files(output) == before
    assert run(div2k, output, "--force", "--stride", "32", "--scale", "2") == 0
    run(div2k, tmp_path / "fresh", "--stride", "32", "--scale", "2")
    assert files(output) == files(tmp_path / "fresh")
    assert not (output / "train/X4").exists()


def test_force_removes_nothing_but_its_own_files(tmp_path, div2k):
    output = tmp_path / "out"
    run(div2k, output)
    note = output / "train/X4/notes.txt"
    note.write_text("mine")
    assert run(div2k, output, "--force", "--scale", "2") == 0
    assert note.read_text() == "mine"
    assert [p.name for p in (output / "train/X4").iterdir()] == ["notes.txt"]


def test_an_interrupted_clearing_starts_again_without_force(tmp_path, div2k):
    output = tmp_path / "out"
    run(div2k, output)
    expected = files(output)
    manifest = json.loads((output / "manifest.json").read_text())
    stale = {"format": manifest["format"], "version": manifest["version"], "complete": False}
    (output / "manifest.json").write_text(json.dumps(stale))
    (output / "train/X1/image_0000.png").write_bytes((output / "train/X1/image_0001.png").read_bytes())
    assert run(div2k, output) == 0
    assert files(output) == expected


def test_a_folder_with_other_content_is_refused_and_untouched(tmp_path, div2k):
    output = tmp_path / "out"
    output.mkdir()
    (output / "manifest.json").write_text('{"name": "web app"}')
    for options in ([], ["--force"]):
        with pytest.raises(UserError, match="not empty"):
            run(div2k, output, *options)
    assert [p.name for p in output.iterdir()] == ["manifest.json"]


def test_output_among_the_input_is_refused(tmp_path, div2k, photo):
    for output in (div2k / "DIV2K_train_HR", div2k / "DIV2K_train_LR_bicubic/X4/out"):
        with pytest.raises(UserError, match="outside"):
            run(div2k, output)
    plain = write_pictures(tmp_path / "plain", crops(photo, 3))
    (tmp_path / "link").symlink_to(plain)
    for output in (plain, plain / "out", tmp_path / "link/out"):
        with pytest.raises(UserError, match="outside"):
            run(plain, output, dataset="folder")
    assert run(div2k, div2k / "prepared") == 0


def test_two_runs_in_one_output(tmp_path, div2k):
    output = tmp_path / "out"
    output.mkdir()
    with open(output / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another run"):
            run(div2k, output)
    assert run(div2k, output) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_line_and_leaves_no_half_file(tmp_path, photo, workers):
    root = write_pictures(tmp_path / "in", [photo] * 3)
    limit = 20_000  # bytes of a file: less than the picture for validation, more than a manifest
    result = script(
        *["--root", root, "--dataset", "folder", "--output", tmp_path / "out", "--workers", workers, *SMALL],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith("error: cannot write")
    assert "Traceback" not in result.stderr
    assert all(is_whole(p) for p in (tmp_path / "out").rglob("X*/*"))
    assert script("--root", root, "--dataset", "folder", "--output", tmp_path / "out", *SMALL).returncode == 0


def test_an_output_that_cannot_be_made(tmp_path, div2k):
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file/out"):
        with pytest.raises(UserError):
            run(div2k, output)


def test_one_pixel_pictures(tmp_path, photo):
    root = write_pictures(tmp_path / "in", [photo[:64, :64], photo[:1, :1], photo[:64, :64]])
    assert run(root, tmp_path / "out", dataset="folder") == 1
    write_pictures(root, [photo[:1, :1]] * 3)
    with pytest.raises(UserError, match="none of the 2 pictures"):
        run(root, tmp_path / "other", dataset="folder")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--scale", "1"],
        ["--patch-size", "30"],
        ["--patch-size", "0"],
        ["--stride", "0"],
        ["--stride", "6"],
        ["--stride", "36"],
        ["--workers", "0"],
        ["--val-count", "-1"],
        ["--dataset", "folder", "folder"],
    ],
)
def test_bad_options(tmp_path, photo, options):
    root = write_pictures(tmp_path / "in", crops(photo, 2))
    with pytest.raises(UserError):
        run(root, tmp_path / "out", *options, dataset="folder")
    assert not (tmp_path / "out").exists()


def test_bad_input_from_the_shell_is_one_line(tmp_path):
    for arguments in (
        ["--root", tmp_path / "absent", "--dataset", "div2k", "--output", tmp_path / "out"],
        ["--root", tmp_path, "--dataset", "urban100", "--output", tmp_path / "out"],
        [],
    ):
        result = script(*arguments)
        assert result.returncode == 2
        assert len(result.stderr.strip().splitlines()) == 1 and result.stderr.startswith("error: ")


def test_mindspore_is_not_imported(tmp_path, photo):
    root = write_pictures(tmp_path / "in", crops(photo, 2))
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from src.dataset.div2k_preprocess import main; main(); "
        "assert 'mindspore' not in sys.modules"
    )
    arguments = ["--root", root, "--dataset", "folder", "--output", tmp_path / "out", "--workers", "1", *SMALL]
    command = [sys.executable, "-c", code, SCRIPT.parents[2], *arguments]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_the_log_names_what_was_set_aside(tmp_path, photo, caplog):
    caplog.set_level(logging.INFO)
    run(write_pictures(tmp_path / "in", crops(photo, 3)), tmp_path / "out", dataset="folder")
    assert "the last 1 by name are set aside" in caplog.text
