"""Squares of whole pictures: what is cut and reduced, and what the command leaves in a folder."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from src.dataset.div2k_preprocess import main
from src.dataset.manifest import read_manifest
from src.dataset.patches import PatchPairs
from src.dataset.preprocess import square
from src.errors import UserError
from src.imaging.io import read_rgb, write_image
from src.imaging.resize import area_resize, imresize
from tests.dataset.pictures import crops, write_pictures
from tests.dataset.test_div2k_preprocess import SCRIPT, files, script


def run(root, output, *options, dataset="folder", sizes="8,32"):
    arguments = ["--root", root, "--dataset", dataset, "--output", output, "--sizes", sizes, "--workers", "1", *options]
    return main([str(argument) for argument in arguments])


def tree(folder):
    """Map each folder below one that holds PNGs to how many."""
    found = {str(p.relative_to(folder)): len(list(p.glob("*.png"))) for p in sorted(folder.rglob("*")) if p.is_dir()}
    return {name: count for name, count in found.items() if count}


def test_the_centre_of_the_reduced_picture(photo):
    picture = photo[:96, :150]
    reduced = imresize(picture, size=(32, 50))
    np.testing.assert_array_equal(square(picture, 32), reduced[:, 9:41])
    upright = picture.swapaxes(0, 1)
    np.testing.assert_array_equal(square(upright, 32, resample="area"), area_resize(upright, (50, 32))[9:41])


def test_the_largest_centred_square_reduced(photo):
    picture = photo[:97, :150]
    middle = picture[:, 26:123]
    np.testing.assert_array_equal(square(picture, 32, "largest", "area"), area_resize(middle, (32, 32)))
    np.testing.assert_array_equal(square(picture, 32, "largest"), imresize(middle, size=(32, 32)))


@pytest.mark.parametrize("crop", ["centre", "largest"])
def test_a_picture_that_fits_is_cut_and_no_more(photo, crop):
    np.testing.assert_array_equal(square(photo[:32, :45], 32, crop), photo[:32, 6:38])
    np.testing.assert_array_equal(square(photo[:1, :3], 1, crop), photo[:1, 1:2])
    whole = photo[:96, :96]
    np.testing.assert_array_equal(square(whole, 32, crop), imresize(whole, 1 / 3))


def test_the_triple_of_each_picture(tmp_path, photo, capsys):
    root = write_pictures(tmp_path / "faces ü", crops(photo, 12))
    assert run(root, tmp_path / "out put") == 0
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


def test_the_manifest(tmp_path, photo):
    run(write_pictures(tmp_path / "in", crops(photo, 2)), tmp_path / "out", "--crop", "largest", "--resample", "area")
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
    assert run(root, tmp_path / "out", *options) == 1
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
    assert run(root, tmp_path / "out", *options) == 0
    assert len(list((tmp_path / "out/test/hr_32").iterdir())) == 4


def test_where_nothing_can_be_used(tmp_path, photo):
    root = write_pictures(tmp_path / "in", [photo[:1, :1]] * 3)
    with pytest.raises(UserError, match=r"none of the 2 pictures for train can be used; all are too small"):
        run(root, tmp_path / "out")
    assert not read_manifest(tmp_path / "out")["complete"]
    (root / "0003.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"none of the 3 pictures for test can be used; the first: .*0003\.png"):
        run(root, tmp_path / "out", "--split", "test", "--force")
    for path in root.iterdir():
        path.unlink()
    with pytest.raises(UserError, match="no pictures"):
        run(root, tmp_path / "other")


def test_hr_alone(tmp_path, photo):
    root = write_pictures(tmp_path / "in", crops(photo, 3))
    assert run(root, tmp_path / "out", sizes="32") == 0
    assert tree(tmp_path / "out") == {"train/hr_32": 2, "val/hr_32": 1}
    assert read_manifest(tmp_path / "out")["options"]["scale"] == 1


def test_many_processes_killed_at_any_moment_and_started_again(tmp_path, photo):
    root = write_pictures(tmp_path / "in", [photo[i : i + 300, i : i + 300] for i in range(24)])
    run(root, tmp_path / "whole", sizes="16,128")
    arguments = ["--root", root, "--dataset", "folder", "--output", tmp_path / "out", "--workers", 2]
    arguments += ["--sizes", "16,128"]
    process = subprocess.Popen([sys.executable, SCRIPT, *map(str, arguments)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list((tmp_path / "out").glob("train/sr_16_128/*.png"))) < 5:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not read_manifest(tmp_path / "out")["complete"]
    with pytest.raises(UserError, match="unfinished"):
        PatchPairs(tmp_path / "out", scale=8, patch_size=128)
    (tmp_path / "out/train/lr_16/image_0001.png").write_bytes(b"")  # as after a power cut
    (tmp_path / "out/train/hr_128/image_0001.png.999.tmp").write_bytes(b"half a picture")
    result = script(*arguments)
    assert result.returncode == 0, result.stderr
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_other_options_need_force_which_clears(tmp_path, photo):
    root, output = write_pictures(tmp_path / "in", crops(photo, 3)), tmp_path / "out"
    run(root, output)
    before = files(output)
    for options in (["--resample", "area"], ["--split", "val"]):
        with pytest.raises(UserError, match="--force"):
            run(root, output, *options)
    assert files(output) == before
    assert run(root, output, "--split", "test", "--force", sizes="16") == 0
    assert tree(output) == {"test/hr_16": 3}
    assert sorted(p.name for p in output.iterdir() if p.is_dir()) == ["test"]


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
        run(root, tmp_path / "out", *options)
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
