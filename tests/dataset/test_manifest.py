"""What a folder of preprocessed pictures holds, what a further run does to it, and what training checks."""

import fcntl
import json

import pytest

from src.dataset.manifest import write_manifest
from src.dataset.patches import PatchPairs
from src.errors import UserError
from tests.dataset.command import files, run, run_squares
from tests.dataset.pictures import crops, quarter, write_pictures


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


def test_squares_that_are_missing_or_cut_short_are_written_again_by_two_processes(tmp_path, photo):
    root, output = write_pictures(tmp_path / "in", crops(photo, 4)), tmp_path / "out"
    run_squares(root, output)
    expected = files(output)
    (output / "train/sr_8_32/image_0000.png").unlink()
    (output / "train/lr_8/image_0001.png").write_bytes(b"")  # as after a power cut
    (output / "train/hr_32/image_0002.png.999.tmp").write_bytes(b"half a picture")
    assert run_squares(root, output, "--workers", "2") == 0
    assert files(output) == expected


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


def test_two_runs_in_one_output(tmp_path, div2k):
    output = tmp_path / "out"
    output.mkdir()
    with open(output / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another run"):
            run(div2k, output)
    assert run(div2k, output) == 0


def test_an_output_that_cannot_be_made(tmp_path, div2k):
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file/out"):
        with pytest.raises(UserError):
            run(div2k, output)


def test_other_options_need_force_which_clears(tmp_path, photo):
    root, output = write_pictures(tmp_path / "in", crops(photo, 3)), tmp_path / "out"
    run_squares(root, output)
    before = files(output)
    for options in (["--resample", "area"], ["--split", "val"]):
        with pytest.raises(UserError, match="--force"):
            run_squares(root, output, *options)
    assert files(output) == before
    assert run_squares(root, output, "--split", "test", "--force", sizes="16") == 0
    assert sorted(str(p.relative_to(output)) for p in output.rglob("*") if p.is_dir()) == ["test", "test/hr_16"]
    assert len(list((output / "test/hr_16").iterdir())) == 3


def entry(first, count, tile, error=None):
    return {"name": "a", "size": tile, "tile": tile, "first": first, "count": count, "lr": "made", "error": error}


@pytest.fixture
def prepared(tmp_path, photo):
    """Return a folder and its manifest, as preprocessing leaves them; picture 1 was broken."""
    pictures = crops(photo, 3, 32, 48)
    names = ["image_0000.png", "image_0002.png", "image_0003.png"]
    write_pictures(tmp_path / "train/X1", pictures, names)
    write_pictures(tmp_path / "train/X4", [quarter(picture) for picture in pictures], names)
    sources = [entry(0, 1, [32, 48]), entry(1, 1, [32, 48], "broken"), entry(2, 2, [32, 48])]
    manifest = {
        "complete": True,
        "digits": 4,
        "options": {"scale": 4},
        "splits": {"train": {"files": 3, "sources": sources}, "val": {"files": 0, "sources": []}},
    }
    write_manifest(tmp_path, manifest)
    return tmp_path, manifest


def test_manifest_spares_reading_headers(prepared, monkeypatch):
    folder, _ = prepared
    monkeypatch.setattr("src.dataset.patches.check_headers", None)  # calling it would fail
    assert len(PatchPairs(folder, scale=4, patch_size=32)) == 3
    assert len(PatchPairs(folder / "train", scale=4, patch_size=32)) == 3


def test_a_folder_that_differs_from_its_manifest_is_refused(prepared, photo):
    folder, manifest = prepared
    extra = quarter(photo[:32, :48])
    for part, picture in (("X1", photo[:32, :48]), ("X4", extra)):
        write_pictures(folder / "train" / part, [picture], ["image_0009.png"])
    with pytest.raises(UserError, match=r"image_0009\.png is not in the manifest"):
        PatchPairs(folder, scale=4, patch_size=32)
    for part in ("X1", "X4"):
        (folder / "train" / part / "image_0009.png").unlink()
        (folder / "train" / part / "image_0003.png").unlink()
    with pytest.raises(UserError, match="holds 2 pictures, its manifest lists 3"):
        PatchPairs(folder, scale=4, patch_size=32)


def test_a_picture_of_another_size_than_its_manifest_says(prepared, photo):
    folder, _ = prepared
    for part, picture in (("X1", photo[:32, :32]), ("X4", photo[:8, :8])):
        write_pictures(folder / "train" / part, [picture], ["image_0000.png"])
    with pytest.raises(UserError, match=r"image_0000\.png is not of the size"):
        patches = PatchPairs(folder, scale=4, patch_size=32)
        for index in range(3):
            patches.sample(index)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"complete": False}, "unfinished"),
        ({"version": 99}, "version 99"),
        ({"options": {"scale": 2}}, "made for scale 2"),
    ],
)
def test_a_manifest_that_does_not_fit(prepared, change, message):
    folder, manifest = prepared
    write_manifest(folder, manifest | change)
    with pytest.raises(UserError, match=message):
        PatchPairs(folder, scale=4, patch_size=32)


def test_the_test_split_is_checked_like_the_others_and_a_folder_of_its_name_is_not(prepared):
    folder, manifest = prepared
    (folder / "train").rename(folder / "test")
    assert len(PatchPairs(folder / "test", scale=4, patch_size=16)) == 3  # the manifest does not know it
    listed = manifest["splits"]["train"]["sources"]
    write_manifest(folder, manifest | {"splits": {"test": {"files": 2, "sources": listed[:2]}}})
    with pytest.raises(UserError, match=r"image_000[23]\.png is not in the manifest"):
        PatchPairs(folder / "test", scale=4, patch_size=16)


def test_a_damaged_manifest(prepared):
    folder, _ = prepared
    (folder / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json"):
        PatchPairs(folder, scale=4, patch_size=32)


def test_another_programs_manifest_is_not_ours(prepared):
    folder, _ = prepared
    (folder / "manifest.json").write_text('{"name": "web app"}')
    assert len(PatchPairs(folder, scale=4, patch_size=32)) == 3
