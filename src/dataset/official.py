"""Under which names the public data sets lie when they are unpacked."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """One form in which a data set is given out.

    Attributes:
        train: the folder of HR pictures to train on; "A/B" is the folder B of a folder A.
        val: that of those to validate on; empty where there are none.
        train_lr, val_lr: folders of official LR pictures with one subfolder per scale; empty where there are none.
        subfolders: the pictures may lie in subfolders of ``train`` and ``val``.
        beside: ``val`` is looked for where ``train`` is, and nowhere else: others have folders of that name, too.
        val_from: pictures whose names are numbers from this one on are to validate on; None where no number tells.
    """

    train: str
    val: str = ""
    train_lr: str = ""
    val_lr: str = ""
    subfolders: bool = False
    beside: bool = False
    val_from: int | None = None


# The README of github.com/NVlabs/ffhq-dataset: 70,000 pictures in folders of 1000, the last 10,000 for validation.
_FFHQ = {"subfolders": True, "val_from": 60_000}

# data set: its forms; the first that is there is taken
OFFICIAL = {
    "div2k": (
        Layout("DIV2K_train_HR", "DIV2K_valid_HR", "DIV2K_train_LR_bicubic", "DIV2K_valid_LR_bicubic"),
    ),
    "flickr2k": (Layout("Flickr2K_HR", train_lr="Flickr2K_LR_bicubic"),),
    "ffhq": (Layout("images1024x1024", **_FFHQ), Layout("thumbnails128x128", **_FFHQ)),
    "celebahq": (
        Layout("CelebA-HQ-img"),  # CelebAMask-HQ
        Layout("celeba_hq/train", "celeba_hq/val", subfolders=True),  # StarGAN v2: female/ and male/ in each
        Layout("celeba_hq_256"),  # as resized for Kaggle
        Layout("data1024x1024"),
        Layout("data256x256"),
    ),
    "imagenet": (
        Layout("CLS-LOC/train", "CLS-LOC/val", subfolders=True),  # ILSVRC/Data/CLS-LOC
        Layout("ILSVRC2012_img_train", "ILSVRC2012_img_val", subfolders=True),  # named as the archives are
        Layout("train", "val", subfolders=True, beside=True),
    ),
}  # fmt: skip
DATASETS = (*OFFICIAL, "folder")
