"""One output that several runs with --shard write together."""

import fcntl
import itertools
import json
import subprocess
import sys

import pytest

from src.dataset.div2k_preprocess import main
from src.dataset.manifest import read_manifest
from src.dataset.patches import PatchPairs
from src.errors import UserError
from src.imaging.io import write_image
from tests.dataset.command import SCRIPT, SMALL, files, run, run_squares
from tests.dataset.pictures import crops, write_pictures


def shard(root, output, *options):
    """Run one shard of DIV2K, as ``run`` does."""
    return run(root, output, "--shard", *options)


@pytest.mark.parametrize("order", list(itertools.permutations(["1/3", "2/3", "3/3"])))
def test_the_last_shard_completes_the_manifest_of_one_run(tmp_path, div2k, capsys, order):
    run(div2k, tmp_path / "one", "--val-count", "1")
    capsys.readouterr()
    for name in order[:-1]:
        assert shard(div2k, tmp_path / "out", name, "--val-count", "1") == 0
        assert f"shard {name}: done" in capsys.readouterr().out
        assert not read_manifest(tmp_path / "out")["complete"]
        with pytest.raises(UserError, match="unfinished"):
            PatchPairs(tmp_path / "out", scale=4, patch_size=16)
    assert shard(div2k, tmp_path / "out", order[-1], "--val-count", "1") == 0
    assert "train: 27 pictures from 3 source pictures" in capsys.readouterr().out
    assert files(tmp_path / "out") == files(tmp_path / "one")


def test_each_shard_writes_its_share_alone(tmp_path, photo):
    root, output = write_pictures(tmp_path / "in", crops(photo, 6)), tmp_path / "out"
    run_squares(root, output, "--shard", "2/3")  # the train pictures 0001 to 0005, then 0006 of val
    assert sorted(p.name for p in output.glob("*/hr_32/*")) == ["image_0001.png", "image_0004.png"]


def test_more_shards_than_pictures_and_a_single_one(tmp_path, photo):
    root = write_pictures(tmp_path / "in", crops(photo, 2))
    run_squares(root, tmp_path / "one")
    assert run_squares(root, tmp_path / "out", "--shard", "1/1") == 0
    assert files(tmp_path / "out") == files(tmp_path / "one")
    for number in range(1, 5):
        assert run_squares(root, tmp_path / "four", "--shard", f"{number}/4") == 0
    assert files(tmp_path / "four") == files(tmp_path / "one")


def test_shards_at_the_same_time(tmp_path, photo):
    root = write_pictures(tmp_path / "in", crops(photo, 12))
    arguments = ["--root", root, "--dataset", "folder", "--output", tmp_path / "out", "--workers", "1", *SMALL]
    processes = [
        subprocess.Popen([sys.executable, SCRIPT, *map(str, arguments), "--shard", f"{number}/4"])
        for number in range(1, 5)
    ]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    run(root, tmp_path / "one", dataset="folder")
    assert files(tmp_path / "out") == files(tmp_path / "one")


def test_broken_and_small_pictures_of_all_shards_are_in_the_manifest(tmp_path, photo, caplog, capsys):
    root = write_pictures(tmp_path / "in", [*crops(photo, 4), photo[:31, :90], photo[:90, :1]])
    path = root / "0002.png"
    path.write_bytes(path.read_bytes()[:500])
    assert run_squares(root, tmp_path / "one", "--split", "test") == 1
    assert run_squares(root, tmp_path / "out", "--split", "test", "--shard", "2/2") == 1
    out = capsys.readouterr().out
    assert "shard 2/2: done" in out and "skipped: 1 broken" in out
    assert run_squares(root, tmp_path / "out", "--split", "test", "--shard", "1/2") == 1
    assert files(tmp_path / "out") == files(tmp_path / "one")
    write_image(path, crops(photo, 2)[1])  # a run of all looks again
    assert run_squares(root, tmp_path / "out", "--split", "test") == 0


def test_where_the_shards_together_have_no_picture(tmp_path, photo):
    root = write_pictures(tmp_path / "in", [photo[:1, :1]] * 3)
    assert run_squares(root, tmp_path / "out", "--shard", "1/2") == 0
    for _ in range(2):
        with pytest.raises(UserError, match="all are too small"):
            run_squares(root, tmp_path / "out", "--shard", "2/2")
    assert not read_manifest(tmp_path / "out")["complete"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


@pytest.mark.parametrize("moment", ["src.dataset.preprocess.write_patches", "src.dataset.preprocess.collect"])
def test_a_killed_shard_leaves_the_manifest_incomplete_and_resumes(tmp_path, div2k, monkeypatch, moment):
    def kill(*arguments):
        raise Killed

    output = tmp_path / "out"
    shard(div2k, output, "1/2")
    before = (output / "manifest.json").read_bytes()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(moment, kill)
        shard(div2k, output, "2/2")
    (output / "train/X1/image_0009.png.999.tmp").write_bytes(b"half a picture")
    assert (output / "manifest.json").read_bytes() == before and not json.loads(before)["complete"]
    shard(div2k, output, "1/2")  # again; the other is still missing
    assert (output / "manifest.json").read_bytes() == before
    assert shard(div2k, output, "2/2") == 0
    run(div2k, tmp_path / "one")
    assert files(output) == files(tmp_path / "one")


def test_a_shard_that_begins_again_is_not_done(tmp_path, div2k, monkeypatch):
    def kill(*arguments):
        raise Killed

    shard(div2k, tmp_path / "out", "1/2")
    (tmp_path / "out/train/X1/image_0000.png").unlink()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("src.dataset.preprocess.write_patches", kill)
        shard(div2k, tmp_path / "out", "1/2")
    shard(div2k, tmp_path / "out", "2/2")
    assert not read_manifest(tmp_path / "out")["complete"]


def test_a_run_of_all_pictures_takes_over(tmp_path, div2k):
    output = tmp_path / "out"
    run(div2k, tmp_path / "one")
    shard(div2k, output, "1/2")
    assert run(div2k, output) == 0
    assert files(output) == files(tmp_path / "one")
    before = {p: p.stat().st_mtime_ns for p in output.rglob("*.*") if p.name != ".lock"}
    assert shard(div2k, output, "2/3") == 0  # nothing is left to do
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_force_forgets_the_shards_of_another_plan(tmp_path, div2k):
    output = tmp_path / "out"
    shard(div2k, output, "1/2")
    with pytest.raises(UserError, match="--force"):
        run(div2k, output, "--stride", "32")
    with pytest.raises(UserError, match="differs .* name another folder"):
        shard(div2k, output, "2/2", "--stride", "32")
    with pytest.raises(UserError, match="--force would remove"):
        shard(div2k, output, "2/2", "--stride", "32", "--force")
    assert run(div2k, output, "--stride", "32", "--force") == 0
    run(div2k, tmp_path / "fresh", "--stride", "32")
    assert files(output) == files(tmp_path / "fresh")


def test_another_number_of_shards_is_refused_and_does_no_harm(tmp_path, div2k):
    shard(div2k, tmp_path / "out", "1/2")
    for _ in range(2):
        with pytest.raises(UserError, match=r"written in 2 shards, not 4: expected --shard I/2"):
            shard(div2k, tmp_path / "out", "1/4")
    assert shard(div2k, tmp_path / "out", "2/2") == 0
    run(div2k, tmp_path / "one")
    assert files(tmp_path / "out") == files(tmp_path / "one")


def test_a_shard_or_an_output_that_is_in_use(tmp_path, div2k, monkeypatch):
    output = tmp_path / "out"
    shard(div2k, output, "1/2")
    with open(output / ".shards/1_of_2/.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for options in (["--shard", "1/2"], [], ["--force"]):
            with pytest.raises(UserError, match="another run"):
                run(div2k, output, *options)
    monkeypatch.setattr("src.dataset.shards._PATIENCE", 0.1)
    with open(output / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another run"):
            shard(div2k, output, "2/2")
    assert shard(div2k, output, "2/2") == 0


def test_a_folder_with_other_content_is_refused_and_untouched(tmp_path, div2k):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        shard(div2k, tmp_path / "out", "1/2")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "1/0", "-1/2", "1/2/3", "a/b", ""])
def test_bad_shards(tmp_path, capsys, text):
    with pytest.raises(SystemExit) as caught:
        main(["--root", str(tmp_path), "--dataset", "folder", "--output", str(tmp_path / "out"), f"--shard={text}"])
    message = capsys.readouterr().err
    assert caught.value.code == 2 and message.startswith("error: argument --shard: ") and message.count("\n") == 1
