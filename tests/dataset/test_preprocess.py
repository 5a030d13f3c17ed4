"""The plan of an output, its patches and its squares."""

import numpy as np
import pytest

from src.dataset.manifest import same_plan
from src.dataset.pairs import Pair
from src.dataset.preprocess import make_plan, square, tile_corners
from src.errors import UserError
from src.imaging.resize import area_resize, imresize
from tests.dataset.pictures import write_pictures

OPTIONS = {"scale": 4, "patch_size": 32, "stride": 24}


@pytest.mark.parametrize(
    ("height", "width", "patch_size", "stride", "corners"),
    [
        (8, 8, 8, 4, [(0, 0)]),
        (8, 12, 8, 4, [(0, 0), (0, 4)]),
        (8, 20, 8, 8, [(0, 0), (0, 8), (0, 12)]),
        (12, 9, 8, 8, [(0, 0), (0, 1), (4, 0), (4, 1)]),
        (7, 100, 8, 4, [(0, 0)]),
    ],
)
def test_tile_corners(height, width, patch_size, stride, corners):
    assert tile_corners(height, width, patch_size, stride) == corners


@pytest.mark.parametrize("stride", [4, 12, 20, 32])
@pytest.mark.parametrize("size", [(32, 32), (36, 100), (64, 68), (96, 132)])
def test_tiles_cover_the_picture_and_stay_inside(size, stride):
    covered = np.zeros(size, bool)
    corners = tile_corners(*size, 32, stride)
    for top, left in corners:
        assert 0 <= top <= size[0] - 32 and 0 <= left <= size[1] - 32
        covered[top : top + 32, left : left + 32] = True
    assert covered.all()
    assert len(set(corners)) == len(corners)


def test_every_training_patch_lies_in_a_tile_of_the_default_size():
    corners = [left for _, left in tile_corners(480, 2040, 480, 320)]
    for left in range(0, 2040 - 160 + 1):
        assert any(corner <= left and left + 160 <= corner + 480 for corner in corners)


@pytest.fixture
def sources(tmp_path, photo):
    write_pictures(tmp_path / "p", [photo[:66, :90], photo[:33, :33], photo[:30, :90], photo[:3, :3], photo[:64, :64]])
    pairs = [Pair(path.stem, path) for path in sorted((tmp_path / "p").iterdir())]
    return {"train": pairs[:4], "val": pairs[4:]}


def test_numbers_are_contiguous_and_headers_decide(tmp_path, sources):
    plan = make_plan(sources, tmp_path, OPTIONS)
    train = plan["splits"]["train"]["sources"]
    assert [entry["name"] for entry in train] == ["p/0001.png", "p/0002.png", "p/0003.png", "p/0004.png"]
    assert [entry["tile"] for entry in train] == [[32, 32], [32, 32], [28, 88], None]
    assert [(entry["first"], entry["count"]) for entry in train] == [(0, 12), (12, 1), (13, 1), (14, 0)]
    assert [bool(entry["error"]) for entry in train] == [False, False, False, True]
    (val,) = plan["splits"]["val"]["sources"]
    assert (val["size"], val["tile"], val["count"]) == ([64, 64], [64, 64], 1)
    assert plan["digits"] == 4 and plan["complete"] is False


def test_more_than_ten_thousand_pictures_get_more_digits(tmp_path, photo):
    path = write_pictures(tmp_path, [photo]) / "0001.png"
    sources = {"train": [Pair("a", path)] * 3, "val": []}
    options = {"scale": 4, "patch_size": 32, "stride": 8}  # 61 × 61 patches of each
    assert make_plan(sources, tmp_path, options)["digits"] == 5


def test_same_plan_ignores_only_what_happened(tmp_path, sources):
    plan, other = make_plan(sources, tmp_path, OPTIONS), make_plan(sources, tmp_path, OPTIONS)
    other["complete"] = True
    other["splits"]["train"]["sources"][0]["error"] = "truncated"
    assert same_plan(plan, other)
    assert not same_plan(plan, make_plan(sources, tmp_path, OPTIONS | {"stride": 32}))
    other["splits"]["train"]["sources"][1]["size"] = [34, 33]
    assert not same_plan(plan, other)


def test_only_training_pictures_are_cut_and_a_split_more_is_another_plan(tmp_path, sources):
    plan = make_plan(sources, tmp_path, OPTIONS)
    tested = make_plan(sources | {"test": sources["train"][:1]}, tmp_path, OPTIONS)
    assert list(tested["splits"]) == ["train", "val", "test"]
    (entry,) = tested["splits"]["test"]["sources"]
    assert (entry["tile"], entry["first"], entry["count"]) == ([64, 88], 0, 1)
    assert list(plan["splits"]) == ["train", "val"]
    assert not same_plan(plan, tested) and not same_plan(tested, plan)


def test_nothing_that_can_be_used(tmp_path, photo):
    path = write_pictures(tmp_path, [photo[:3, :3]]) / "0001.png"
    with pytest.raises(UserError, match=r"none of the 1 .*0001\.png"):
        make_plan({"train": [Pair("a", path)], "val": []}, tmp_path, OPTIONS)


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
