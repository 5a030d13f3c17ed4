"""Patches: functions of (seed, sample number) alone, cut from HR, LR and LR↑ in the same place."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from src.config.schema import DegradationConfig
from src.dataset.degradation import degradation_of
from src.dataset.div2k_preprocess import main
from src.dataset.layouts import find_folders
from src.dataset.pairs import find_pairs, load_pair
from src.dataset.patches import AUGMENTATION, DIFFUSION, ORDER, VALIDATION, PatchPairs, degraded, generator
from src.errors import UserError
from src.imaging.resize import interpolate, make_lr
from tests.dataset.pictures import crops, quarter, write_pictures


def test_a_value_depends_on_seed_stream_and_index_alone():
    first = generator(5, AUGMENTATION, 9).random(4)
    generator(5, AUGMENTATION, 8).random(100)
    assert np.array_equal(generator(5, AUGMENTATION, 9).random(4), first)
    for other in (generator(6, AUGMENTATION, 9), generator(5, DIFFUSION, 9), generator(5, AUGMENTATION, 10)):
        assert not np.array_equal(other.random(4), first)


def test_neighbouring_indices_do_not_overlap():
    long = generator(0, ORDER, 0).integers(2**63, size=4096)
    following = generator(0, ORDER, 1).integers(2**63, size=4096)
    assert not set(long.tolist()) & set(following.tolist())


def test_the_largest_seed_and_index_are_accepted():
    assert 0 <= generator(2**64 - 1, DIFFUSION, 2**64 - 1).random() < 1


@pytest.fixture
def folder(tmp_path, photo):
    """Return a folder HR/, LR/ of four pictures."""
    pictures = crops(photo, 4)
    write_pictures(tmp_path / "HR", pictures)
    write_pictures(tmp_path / "LR", [quarter(picture) for picture in pictures])
    return tmp_path


def test_lr_by_maxpool(tmp_path, photo, folder):
    hr = photo[100:148, 100:156]
    patches = PatchPairs(write_pictures(tmp_path / "high", [hr]), scale=4, patch_size=16, lr_kernel="maxpool")
    for index in range(4):
        patch, small = patches.sample(index)
        blocks = [patch[row::4, column::4] for row in range(4) for column in range(4)]
        np.testing.assert_array_equal(small, np.maximum.reduce(blocks))
    with pytest.raises(UserError, match=r"the kernel maxpool cannot make LR .* there, in .*LR: leave it out"):
        PatchPairs(folder, scale=4, patch_size=16, lr_kernel="maxpool")


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
    monkeypatch.setattr("src.dataset.pairs.make_lr", lambda *a: calls.append(1) or make_lr(*a))
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


@pytest.mark.parametrize("cache_bytes", [1 << 20, 100])
@pytest.mark.parametrize("broken", ["HR/0002.png", "LR/0002.png"])
def test_a_truncated_picture_is_left_out_and_counted_once(folder, broken, cache_bytes, caplog):
    path = folder / broken
    whole = samples(PatchPairs(folder, scale=4, patch_size=32, cache_bytes=cache_bytes), range(12))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    patches = PatchPairs(folder, scale=4, patch_size=32, cache_bytes=cache_bytes)
    seen = samples(patches, range(12))
    assert sum(map(equal, seen, whole)) == 9  # in each of three epochs another one stands in for it
    assert equal(samples(PatchPairs(folder, scale=4, patch_size=32), reversed(range(12))), seen[::-1])
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2 and warnings[0] == warnings[1]
    assert warnings[0].startswith(f"1 of 4 training pictures left out so far, this one: cannot read {path}")


def test_a_file_without_a_header_is_left_out_at_once(folder, caplog):
    (folder / "HR/0002.png").write_bytes(b"")
    patches = PatchPairs(folder, scale=4, patch_size=32)
    assert [pair.name for pair in patches.pairs] == ["0001", "0003", "0004"]
    assert "1 of 4 training pictures left out so far" in caplog.text and "0002.png" in caplog.text


def test_of_damaged_pictures_alone_there_is_nothing_to_train_on(folder):
    for path in (folder / "HR").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    patches = PatchPairs(folder, scale=4, patch_size=32)
    for index in (0, 1):  # the second time they are known
        with pytest.raises(UserError, match=r"none of the 4 training pictures can be read; the first: .*damaged"):
            patches.sample(index)
    for path in (folder / "HR").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match="none of the 4 training pictures"):
        PatchPairs(folder, scale=4, patch_size=32)


def test_what_is_no_damage_stops_the_training(folder):
    patches = PatchPairs(folder, scale=4, patch_size=32)
    (folder / "HR/0002.png").unlink()
    with pytest.raises(UserError, match=r"no picture at .*0002\.png"):
        samples(patches, range(4))


def test_for_the_scale_one_hr_is_all(own):
    folders = find_folders(own, 1, "train")
    assert (folders.hr, folders.lr, folders.lr_up) == (own / "train/hr_32", None, None)
    patches = PatchPairs(own, scale=1, patch_size=32, flip=False, rotate=False, cache_bytes=100, lr_up=True)
    hr, lr = patches.sample(0)
    np.testing.assert_array_equal(lr, hr)
    assert not patches.cached and not patches.lr_up
    assert PatchPairs(own, scale=1, patch_size=32, cache_bytes=3 * 32 * 32 * 3).cached


def test_for_the_scale_one_hr_of_any_layout_will_do(tmp_path, photo):
    pictures = crops(photo, 3, 64, 64)
    write_pictures(tmp_path / "pairs/HR", pictures, ["1.png", "2.png", "3.png"])
    write_pictures(tmp_path / "pairs/LR", [hr[::4, ::4] for hr in pictures], ["1x4.png", "2x4.png", "3x4.png"])
    arguments = ["--root", tmp_path / "pairs", "--dataset", "folder", "--output", tmp_path / "out", "--workers", "1"]
    assert main([str(argument) for argument in [*arguments, "--patch-size", "32", "--stride", "32"]]) == 0
    for folder, count, high in (("pairs", 3, "HR"), ("out", 8, "X1")):
        patches = PatchPairs(tmp_path / folder, scale=1, patch_size=32)
        assert len(patches) == count
        assert all(pair.hr.parent.name == high and pair.lr is None for pair in patches.pairs)
        np.testing.assert_array_equal(*patches.sample(0))


@pytest.mark.parametrize("cache_bytes", [1 << 20, 100])
@pytest.mark.parametrize("side", [32, 16])
def test_patches_of_all_three_lie_in_the_same_place(port, side, cache_bytes):
    patches = PatchPairs(port, scale=4, patch_size=side, cache_bytes=cache_bytes, lr_up=True)
    assert patches.lr_up
    for index in range(12):
        hr, lr, lr_up = patches.sample(index)
        assert hr.shape == lr_up.shape == (side, side, 3) and lr.shape == (side // 4, side // 4, 3)
        np.testing.assert_array_equal(lr_up, 255 - hr)
    assert len(PatchPairs(port, scale=4, patch_size=side).sample(0)) == 2


def test_the_cache_counts_lr_up(port):
    total = 3 * 3 * (32 * 32 * 2 + 8 * 8)
    for count, cached in ((total, True), (total - 1, False)):
        assert PatchPairs(port, scale=4, patch_size=32, cache_bytes=count, lr_up=True).cached == cached


def test_whole_pictures_where_the_patch_is_as_large(own):
    patches = PatchPairs(own, scale=4, patch_size=32, flip=False, rotate=False, lr_up=True)
    whole = [load_pair(pair, 4)[0].tobytes() for pair in find_pairs(own, scale=4, split="train")]
    assert sorted(patches.sample(index)[0].tobytes() for index in range(3)) == sorted(whole)


REAL = dict(kind="real", blur_sigma=(0.2, 0.3), noise_range=(0.0, 1.0), poisson_scale_range=(0.0, 0.01))


@pytest.fixture
def degradation():
    """Return a degradation that leaves pictures recognisable."""
    mild = DegradationConfig(
        **REAL, noise_range2=(0.0, 1.0), poisson_scale_range2=(0.0, 0.01), resize_range=(0.9, 1.1), sinc_prob=0.0,
        resize_range2=(0.9, 1.1), jpeg_range=(95, 95), jpeg_range2=(95, 95), second_blur_prob=0.0, final_sinc_prob=0.0,
    )  # fmt: skip
    return degradation_of(mild)


def test_a_degraded_sample_depends_on_seed_and_number_alone(folder, degradation):
    def patches(seed=5, **options):
        return PatchPairs(folder, scale=4, patch_size=32, seed=seed, degradation=degradation, **options)

    expected = samples(patches(), range(12))
    assert {hr.shape for hr, _ in expected} == {(32, 32, 3)} and {lr.shape for _, lr in expected} == {(8, 8, 3)}
    assert expected[0][1].dtype == np.uint8
    for other in (patches(), patches(cache_bytes=100)):
        assert equal(samples(other, reversed(range(12))), expected[::-1])
    with ThreadPoolExecutor(4) as pool:
        assert equal(list(pool.map(patches().sample, range(12))), expected)
    assert not equal(samples(patches(seed=6), range(12)), expected)
    whole = samples(patches(), [0, len(patches())])  # a picture is degraded anew each time
    assert not np.array_equal(whole[0][1], whole[1][1])


@pytest.mark.parametrize(("scale", "side"), [(4, 32), (3, 33), (1, 16)])
def test_degraded_lr_is_of_the_hr_patch_whatever_its_turn(tmp_path, photo, degradation, scale, side):
    """Pictures that are larger than what is degraded, smaller than that, and of sizes that no scale divides."""
    write_pictures(tmp_path, [photo[60:260, 100:300], photo[60:103, 150:251], photo[100:135, 150:187]])
    patches = PatchPairs(tmp_path, scale=scale, patch_size=side, degradation=degradation)
    assert not patches.lr_up
    for index in range(36):
        hr, lr = patches.sample(index)
        assert hr.shape == (side, side, 3) and lr.shape == (side // scale, side // scale, 3)
        errors = []
        for turns in range(4):
            for candidate in (np.rot90(hr, turns), np.rot90(hr, turns)[:, ::-1]):
                small = interpolate(candidate.astype(np.float32), "area", size=lr.shape[:2])
                errors.append(np.abs(small - lr).mean())
        assert errors[0] < 16 and errors[0] == min(errors)


def test_lr_that_is_there_is_not_looked_at(folder, photo, degradation):
    (folder / "LR/0003.png").unlink()
    before = samples(PatchPairs(folder, scale=4, patch_size=32, degradation=degradation), range(4))
    write_pictures(folder / "LR", [np.zeros((16, 20, 3), np.uint8)] * 4)
    assert equal(samples(PatchPairs(folder, scale=4, patch_size=32, degradation=degradation), range(4)), before)


def test_hr_may_be_sharpened(folder, degradation):
    both = [replace(degradation, gt_usm=usm) for usm in (False, True)]
    both = [samples(PatchPairs(folder, scale=4, patch_size=32, degradation=each), range(8)) for each in both]
    for part in (0, 1):  # LR is made of the sharpened HR
        plain, sharp = (np.concatenate([sample[part].ravel() for sample in each]).astype(float) for each in both)
        assert sharp.std() > plain.std() and np.corrcoef(sharp, plain)[0, 1] > 0.95 and (sharp != plain).mean() > 0.2


def test_pairs_are_degraded_by_seed_and_number(folder, degradation):
    pairs = find_pairs(folder, scale=1)
    one, again, other = (degraded(pairs, degradation, seed) for seed in (1, 1, 2))
    for number in range(4):
        hr, lr = load_pair(one[number], 4)
        assert lr.shape == (16, 20, 3) and np.array_equal(hr, load_pair(pairs[number], 4)[0])
        np.testing.assert_array_equal(lr, load_pair(again[number], 4)[1])
        np.testing.assert_array_equal(lr, degradation(hr, 4, generator(1, VALIDATION, number)))
        assert (lr != load_pair(other[number], 4)[1]).any()
