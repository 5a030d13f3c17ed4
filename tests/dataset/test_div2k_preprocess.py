"""The command, from its options to files: patches, and squares of whole pictures."""

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

from src.config.schema import DegradationConfig
from src.dataset.degradation import degradation_of
from src.dataset.div2k_preprocess import main
from src.dataset.manifest import is_whole, read_manifest
from src.dataset.patches import PatchPairs
from src.dataset.preprocess import square
from src.errors import UserError
from src.imaging.io import read_rgb, write_image
from src.imaging.resize import imresize
from tests.dataset.command import SCRIPT, SMALL, files, run, run_squares, script
from tests.dataset.pictures import crops, quarter, write_pictures


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


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_stopped_at_any_moment_and_started_again(tmp_path, photo, end):
    root = write_pictures(tmp_path / "in", [photo[:256, :256]] * 6)
    arguments = ["--root", root, "--dataset", "folder", "--output", tmp_path / "out", "--workers", 2, *SMALL]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list((tmp_path / "out").glob("train/X4/*.png"))) < 50:
        time.sleep(0.01)
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # as a terminal does: to the command and its workers
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert errors.rstrip().endswith("interrupted") and "Traceback" not in errors
    else:
        process.send_signal(end)
        process.communicate(timeout=60)  # its workers end as well: they hold the pipe
        assert process.returncode == -end
    assert not read_manifest(tmp_path / "out")["complete"]
    with pytest.raises(UserError, match="unfinished"):
        PatchPairs(tmp_path / "out", scale=4, patch_size=16)
    assert run(root, tmp_path / "out", dataset="folder") == 0
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


def test_a_full_disk_is_one_line_and_leaves_no_half_file(tmp_path, photo):
    root = write_pictures(tmp_path / "in", [photo] * 3)
    limit = 20_000  # bytes of a file: less than the picture for validation, more than a manifest
    result = script(
        *["--root", root, "--dataset", "folder", "--output", tmp_path / "out", "--workers", 2, *SMALL],
        *["--stride", 32],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1].startswith("error: cannot write")
    assert "Traceback" not in result.stderr
    assert all(is_whole(p) for p in (tmp_path / "out").rglob("X*/*"))
    assert run(root, tmp_path / "out", "--stride", "32", dataset="folder") == 0


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


def test_bad_input_is_one_line(tmp_path, capsys):
    result = script("--root", tmp_path / "absent", "--dataset", "div2k", "--output", tmp_path / "out")
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1 and result.stderr.startswith("error: ")
    for arguments in (["--root", str(tmp_path), "--dataset", "urban100", "--output", str(tmp_path / "out")], []):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        message = capsys.readouterr().err
        assert caught.value.code == 2 and message.startswith("error: ") and message.count("\n") == 1


def test_the_log_names_what_was_set_aside(tmp_path, photo, caplog):
    caplog.set_level(logging.INFO)
    run(write_pictures(tmp_path / "in", crops(photo, 3)), tmp_path / "out", dataset="folder")
    assert "the last 1 by name are set aside" in caplog.text


def tree(folder):
    """Map each folder below one that holds PNGs to how many."""
    found = {str(p.relative_to(folder)): len(list(p.glob("*.png"))) for p in sorted(folder.rglob("*")) if p.is_dir()}
    return {name: count for name, count in found.items() if count}


def test_the_triple_of_each_picture(tmp_path, photo, capsys):
    root = write_pictures(tmp_path / "faces ü", crops(photo, 12))
    assert run_squares(root, tmp_path / "out put") == 0
    names = {"train": 11, "val": 1}
    expected = {f"{split}/{part}": n for split, n in names.items() for part in ("hr_32", "lr_8", "sr_8_32")}
    assert tree(tmp_path / "out put") == expected
    for number, picture in enumerate(crops(photo, 11)):
        hr, lr, lr_up = (
            read_rgb(tmp_path / f"out put/train/{part}/image_{number:04d}.png") for part in ("hr_32", "lr_8", "sr_8_32")
        )
        np.testing.assert_array_equal(hr, square(picture, 32))
        np.testing.assert_array_equal(lr, imresize(hr, 1 / 4))
        np.testing.assert_array_equal(lr_up, imresize(lr, 4))
    assert "left out: 0 source pictures smaller than 32" in capsys.readouterr().out


def test_the_manifest_of_squares(tmp_path, photo):
    run_squares(
        write_pictures(tmp_path / "in", crops(photo, 2)), tmp_path / "out", "--crop", "largest", "--resample", "area"
    )
    manifest = read_manifest(tmp_path / "out")
    assert manifest["complete"] and manifest["options"] == {
        "datasets": ["folder"], "sizes": [8, 32], "scale": 4, "crop": "largest", "resample": "area", "val_count": None,
    }  # fmt: skip
    assert manifest["splits"]["train"] == {
        "files": 1,
        "sources": [
            {"name": "0001.png", "lr": "made", "tile": [32, 32], "first": 0, "count": 1, "error": None, "small": False}
        ],
    }


def test_small_and_broken_pictures_are_left_out_and_told_apart(tmp_path, photo, caplog, capsys):
    root = write_pictures(tmp_path / "in", [*crops(photo, 4), photo[:31, :90], photo[:90, :1]])
    path = root / "0002.png"
    path.write_bytes(path.read_bytes()[:500])
    options = ["--split", "test", "--crop", "largest", "--resample", "area"]
    assert run_squares(root, tmp_path / "out", *options) == 1
    assert "test: 2 of 6 pictures are smaller than 32, first 0005.png: they are left out" in caplog.text
    assert "skipped 0002.png" in caplog.text
    out = capsys.readouterr().out
    assert "test: 3 pictures from 3 source pictures" in out and "skipped: 1 broken" in out
    assert "left out: 2 source pictures smaller than 32" in out
    names = [p.name for p in sorted((tmp_path / "out/test/hr_32").iterdir())]
    assert names == ["image_0000.png", "image_0002.png", "image_0003.png"]
    assert [entry["small"] for entry in read_manifest(tmp_path / "out")["splits"]["test"]["sources"]] == [False] * 4 + [
        True
    ] * 2
    write_image(path, crops(photo, 2)[1])
    assert run_squares(root, tmp_path / "out", *options) == 0
    assert len(list((tmp_path / "out/test/hr_32").iterdir())) == 4


def test_where_nothing_can_be_used(tmp_path, photo):
    root = write_pictures(tmp_path / "in", [photo[:1, :1]] * 3)
    with pytest.raises(UserError, match=r"none of the 2 pictures for train can be used; all are too small"):
        run_squares(root, tmp_path / "out")
    assert not read_manifest(tmp_path / "out")["complete"]
    (root / "0003.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"none of the 3 pictures for test can be used; the first: .*0003\.png"):
        run_squares(root, tmp_path / "out", "--split", "test", "--force")
    for path in root.iterdir():
        path.unlink()
    with pytest.raises(UserError, match="no pictures"):
        run_squares(root, tmp_path / "other")


def test_hr_alone(tmp_path, photo):
    root = write_pictures(tmp_path / "in", crops(photo, 3))
    assert run_squares(root, tmp_path / "out", sizes="32") == 0
    assert tree(tmp_path / "out") == {"train/hr_32": 2, "val/hr_32": 1}
    assert read_manifest(tmp_path / "out")["options"]["scale"] == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--patch-size", "32"],
        ["--stride", "32"],
        ["--scale", "4"],
        ["--split", "val", "--val-count", "1"],
        ["--dataset", "folder", "folder"],
    ],
)
def test_options_that_do_not_go_together(tmp_path, photo, options):
    root = write_pictures(tmp_path / "in", crops(photo, 2))
    with pytest.raises(UserError, match=options[0]):
        run_squares(root, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [["--crop", "largest"], ["--resample", "area"]])
def test_options_of_squares_need_sizes(tmp_path, photo, option):
    root = write_pictures(tmp_path / "in", crops(photo, 2))
    with pytest.raises(UserError, match="--sizes"):
        main(["--root", str(root), "--dataset", "folder", "--output", str(tmp_path / "out"), *option])


@pytest.mark.parametrize("sizes", ["", "0", "16,", "16,128,512", "128,16", "16,100", "16,16", "-1,8", "big"])
def test_bad_sizes(tmp_path, sizes, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--root", str(tmp_path), "--dataset", "folder", "--output", str(tmp_path / "out"), f"--sizes={sizes}"])
    message = capsys.readouterr().err
    assert caught.value.code == 2 and message.startswith("error: argument --sizes: ") and message.count("\n") == 1


def test_examples_of_degradation(tmp_path, div2k, capsys):
    """Twelve of LR | bicubic | HR, as training draws them: the same each time, by the settings that are named."""
    output, sheet, mild = tmp_path / "out", tmp_path / "sheet.png", tmp_path / "mild.png"
    assert run(div2k, output, "--preview-degradation", sheet) == 0
    assert f"examples of degradation: {sheet}" in capsys.readouterr().out
    first = read_rgb(sheet)
    assert first.shape == (3 * 34 - 2, 4 * 102 - 2, 3)
    degradation = degradation_of(DegradationConfig(kind="real"))
    hr, lr = PatchPairs(output, scale=4, patch_size=32, degradation=degradation).sample(5)
    expected = np.concatenate([lr.repeat(4, 0).repeat(4, 1), np.full((32, 2, 3), 255), imresize(lr, 4)], axis=1)
    np.testing.assert_array_equal(first[34:66, 102 : 102 + 66], expected)
    np.testing.assert_array_equal(first[34:66, 170:202], hr)
    (tmp_path / "mild.yaml").write_text("system: rrdb\ndegradation: {kind: real, noise_range: [0, 0]}\n")
    assert run(div2k, output, "--preview-degradation", mild, "--config", tmp_path / "mild.yaml") == 0
    assert (read_rgb(mild)[:, 68:100] == first[:, 68:100]).all() and (read_rgb(mild) != first).any()
    assert run_squares(div2k, tmp_path / "squares", "--preview-degradation", sheet) == 0
    assert read_rgb(sheet).shape == first.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "none.yaml"], "--config none.yaml is for --preview-degradation: add it"),
        (["--config", "none.yaml", "--preview-degradation", "a.png"], "degradation.kind is none in none.yaml: name"),
        (
            ["--split", "test", "--preview-degradation", "a.png"],
            "shows training patches, of which --split test makes none",
        ),
    ],
)
def test_examples_that_cannot_be(tmp_path, div2k, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    Path("none.yaml").write_text("system: rrdb\n")
    with pytest.raises(UserError, match=message):
        run(div2k, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()
