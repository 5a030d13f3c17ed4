"""Folders of squares as they are read: this project's own, and those of the PyTorch port's prepare_data.py."""

import numpy as np
import pytest

from src.dataset.batches import make_batch, training_batches
from src.dataset.div2k_preprocess import main
from src.dataset.pairs import check_headers, find_folders, find_pairs, load_lr_up, load_pair
from src.dataset.patches import PatchPairs
from src.errors import UserError
from tests.dataset.pictures import crops, write_pictures


@pytest.fixture
def port(tmp_path, photo):
    """Return a folder as the port writes it, whose LR↑ is a picture of its own, so that it is known again."""
    squares = [picture[:32, :32] for picture in crops(photo, 3)]
    names = [f"{number:05d}.png" for number in range(3)]
    write_pictures(tmp_path / "celebahq_8_32/hr_32", squares, names)
    write_pictures(tmp_path / "celebahq_8_32/lr_8", [square[::4, ::4] for square in squares], names)
    write_pictures(tmp_path / "celebahq_8_32/sr_8_32", [255 - square for square in squares], names)
    return tmp_path / "celebahq_8_32"


@pytest.fixture(scope="module")
def own(tmp_path_factory, photo):
    """Return an output of this project's own command."""
    root = tmp_path_factory.mktemp("faces ü")
    write_pictures(root / "in", crops(photo, 4))
    arguments = ["--root", root / "in", "--dataset", "folder", "--output", root / "out", "--sizes", "8,32"]
    assert main([str(argument) for argument in [*arguments, "--workers", "1"]]) == 0
    return root / "out"


def test_the_port_s_triples_are_taken_as_given(port):
    pairs = find_pairs(port, scale=4)
    assert [pair.name for pair in pairs] == ["00000", "00001", "00002"]
    for pair in pairs:
        hr, lr = load_pair(pair, 4)
        np.testing.assert_array_equal(lr, hr[::4, ::4])
        np.testing.assert_array_equal(load_lr_up(pair, (32, 32)), 255 - hr)
        assert check_headers(pair, 4) == ((32, 32), (8, 8))


def test_what_a_folder_of_squares_lacks_is_made(port):
    for part in ("sr_8_32", "lr_8"):
        for path in (port / part).iterdir():
            path.unlink()
        (port / part).rmdir()
        (pair, *_) = find_pairs(port, scale=4)
        assert pair.lr_up is None
    assert pair.lr is None and load_pair(pair, 4)[1].shape == (8, 8, 3)


def test_the_split_of_an_output_is_found(own):
    for split, count in (("train", 3), ("val", 1), ("test", 1)):
        pairs = find_pairs(own, scale=4, split=split)
        assert len(pairs) == count and all(pair.lr_up is not None for pair in pairs)
    assert find_folders(own / "val", 4).lr_up == own / "val/sr_8_32"


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


def test_another_scale_is_refused(own, port):
    for folder in (own, port):
        with pytest.raises(UserError, match=r"hr_N with its lr_N/8 for scale 8, but holds hr_32, lr_8, sr_8_32"):
            find_pairs(folder, scale=8)


def test_of_several_sizes_the_one_that_fits(port, photo):
    write_pictures(port / "hr_64", [photo[:64, :64]])
    assert find_folders(port, 4).hr == port / "hr_32"
    with pytest.raises(UserError, match="one hr_N for scale 1, but holds hr_32, hr_64"):
        find_folders(port, 1)


def test_an_lr_up_that_is_missing_or_of_another_size_is_named(port, photo):
    write_pictures(port / "sr_8_32", [photo[:30, :32]], ["00001.png"])
    with pytest.raises(UserError, match=r"sr_8_32/00001\.png should be 32×32, .* but is 32×30"):
        PatchPairs(port, scale=4, patch_size=32, lr_up=True)
    with pytest.raises(UserError, match="32×30"):
        load_lr_up(find_pairs(port, scale=4)[1], (32, 32))
    (port / "sr_8_32/00001.png").unlink()
    with pytest.raises(UserError, match=r"00001\.png .* no partner"):
        find_pairs(port, scale=4)
    for path in (port / "sr_8_32").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="no pictures"):
        find_pairs(port, scale=4)


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


def test_batches_end_with_lr_up(port):
    patches = PatchPairs(port, scale=4, patch_size=16, lr_up=True)
    for steps, names in ((50, ["hr", "lr", "t", "noise", "lr_up"]), (None, ["hr", "lr", "lr_up"])):
        (row,) = training_batches(patches, batch_size=2, batches=1, noise_steps=steps).create_dict_iterator(
            output_numpy=True
        )
        assert list(row) == names
        np.testing.assert_allclose(row["lr_up"], -row["hr"], atol=1e-6)
        for given, made in zip(make_batch(patches, 0, 2, steps), row.values(), strict=True):
            np.testing.assert_array_equal(given, made)
