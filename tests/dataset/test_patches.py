from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from src.dataset.manifest import write_manifest
from src.dataset.patches import PatchPairs
from src.errors import UserError
from src.imaging.resize import imresize
from tests.dataset.pictures import crops, quarter, write_pictures


@pytest.fixture
def folder(tmp_path, photo):
    """Return a folder HR/, LR/ of four pictures."""
    pictures = crops(photo, 4)
    write_pictures(tmp_path / "HR", pictures)
    write_pictures(tmp_path / "LR", [quarter(picture) for picture in pictures])
    return tmp_path


def samples(patches, indices):
    return [patches.sample(index) for index in indices]


def equal(one, other):
    return all(np.array_equal(a, b) for pair in zip(one, other, strict=True) for a, b in zip(*pair, strict=True))


def test_shapes_and_ownership(folder):
    patches = PatchPairs(folder, scale=4, patch_size=32, seed=1)
    hr, lr = patches.sample(0)
    assert (hr.shape, hr.dtype, lr.shape, lr.dtype) == ((32, 32, 3), np.uint8, (8, 8, 3), np.uint8)
    hr[:] = 0  # a caller may change what it was given
    assert patches.sample(0)[0].any()
    assert len(patches) == 4


def test_a_sample_depends_on_seed_and_index_alone(folder):
    patches = PatchPairs(folder, scale=4, patch_size=32, seed=1)
    expected = samples(patches, range(24))
    fresh = PatchPairs(folder, scale=4, patch_size=32, seed=1)
    assert equal(samples(fresh, reversed(range(24))), expected[::-1])
    with ThreadPoolExecutor(4) as pool:
        assert equal(list(pool.map(fresh.sample, range(24))), expected)
    assert not equal(samples(PatchPairs(folder, scale=4, patch_size=32, seed=2), range(24)), expected)


def test_decoding_on_demand_gives_the_same_patches(folder):
    cached = PatchPairs(folder, scale=4, patch_size=32)
    on_demand = PatchPairs(folder, scale=4, patch_size=32, cache_bytes=1000)
    assert cached.cached and not on_demand.cached
    assert equal(samples(cached, range(12)), samples(on_demand, range(12)))


def test_the_cache_decodes_each_picture_once(folder, monkeypatch):
    patches = PatchPairs(folder, scale=4, patch_size=32)
    expected = samples(patches, range(8))
    monkeypatch.setattr("src.dataset.patches.load_pair", None)  # calling it would fail
    assert equal(samples(patches, range(8)), expected)


def test_the_cache_limit_counts_all_decoded_bytes(folder):
    total = 4 * (64 * 80 + 16 * 20) * 3
    assert PatchPairs(folder, scale=4, patch_size=32, cache_bytes=total).cached
    assert not PatchPairs(folder, scale=4, patch_size=32, cache_bytes=total - 1).cached


def test_every_epoch_passes_over_all_pictures_in_another_order(tmp_path, photo):
    colours = [np.full((16, 16, 3), value, np.uint8) for value in range(12)]
    patches = PatchPairs(write_pictures(tmp_path, colours), scale=4, patch_size=16)
    epochs = [[int(patches.sample(12 * epoch + i)[0][0, 0, 0]) for i in range(12)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_lr_patch_lies_where_the_hr_patch_does(tmp_path, photo):
    # each LR pixel is the constant value of its 4×4 HR block, so any shift, flip or turn of one alone shows
    lr = np.random.default_rng(0).integers(0, 256, (15, 21, 3), dtype=np.uint8)
    write_pictures(tmp_path / "HR", [lr.repeat(4, axis=0).repeat(4, axis=1)])
    write_pictures(tmp_path / "LR", [lr])
    patches = PatchPairs(tmp_path, scale=4, patch_size=24)
    for index in range(60):
        hr_patch, lr_patch = patches.sample(index)
        assert np.array_equal(hr_patch, lr_patch.repeat(4, axis=0).repeat(4, axis=1))


def orientations(picture):
    """Map the eight orientations of a square picture to (mirrored, quarter turns)."""
    return {
        np.rot90(picture[:, ::-1] if mirrored else picture, turns).tobytes(): (mirrored, turns)
        for mirrored in (False, True)
        for turns in range(4)
    }


@pytest.mark.parametrize(
    ("flip", "rotate", "count"), [(True, True, 8), (True, False, 2), (False, True, 4), (False, False, 1)]
)
def test_flip_and_rotate(tmp_path, photo, flip, rotate, count):
    square = photo[100:132, 100:132]
    patches = PatchPairs(write_pictures(tmp_path, [square]), scale=4, patch_size=32, flip=flip, rotate=rotate)
    known = orientations(square)
    seen = {known[patches.sample(index)[0].tobytes()] for index in range(100)}
    assert len(seen) == count
    assert rotate or {turns for _, turns in seen} == {0}
    assert flip or {mirrored for mirrored, _ in seen} == {False}


def test_all_places_are_reached(tmp_path):
    ramp = np.zeros((16, 20, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(16)[:, None], np.arange(20)
    patches = PatchPairs(write_pictures(tmp_path, [ramp]), scale=4, patch_size=8, flip=False, rotate=False)
    corners = {tuple(patches.sample(index)[0][0, 0, :2].tolist()) for index in range(300)}
    assert corners == {(top, left) for top in (0, 4, 8) for left in (0, 4, 8, 12)}


@pytest.mark.parametrize("cache_bytes", [1 << 20, 4000])
def test_absent_lr_is_made_from_the_whole_picture_once(tmp_path, photo, monkeypatch, cache_bytes):
    picture = photo[:67, :90]
    patches = PatchPairs(
        write_pictures(tmp_path, [picture]), scale=4, patch_size=64, flip=False, rotate=False, cache_bytes=cache_bytes
    )
    expected = quarter(picture)
    calls = []
    monkeypatch.setattr("src.dataset.pairs.imresize", lambda *a, **k: calls.append(1) or imresize(*a, **k))
    for index in range(20):
        hr, lr = patches.sample(index)
        lefts = [left for left in range(0, 28, 4) if np.array_equal(picture[:64, left : left + 64], hr)]
        assert len(lefts) == 1
        assert np.array_equal(lr, expected[:16, lefts[0] // 4 : lefts[0] // 4 + 16])
    assert len(calls) == 1


def test_lr_to_be_made_must_fit_in_memory(tmp_path, photo):
    with pytest.raises(UserError, match="enlarge the cache"):
        PatchPairs(write_pictures(tmp_path, [photo]), scale=4, patch_size=64, cache_bytes=1000)


def test_small_pictures_are_left_out_with_a_warning(tmp_path, photo, caplog):
    write_pictures(tmp_path, [photo[:64, :64], photo[:31, :64], photo[:64, :31]])
    patches = PatchPairs(tmp_path, scale=4, patch_size=32)
    assert len(patches) == 1
    assert "2 of 3 pictures" in caplog.text and "0002.png" in caplog.text
    with pytest.raises(UserError, match=r"3 of 3 .* patch_size 68.*0001\.png \(64×64\)"):
        PatchPairs(tmp_path, scale=4, patch_size=68)


def test_bad_arguments(folder):
    for arguments in (
        {"patch_size": 30},
        {"patch_size": 0},
        {"patch_size": 32, "seed": -1},
        {"patch_size": 32, "seed": 2**64},
    ):
        with pytest.raises(UserError):
            PatchPairs(folder, scale=4, **arguments)


def test_files_that_do_not_fit_are_named_at_once(folder, photo):
    write_pictures(folder / "LR", [photo[:16, :16]])
    with pytest.raises(UserError, match=r"0001\.png should be 20×16"):
        PatchPairs(folder, scale=4, patch_size=32)
    (folder / "LR/0003.png").unlink()
    with pytest.raises(UserError, match=r"0003\.png"):
        PatchPairs(folder, scale=4, patch_size=32)


def test_a_picture_broken_behind_its_header_is_named_when_it_comes(folder):
    path = folder / "HR/0002.png"
    path.write_bytes(path.read_bytes()[:1000])
    patches = PatchPairs(folder, scale=4, patch_size=32)
    with pytest.raises(UserError, match=r"0002\.png"):
        samples(patches, range(4))


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
        samples(PatchPairs(folder, scale=4, patch_size=32), range(3))


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
