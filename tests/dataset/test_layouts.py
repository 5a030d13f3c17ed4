"""HR and LR in the layouts that people give data sets out in: docs/layouts.md."""

import logging

import numpy as np
import pytest
from PIL import Image

from src.dataset.div2k_preprocess import main
from src.dataset.layouts import WORDS
from src.dataset.pairs import find_pairs, find_picture_set, list_pictures, load_pair
from src.dataset.patches import PatchPairs
from src.dataset.sources import find_sources
from src.errors import UserError
from src.imaging.io import write_image
from tests.dataset.pictures import crops, quarter, write_pictures

NAMES = ("baby", "bird")


@pytest.fixture
def lay(tmp_path, photo):
    """Return a function that writes two HR pictures, or their LR of a scale, as "FOLDER/{}ending.png" says."""

    def write(*patterns):
        for pattern, scale in patterns:
            for name, hr in zip(NAMES, crops(photo, 2), strict=True):
                write_image(tmp_path / f"{pattern.format(name)}.png", hr if scale == 1 else quarter(hr, scale))
        return tmp_path

    return write


def folders(root, **options):
    """Return what is paired, [HR file, LR file], and left aside, as paths below the root."""
    found = find_picture_set(root, **options)
    pairs = [[str(path.relative_to(root)) for path in (pair.hr, pair.lr) if path] for pair in found.pairs]
    return pairs, {str(folder.relative_to(root)): count for folder, count in found.aside.items()}


# HR, its LR of scale 4, and what else is there
LAYOUTS = {
    "ours": ("HR/{}", "LR/{}", {}),
    "ours by scale": ("x4/HR/{}", "x4/LR/{}", {"x2/HR/{}": 1, "x2/LR/{}": 2}),
    "BasicSR": ("Set5/GTmod12/{}", "Set5/LRbicx4/{}", {"Set5/LRbicx2/{}": 2, "Set5/original/{}": 1}),
    "BasicSR's training": ("GT/{}", "LQ/{}", {}),
    "its subimages": ("DIV2K_train_HR_sub/{}_s001", "DIV2K_train_LR_bicubic/X4_sub/{}_s001", {}),
    "MMSR": ("GTmod12/{}", "bicLRx4/{}", {}),
    "GFPGAN and others": ("HQ/{}_hq", "LQ/{}_lq", {}),
    "EDSR": ("Set5/HR/{}", "Set5/LR_bicubic/X4/{}x4", {"Set5/LR_bicubic/X2/{}x2": 2}),
    "RCAN": ("HR/Set5/x4/{}_HR_x4", "LRBI/Set5/x4/{}_LRBI_x4", {"LRBD/Set5/x4/{}_LRBD_x4": 4}),
    "DIV2K": (
        "DIV2K_valid_HR/{}",
        "DIV2K_valid_LR_bicubic/X4/{}x4",
        {"DIV2K_valid_LR_unknown/X4/{}x4": 4, "DIV2K_valid_LR_mild/{}x4m": 4, "DIV2K_train_HR/{}": 1},
    ),
    "DIV2K unknown": ("DIV2K_valid_HR/{}", "DIV2K_valid_LR_unknown/X4/{}x4", {}),
    "DIV2K mild": ("DIV2K_valid_HR/{}", "DIV2K_valid_LR_mild/{}x4m", {}),
    "LR_x4": ("HR/{}", "LR_x4/{}", {"LR_x2/{}": 2}),
    "HR without a folder": ("{}", "LR/{}", {}),
    "other words": ("my GT/{}", "LR of a phone/{}", {}),
    "RealSR": ("{}_HR", "{}_LR4", {}),
    "SelfExSR": ("Set5/image_SRF_4/{}_SRF_4_HR", "Set5/image_SRF_4/{}_SRF_4_LR", {"Set5/image_SRF_4/{}_SRF_4_A": 1}),
    "a folder named by the scale": ("HR/{}", "X4/{}", {"X2/{}": 2}),
    "one folder": ("{}", "{}x4", {}),
    "prefixes": ("HR_{}", "LR_{}", {}),
    "sizes alone": ("a/{}", "b/{}", {}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout(lay, layout):
    high, low, others = LAYOUTS[layout]
    root = lay((high, 1), (low, 4), *others.items())
    pairs, aside = folders(root, scale=4, split="test")
    assert pairs == [[f"{part.format(name)}.png" for part in (high, low)] for name in NAMES]
    assert aside == {other.rpartition("/")[0]: 2 for other in others}
    for pair in find_pairs(root, scale=4, split="val"):
        hr, lr = load_pair(pair, 4)
        np.testing.assert_array_equal(lr, quarter(hr))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_at_scale_1_they_give_hr_alone(lay, layout):
    if layout == "sizes alone":
        pytest.skip("without a scale nothing tells HR from LR")
    high, low, _ = LAYOUTS[layout]
    pairs, _ = folders(lay((high, 1), (low, 4)), scale=1)
    assert pairs == [[f"{high.format(name)}.png"] for name in NAMES]


def test_docs_show_every_layout_and_word(request):
    text = (request.config.rootpath / "docs/layouts.md").read_text(encoding="utf-8")
    for high, low, _ in LAYOUTS.values():
        for part in (high, low):
            folder = part.rpartition("/")[0]
            assert folder in text, folder
    assert len(WORDS) == text.split("## Words")[1].split("## ")[0].count("\n| `")


def test_of_several_versions_plain_then_bicubic_is_taken_and_the_rest_told(lay, caplog):
    caplog.set_level(logging.INFO)
    root = lay(("HR/{}", 1), ("LR_unknown/X4/{}", 4), ("LR_bicubic/X4/{}", 4))
    assert find_pairs(root)[0].lr.parent == root / "LR_bicubic/X4"
    assert caplog.messages == [
        f"2 HR pictures in {root}/HR; LR in {root}/LR_bicubic/X4, paired by folder and name; left aside: "
        f"{root}/LR_unknown/X4 (2)"
    ]
    lay(("LR/{}", 4))
    assert find_pairs(root)[0].lr.parent == root / "LR"


def test_lr_of_other_scales_and_beside_a_folder_of_hr_is_told(lay):
    root = lay(("DIV2K_valid_HR/{}", 1), ("DIV2K_valid_LR_unknown/X2/{}x2", 2), ("DIV2K_train_LR_mild/{}x4m", 4))
    line, *_ = find_picture_set(root, scale=3).told(3)
    assert line.endswith("; LR is made by bicubic; left aside: " + ", ".join(
        f"{root}/{name} (2)" for name in ("DIV2K_train_LR_mild", "DIV2K_valid_LR_unknown/X2")
    ))  # fmt: skip
    for named in ({"hr": root / "DIV2K_valid_HR"}, {"data": root / "DIV2K_valid_HR"}):
        found = find_picture_set(**named, scale=4)
        assert found.pairs[0].lr is None
        assert found.aside == {root / "DIV2K_valid_LR_unknown/X2": 2}


@pytest.mark.parametrize(("high", "low"), [("{}", "small_of_{}"), ("a/{}", "b/other {}"), ("a/{}", "a/b/c/a {}")])
def test_two_sizes_a_scale_apart_are_never_scored_unpaired(lay, high, low):
    root = lay((high, 1), (low, 4))
    if low.startswith("a/"):  # those below pictures are left aside, and said
        assert folders(root / "a") == ([["baby.png"], ["bird.png"]], {"b/c": 2})
        return
    with pytest.raises(UserError, match=r"4 times apart, such as .*\(80×64\) and .*\(20×16\), .*--hr DIR --lr DIR"):
        find_picture_set(root)
    for chosen in ({"data": root, "scale": 3}, {"data": root, "scale": 1}, {"hr": root}):  # not apart; not paired; said
        assert len(find_picture_set(**chosen).pairs) == 4


def test_hr_of_several_sizes_in_a_folder_that_says_so_is_hr(lay):
    root = lay(("HR/{}", 1), ("HR/small_{}", 4))
    assert len(find_pairs(root)) == len(find_pairs(root / "HR")) == 4


def test_a_small_picture_among_many_is_no_pair(lay, photo):
    root = lay(("{}", 1))
    write_pictures(root, [photo[:20, :300], photo[:50, :300], photo[:16, :20]], ["c.png", "d.png", "thumb.png"])
    with pytest.raises(UserError, match="4 times apart"):
        find_pairs(root)
    write_pictures(root, [photo[:32, :90]], ["e.png"])
    assert len(find_pairs(root)) == 6


def test_several_sets_at_once(lay):
    root = lay(("Set5/HR/{}", 1), ("Set5/LR/{}", 4), ("Set14/HR/{}", 1), ("Set14/LR/{}", 4))
    assert [pair.name for pair in find_pairs(root)] == [f"Set{n}_HR_{name}" for n in (14, 5) for name in NAMES]
    for path in (root / "Set14/LR").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"holds LR of .*Set5/HR, but none of .*Set14/HR: name one of them"):
        find_pairs(root)


def test_results_below_pictures_are_no_lr_of_theirs(lay):
    root = lay(("{}", 4), ("results_x4/{}", 1), ("x4/other_{}", 1))
    assert folders(root) == ([["baby.png"], ["bird.png"]], {"results_x4": 2, "x4": 2})


def test_a_picture_beside_itself_enlarged_is_no_pair(lay, photo):
    root = lay(("{}", 1))
    write_pictures(root, [photo[:64, :64], photo[:256, :256]], ["c.png", "c_x4.png"])
    assert len(find_pairs(root)) == 4
    write_pictures(root, [photo[:16, :16]], ["c_x4.png"])
    with pytest.raises(UserError, match=r"baby\.png of .* has no partner"):
        find_pairs(root)


def test_hr_of_another_scale_alone_is_refused(lay):
    with pytest.raises(UserError, match="holds HR pictures for x2, none for x4"):
        find_pairs(lay(("x2/HR/{}", 1), ("x2/LR/{}", 2)))


def test_the_split_that_folders_name_is_taken(lay):
    root = lay(
        *((f"{split}/{part}/{{}}", scale) for split in ("train", "val") for part, scale in (("GT", 1), ("LQ", 4)))
    )
    for split, taken, left in (("train", "train", "val"), ("val", "val", "train"), ("test", "val", "train")):
        pairs, aside = folders(root, split=split)
        assert pairs[0] == [f"{taken}/GT/baby.png", f"{taken}/LQ/baby.png"] and set(aside) == {
            f"{left}/GT",
            f"{left}/LQ",
        }


def test_pictures_any_depth_below_are_taken_a_link_back_is_not_followed_and_an_output_is_passed_by(lay):
    root = lay(("a/b/c/{}", 1), ("d/{}", 1))
    (root / "a/back").symlink_to(root)
    arguments = ["--root", root, "--dataset", "folder", "--output", root / "out", "--workers", "1"]
    for _ in range(2):  # the second finds the first's output among the pictures
        assert main([*map(str, arguments), "--patch-size", "32", "--stride", "32"]) == 0
    assert [str(path.relative_to(root)) for path in list_pictures(root)] == [
        *("a/b/c/baby.png", "a/b/c/bird.png", "d/baby.png", "d/bird.png")
    ]


def test_dangling_links_further_frames_and_pictures_below_are_counted(lay, photo, caplog):
    caplog.set_level(logging.INFO)
    root = lay(("{}", 1), ("more/{}", 1))
    (root / "gone.png").symlink_to("nowhere.png")
    frames = [Image.fromarray(picture) for picture in crops(photo, 2)]
    frames[0].save(root / "film.gif", save_all=True, append_images=frames[1:])
    frames[0].save(root / "page.tif")
    assert [pair.name for pair in find_pairs(root)] == ["baby", "bird", "film", "page"]
    assert caplog.messages == [
        f"4 HR pictures in {root}; LR is made by bicubic; left aside: {root}/more (2)",
        f"links that lead nowhere, left out: 1, first {root}/gone.png",
        f"files of which the first of several frames or pages is taken: 1, first {root}/film.gif",
    ]


@pytest.mark.parametrize("layout", ["BasicSR", "EDSR", "RCAN", "RealSR", "sizes alone"])
def test_training_and_preprocessing_pair_alike(lay, layout, tmp_path_factory, caplog):
    caplog.set_level(logging.INFO)
    high, low, others = LAYOUTS[layout]
    root, output = lay((high, 1), (low, 4), *others.items()), tmp_path_factory.mktemp("out") / "out"
    given = [pair.lr for pair in find_pairs(root)]
    assert [pair.lr for pair in PatchPairs(root, scale=4, patch_size=32).pairs] == given
    sources, messages = find_sources(root, ["folder"], 4, 0)
    assert [pair.lr for pair in sources["train"]] == given
    assert f"folder: {caplog.messages[0]}" == messages[0]
    arguments = ["--root", root, "--dataset", "folder", "--output", output, "--val-count", "0", "--workers", "1"]
    assert main([*map(str, arguments), "--patch-size", "64", "--stride", "64"]) == 0
    assert messages[0] in caplog.messages


def test_official_lr_of_another_kind_is_told(lay):
    root = lay(("DIV2K_train_HR/{}", 1), ("DIV2K_train_LR_unknown/X4/{}x4", 4), ("DIV2K_train_LR_unknown/X2/{}x2", 2))
    sources, messages = find_sources(root, ["div2k"], 4, 0)
    assert sources["train"][0].lr is None
    aside = f"left aside: {root}/DIV2K_train_LR_unknown/X4 (2)"
    assert messages[0] == f"2 HR pictures in {root}/DIV2K_train_HR; LR is made by bicubic; {aside}"
    lay(("DIV2K_train_LR_bicubic/X4/{}x4", 4))
    sources, messages = find_sources(root, ["div2k"], 4, 0)
    assert sources["train"][0].lr.parent == root / "DIV2K_train_LR_bicubic/X4" and aside in messages[0]


@pytest.mark.parametrize("name", ["gtlq", "hq_lq", "basicsr", "basicsr/Set5", "rcan", "edsr", "edsr_neg", "gtlq_neg"])
def test_layouts_as_people_have_them(shared, name):
    pairs = find_pairs(shared / "field/sets" / name, scale=4)
    assert len(pairs) == 3 and all(pair.lr is not None for pair in pairs)
    for pair in pairs:
        hr, lr = load_pair(pair, 4)
        assert hr.shape[0] == 4 * lr.shape[0] and hr.shape[1] == 4 * lr.shape[1]
