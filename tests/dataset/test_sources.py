"""Where the pictures of each data set are found, and which are set aside."""

import pytest

from src.dataset.sources import find_sources
from src.errors import UserError
from tests.dataset.pictures import crops, quarter, write_pictures


@pytest.fixture
def official(photo):
    """Return a function that writes a folder of HR pictures, or of their official LR."""
    pictures = crops(photo, 3)

    def write(folder, first=1, lr=False):
        names = [f"{first + i:04d}{'x4' * lr}.png" for i in range(3)]
        return write_pictures(folder, [quarter(p) for p in pictures] if lr else pictures, names)

    return write


def names(pairs):
    return [pair.name for pair in pairs]


@pytest.mark.parametrize(
    ("train", "train_lr", "valid"),
    [
        ("DIV2K_train_HR", "DIV2K_train_LR_bicubic/X4", "DIV2K_valid_HR"),
        ("DIV2K_train_HR/DIV2K_train_HR", "DIV2K_train_LR_bicubic/DIV2K_train_LR_bicubic/X4", "DIV2K_valid_HR"),
        ("DIV2K/DIV2K_train_HR", "DIV2K/DIV2K_train_LR_bicubic_X4/DIV2K_train_LR_bicubic/X4", "DIV2K/DIV2K_valid_HR"),
        ("div2k/div2k_train_hr", "div2k/DIV2K_TRAIN_LR_BICUBIC/x4", "a/b/DIV2K_valid_HR/DIV2K_valid_HR"),
        ("DIV2K_train_HR", "DIV2K_train_LR_bicubic_X4/X4", "DIV2K_valid_HR"),
    ],
)
def test_div2k_however_it_was_unpacked(tmp_path, official, train, train_lr, valid):
    official(tmp_path / train)
    official(tmp_path / train_lr, lr=True)
    official(tmp_path / valid, first=801)
    sources, messages = find_sources(tmp_path, ["div2k"], 4)
    assert names(sources["train"]) == ["0001", "0002", "0003"]
    assert [pair.lr.name for pair in sources["train"]] == ["0001x4.png", "0002x4.png", "0003x4.png"]
    assert names(sources["val"]) == ["0801", "0802", "0803"]
    assert [pair.lr for pair in sources["val"]] == [None] * 3
    assert messages == []


def test_the_root_may_be_the_folder_itself(tmp_path, official):
    official(tmp_path / "DIV2K_train_HR")
    sources, _ = find_sources(tmp_path / "DIV2K_train_HR", ["div2k"], 4, val_count=0)
    assert len(sources["train"]) == 3


def test_lr_of_another_scale_is_not_taken(tmp_path, official):
    official(tmp_path / "DIV2K_train_HR")
    official(tmp_path / "DIV2K_train_LR_bicubic/X2", lr=True)
    sources, _ = find_sources(tmp_path, ["div2k"], 4, val_count=0)
    assert [pair.lr for pair in sources["train"]] == [None] * 3


def test_lr_of_more_pictures_than_there_are_hr(tmp_path, official):
    official(tmp_path / "DIV2K_train_HR")
    official(tmp_path / "DIV2K_train_LR_bicubic/X4", lr=True)
    (tmp_path / "DIV2K_train_HR/0002.png").unlink()
    assert names(find_sources(tmp_path, ["div2k"], 4, val_count=0)[0]["train"]) == ["0001", "0003"]
    (tmp_path / "DIV2K_train_LR_bicubic/X4/0003x4.png").unlink()
    with pytest.raises(UserError, match=r"0003\.png .* no partner"):
        find_sources(tmp_path, ["div2k"], 4)


def test_without_validation_pictures_the_last_ones_are_set_aside(tmp_path, official):
    official(tmp_path / "Flickr2K/Flickr2K_HR", first=1)
    official(tmp_path / "Flickr2K/Flickr2K_HR", first=9)  # 9, 10, 11: 9 comes before 10 either way
    official(tmp_path / "Flickr2K/Flickr2K_LR_bicubic/X4", first=1, lr=True)
    official(tmp_path / "Flickr2K/Flickr2K_LR_bicubic/X4", first=9, lr=True)
    sources, messages = find_sources(tmp_path, ["flickr2k"], 4)
    assert (len(sources["train"]), names(sources["val"])) == (5, ["0011"])
    assert messages == ["flickr2k: no validation pictures found, the last 1 by name are set aside"]
    sources, _ = find_sources(tmp_path, ["flickr2k"], 4, val_count=2)
    assert names(sources["val"]) == ["0010", "0011"]
    assert all(pair.lr is not None for pairs in sources.values() for pair in pairs)


def test_df2k_validates_on_div2k(tmp_path, official):
    official(tmp_path / "DIV2K_train_HR")
    official(tmp_path / "DIV2K_valid_HR", first=801)
    official(tmp_path / "Flickr2K_HR", first=5)
    sources, _ = find_sources(tmp_path, ["div2k", "flickr2k"], 4)
    assert names(sources["train"]) == ["0001", "0002", "0003", "0005", "0006", "0007"]
    assert names(sources["val"]) == ["0801", "0802", "0803"]


def test_official_validation_pictures_are_the_test_where_others_are_set_aside(tmp_path, official):
    official(tmp_path / "DIV2K_train_HR")
    official(tmp_path / "DIV2K_train_LR_bicubic/X4", lr=True)
    official(tmp_path / "DIV2K_valid_HR", first=801)
    official(tmp_path / "Flickr2K_HR", first=5)
    sources, messages = find_sources(tmp_path, ["div2k", "flickr2k"], 4, val_count=1)
    found = {split: names(pairs) for split, pairs in sources.items()}
    assert found == {
        "train": ["0001", "0002", "0005", "0006"],
        "val": ["0003", "0007"],
        "test": ["0801", "0802", "0803"],
    }
    assert sources["val"][0].lr.name == "0003x4.png"
    assert messages == [
        "div2k: the last 1 training pictures by name are set aside for validation, its own validation pictures are "
        "kept for the test",
        "flickr2k: no validation pictures found, the last 1 by name are set aside",
    ]


@pytest.mark.parametrize("val_count", [None, 0])
def test_official_validation_pictures_stay_where_none_are_set_aside(tmp_path, official, val_count):
    official(tmp_path / "DIV2K_train_HR")
    official(tmp_path / "DIV2K_valid_HR", first=801)
    sources, messages = find_sources(tmp_path, ["div2k"], 4, val_count)
    assert {split: len(pairs) for split, pairs in sources.items()} == {"train": 3, "val": 3}
    assert messages == []


def test_links_that_lead_nowhere_or_in_a_circle_are_passed_by(tmp_path, official):
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "gone").symlink_to("nowhere")
    official(tmp_path / "DIV2K_train_HR")
    assert find_sources(tmp_path, ["div2k"], 4)[0]["train"]
    with pytest.raises(UserError, match="no folder Flickr2K_HR"):
        find_sources(tmp_path, ["flickr2k"], 4)


def test_any_folder(tmp_path, official):
    official(tmp_path / "plain")
    official(tmp_path / "pairs/HR")
    official(tmp_path / "pairs/LR", lr=True)
    assert names(find_sources(tmp_path / "plain", ["folder"], 4)[0]["val"]) == ["0003"]
    assert find_sources(tmp_path / "pairs", ["folder"], 4)[0]["train"][0].lr.name == "0001x4.png"


@pytest.mark.parametrize("dataset", ["div2k", "flickr2k", "folder"])
def test_what_is_not_there(tmp_path, dataset):
    with pytest.raises(UserError):
        find_sources(tmp_path, [dataset], 4)
    with pytest.raises(UserError, match="does not exist"):
        find_sources(tmp_path / "absent", [dataset], 4)


@pytest.mark.parametrize("count", [3, 4, -1])
def test_val_count_that_leaves_nothing(tmp_path, official, count):
    official(tmp_path / "DIV2K_train_HR")
    with pytest.raises(UserError, match="has 3 pictures"):
        find_sources(tmp_path / "DIV2K_train_HR", ["folder"], 4, val_count=count)
    official(tmp_path / "DIV2K_valid_HR", first=801)
    with pytest.raises(UserError, match="div2k has 3 pictures"):
        find_sources(tmp_path, ["div2k"], 4, val_count=count)


@pytest.fixture
def write(tmp_path, photo):
    """Return a function that writes tiny pictures to folders: {folder: names}."""

    def to(folders):
        for folder, names in folders.items():
            write_pictures(tmp_path / folder, [photo[:4, :4]] * len(names), names)
        return tmp_path

    return to


def found(root, dataset, **options):
    """Return {split: paths below the root} of the pictures found."""
    sources, _ = find_sources(root, [dataset], None, **options)
    return {split: [str(pair.hr.relative_to(root)) for pair in pairs] for split, pairs in sources.items()}


FFHQ = {"00000": ["00000.png", "00001.png"], "59000": ["59999.png"], "60000": ["60000.png"], "69000": ["69999.png"]}


@pytest.mark.parametrize("name", ["images1024x1024", "ffhq-dataset/thumbnails128x128"])
def test_ffhq_s_last_ten_thousand_are_to_validate_on(write, name):
    root = write({f"{name}/{folder}": names for folder, names in FFHQ.items()})
    assert found(root, "ffhq") == {
        "train": [f"{name}/00000/00000.png", f"{name}/00000/00001.png", f"{name}/59000/59999.png"],
        "val": [f"{name}/60000/60000.png", f"{name}/69000/69999.png"],
    }
    splits = found(root, "ffhq", val_count=1)
    assert [len(splits[split]) for split in ("train", "val", "test")] == [2, 1, 2]
    assert len(found(root, "ffhq", split="train")["train"]) == 5


def test_the_large_pictures_are_taken_before_the_thumbnails(write):
    root = write({"images1024x1024": ["00000.png", "00001.png"], "thumbnails128x128/00000": ["00000.png", "00001.png"]})
    assert found(root, "ffhq") == {"train": ["images1024x1024/00000.png"], "val": ["images1024x1024/00001.png"]}


def test_a_part_of_ffhq_without_its_first_pictures_is_all_for_training(write):
    root = write({"thumbnails128x128/60000": ["60000.png", "60001.png", "60002.png"]})
    splits = found(root, "ffhq")
    assert [len(splits[split]) for split in ("train", "val")] == [2, 1]


def test_a_name_that_is_no_number_is_for_training(write):
    root = write({"images1024x1024": ["face²1.png", "69999.png"]})
    assert found(root, "ffhq") == {"train": ["images1024x1024/face²1.png"], "val": ["images1024x1024/69999.png"]}


@pytest.mark.parametrize(
    "name", ["CelebAMask-HQ/CelebA-HQ-img", "celeba_hq_256", "CelebA-HQ/data1024x1024", "data256x256"]
)
def test_celeba_hq_in_one_folder(write, name):
    root = write({name: ["0.jpg", "2.jpg", "10.jpg"]})
    assert found(root, "celebahq", split="test") == {"test": [f"{name}/{number}.jpg" for number in (0, 2, 10)]}
    assert found(root, "celebahq")["val"] == [f"{name}/10.jpg"]
    assert found(root / name, "celebahq", split="test")["test"]  # the root may be the folder itself


def test_celeba_hq_by_split_and_sex(write):
    root = write(
        {f"data/celeba_hq/{split}/{sex}": ["1.jpg"] for split in ("train", "val") for sex in ("female", "male")}
    )
    splits = found(root, "celebahq")
    assert splits == {
        split: [f"data/celeba_hq/{split}/{sex}/1.jpg" for sex in ("female", "male")] for split in ("train", "val")
    }


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("ILSVRC/Data/CLS-LOC/train", "ILSVRC/Data/CLS-LOC/val"),
        ("ILSVRC2012_img_train", "ILSVRC2012_img_val"),
        ("train", "val"),
    ],
)
@pytest.mark.parametrize("sorted_val", [False, True])
def test_imagenet(write, train, val, sorted_val):
    of_val = f"{val}/n01440764" if sorted_val else val
    classes = {f"{train}/n0144{i}": [f"n0144{i}_{k}.JPEG" for k in (3, 20)] for i in range(2)}
    root = write(classes | {of_val: ["ILSVRC2012_val_00000001.JPEG"]})
    assert found(root, "imagenet") == {
        "train": [f"{folder}/{name}" for folder, names in classes.items() for name in names],
        "val": [f"{of_val}/ILSVRC2012_val_00000001.JPEG"],
    }


def test_a_val_elsewhere_is_not_imagenet_s(write):
    root = write({"imagenet/train/n01": [f"{n}.JPEG" for n in range(3)], "other/val": ["1.png"]})
    assert found(root, "imagenet")["val"] == ["imagenet/train/n01/2.JPEG"]
    assert found(write({"imagenet/val": ["1.JPEG"]}) / "imagenet/train", "imagenet")["val"] == ["n01/2.JPEG"]
    assert found(root, "imagenet")["val"] == ["imagenet/val/1.JPEG"]


def test_an_output_is_not_imagenet_s_val(write):
    root = write({"imagenet/train/n01": [f"{n}.JPEG" for n in range(3)]})
    write({"imagenet/out/val/hr_64": ["image_0000.png"]})  # an output that a second run continues
    assert found(root / "imagenet", "imagenet")["val"] == ["train/n01/2.JPEG"]


@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        ("ffhq", "images1024x1024 or thumbnails128x128"),
        ("celebahq", "CelebA-HQ-img or celeba_hq/train"),
        ("imagenet", "CLS"),
    ],
)
def test_what_is_absent_is_named(write, dataset, names):
    root = write({"somewhere else": ["1.png"]})
    with pytest.raises(UserError, match=names):
        found(root, dataset)
    (root / "images1024x1024/00000").mkdir(parents=True)
    with pytest.raises(UserError, match=names):
        found(root, dataset)


def test_several_data_sets_go_to_one_split_together(write):
    root = write(
        {"images1024x1024/00000": ["00000.png"], "images1024x1024/60000": ["60000.png"], "celeba_hq_256": ["1.png"]}
    )
    sources, messages = find_sources(root, ["ffhq", "celebahq"], None, split="test")
    assert [pair.hr.name for pair in sources["test"]] == ["00000.png", "60000.png", "1.png"] and messages == []
