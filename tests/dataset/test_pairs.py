"""HR pictures and their partners in every layout; folders of squares, this project's own and the PyTorch port's."""

import numpy as np
import pytest

from src.dataset.layouts import find_folders
from src.dataset.matching import Pair
from src.dataset.pairs import check_headers, find_pairs, load_lr_up, load_pair, shared_pictures
from src.dataset.patches import PatchPairs
from src.errors import UserError
from src.imaging.io import read_rgb
from tests.dataset.pictures import crops, quarter, write_pictures


@pytest.fixture
def pictures(photo):
    return crops(photo, 3)


def write_split(folder, pictures, high="HR", low="LR", ending=""):
    write_pictures(folder / high, pictures)
    names = [f"{number:04d}{ending}.png" for number in range(1, len(pictures) + 1)]
    write_pictures(folder / low, [quarter(picture) for picture in pictures], names)
    return folder


@pytest.mark.parametrize(
    ("inside", "high", "low"),
    [
        ("", "HR", "LR"),
        ("", "hr", "lr"),
        ("x4", "HR", "LR"),
        ("X4", "HR", "LR"),
        ("", "X1", "X4"),
        ("val", "X1", "X4"),
    ],
)
def test_layouts(tmp_path, pictures, inside, high, low):
    write_split(tmp_path / inside, pictures, high, low)
    pairs = find_pairs(tmp_path, scale=4)
    assert [pair.name for pair in pairs] == ["0001", "0002", "0003"]
    assert all(pair.lr.parent == tmp_path / inside / low for pair in pairs)


def test_the_split_of_a_preprocessed_root(tmp_path, pictures):
    write_split(tmp_path / "train", pictures, "X1", "X4")
    write_split(tmp_path / "val", pictures[:1], "X1", "X4")
    assert len(find_pairs(tmp_path, scale=4)) == 1
    assert len(find_pairs(tmp_path, scale=4, split="train")) == 3
    assert len(find_pairs(tmp_path, scale=4, split="test")) == 1  # val's, there is no test
    write_split(tmp_path / "test", pictures[:2], "X1", "X4")
    assert len(find_pairs(tmp_path, scale=4, split="test")) == 2
    assert len(find_pairs(tmp_path, scale=4)) == 1


def test_shared_pictures_are_the_same_files_not_the_same_names(tmp_path, pictures, monkeypatch):
    write_pictures(tmp_path / "a ü", pictures)
    write_pictures(tmp_path / "b", pictures)
    (tmp_path / "link").symlink_to(tmp_path / "a ü")
    monkeypatch.chdir(tmp_path)
    pairs = find_pairs(tmp_path / "a ü")
    assert shared_pictures(pairs, find_pairs("link")[1:]) == pairs[1:]
    assert shared_pictures(pairs, find_pairs("b")) == []


def test_hr_without_lr_and_plain_pictures(tmp_path, pictures):
    write_pictures(tmp_path / "a" / "HR", pictures)
    write_pictures(tmp_path / "b", pictures)
    for data in ("a", "b"):
        assert [pair.lr for pair in find_pairs(tmp_path / data, scale=4)] == [None] * 3


def test_pictures_in_subfolders_have_the_folder_in_their_name(tmp_path, pictures):
    write_pictures(tmp_path / "one", pictures[:1])
    write_pictures(tmp_path / "two", pictures[:2])
    assert [pair.name for pair in find_pairs(tmp_path)] == ["one_0001", "two_0001", "two_0002"]


def test_subfolders_of_lr_alone_are_refused(tmp_path, pictures):
    write_pictures(tmp_path / "DIV2K_valid_LR", pictures)
    with pytest.raises(UserError, match="its subfolder DIV2K_valid_LR looks like LR pictures"):
        find_pairs(tmp_path)


def test_set5(shared):
    for scale in (2, 3, 4):
        pairs = find_pairs(shared / "data/val/Set5", scale=scale)
        assert [pair.name for pair in pairs] == [f"img_00{number}" for number in range(1, 6)]
        hr, lr = load_pair(pairs[0], scale)
        assert hr.shape[0] == lr.shape[0] * scale and hr.shape[1] == lr.shape[1] * scale


@pytest.mark.parametrize("ending", ["x4", "_x4", "_LR", "LR", "-lr_x4", "_SRF_4_LR"])
def test_usual_endings_of_names(tmp_path, pictures, ending):
    write_split(tmp_path, pictures, ending=ending)
    pairs = find_pairs(hr=tmp_path / "HR", lr=tmp_path / "LR", scale=4)
    assert [pair.lr.name for pair in pairs] == [f"000{number}{ending}.png" for number in (1, 2, 3)]


def test_an_lr_folder_with_one_subfolder_per_scale(tmp_path, pictures):
    write_split(tmp_path, pictures, low="LR_bicubic/X4", ending="x4")
    pairs = find_pairs(hr=tmp_path / "HR", lr=tmp_path / "LR_bicubic", scale=4)
    assert pairs[0].lr == tmp_path / "LR_bicubic/X4/0001x4.png"


def test_a_name_that_is_nothing_but_an_ending_is_kept(tmp_path, pictures):
    write_pictures(tmp_path / "HR", pictures[:1], ["x4.png"])
    write_pictures(tmp_path / "LR", [quarter(pictures[0])], ["x4.png"])
    assert [pair.name for pair in find_pairs(tmp_path, scale=4)] == ["x4"]


def test_natural_order_spaces_and_other_alphabets(tmp_path, pictures):
    names = ["фото 10.png", "фото 2.png", "図²1.png"]
    write_pictures(tmp_path / "a folder", pictures, names)
    assert [pair.hr.name for pair in find_pairs(tmp_path / "a folder")] == ["фото 2.png", "фото 10.png", "図²1.png"]


def test_same_stem_in_a_plain_folder_gives_different_names(tmp_path, pictures):
    write_pictures(tmp_path, pictures[:2], ["a.png", "a.bmp"])
    assert sorted(pair.name for pair in find_pairs(tmp_path)) == ["a.bmp", "a.png"]


def test_a_missing_partner_is_named(tmp_path, pictures):
    write_split(tmp_path, pictures)
    (tmp_path / "LR/0002.png").unlink()
    with pytest.raises(UserError, match=r"0002\.png .* no partner"):
        find_pairs(tmp_path)
    (tmp_path / "HR/0002.png").unlink()
    (tmp_path / "HR/0003.png").unlink()
    with pytest.raises(UserError, match=r"0003\.png .* no partner"):
        find_pairs(tmp_path)


def test_two_files_for_one_partner_are_refused(tmp_path, pictures):
    write_split(tmp_path, pictures)
    write_pictures(tmp_path / "LR", [quarter(pictures[0])], ["0001x4.png"])
    with pytest.raises(UserError, match=r"0001\.png and 0001x4\.png"):
        find_pairs(tmp_path)


def test_x1_without_the_scale_is_refused(tmp_path, pictures):
    write_split(tmp_path, pictures, "X1", "X2")
    with pytest.raises(UserError, match="no X4"):
        find_pairs(tmp_path, scale=4)


def test_bad_folders(tmp_path, pictures):
    write_pictures(tmp_path / "HR", pictures)
    (tmp_path / "empty").mkdir()
    for arguments in (
        {"data": tmp_path / "absent"},
        {"data": tmp_path / "empty"},
        {"data": tmp_path / "HR/0001.png"},
        {"hr": tmp_path / "HR", "lr": tmp_path / "empty"},
        {"hr": tmp_path / "HR", "lr": tmp_path / "absent"},
        {"lr": tmp_path / "HR"},
        {"data": tmp_path, "hr": tmp_path},
        {},
    ):
        with pytest.raises(UserError):
            find_pairs(**arguments)


def test_lr_is_made_from_hr_cropped_to_a_multiple(tmp_path, photo):
    path = write_pictures(tmp_path, [photo[:63, :82]]) / "0001.png"
    hr, lr = load_pair(Pair("a", path), 4)
    assert np.array_equal(hr, photo[:60, :80])
    assert np.array_equal(lr, quarter(photo[:60, :80]))


def test_an_lr_made_without_cropping_is_cropped(tmp_path, photo):
    write_pictures(tmp_path / "HR", [photo[:63, :82]])
    write_pictures(tmp_path / "LR", [photo[:16, :21]])
    hr, lr = load_pair(find_pairs(tmp_path)[0], 4)
    assert hr.shape == (60, 80, 3)
    assert np.array_equal(lr, photo[:15, :20])


def test_sizes_that_do_not_fit(tmp_path, photo):
    write_pictures(tmp_path / "HR", [photo[:64, :80], photo[:3, :80]])
    write_pictures(tmp_path / "LR", [photo[:32, :40], photo[:1, :20]])
    wrong_scale, too_small = find_pairs(tmp_path, scale=4)
    with pytest.raises(UserError, match="20×16.*40×32"):
        load_pair(wrong_scale, 4)
    for pair in (too_small, Pair("made", too_small.hr)):
        with pytest.raises(UserError, match="smaller than the scale"):
            load_pair(pair, 4)


def test_a_truncated_file_is_named(tmp_path, photo):
    path = write_pictures(tmp_path, [photo]) / "0001.png"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"0001\.png"):
        load_pair(find_pairs(tmp_path)[0], 4)


def test_official_files_are_read_unchanged(tmp_path, pictures):
    write_split(tmp_path, pictures)
    pair = find_pairs(tmp_path)[1]
    hr, lr = load_pair(pair, 4)
    assert np.array_equal(hr, pictures[1]) and np.array_equal(lr, read_rgb(pair.lr))


@pytest.mark.parametrize(("high", "low"), [("X1", "X4"), ("HR", "LR")])
def test_at_scale_1_hr_alone_is_looked_at(tmp_path, pictures, high, low):
    write_split(tmp_path, pictures, high, low)
    pairs = find_pairs(tmp_path, scale=1)
    assert [(pair.hr.parent.name, pair.lr) for pair in pairs] == [(high, None)] * 3
    hr, lr = load_pair(pairs[0], 1)
    assert hr is lr and np.array_equal(hr, pictures[0])


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
