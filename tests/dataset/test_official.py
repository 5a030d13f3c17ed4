"""The official folders of FFHQ, CelebA-HQ and ImageNet."""

import pytest

from src.dataset.sources import find_sources
from src.errors import UserError
from tests.dataset.pictures import write_pictures


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
