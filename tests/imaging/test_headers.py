import numpy as np
import pytest
from PIL import Image

from src.errors import UserError
from src.imaging.io import picture_size, read_rgb

PICTURE = Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_size_is_that_of_the_picture_as_read(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{suffix}"
    PICTURE.save(path, exif=exif)
    assert picture_size(path) == read_rgb(path).shape[:2]


def test_no_picture_gives_a_user_error(tmp_path):
    bogus = tmp_path / "bogus.png"
    bogus.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"bogus\.png"):
        picture_size(bogus)
    with pytest.raises(UserError, match="absent"):
        picture_size(tmp_path / "absent.png")
    with pytest.raises(UserError):
        picture_size(tmp_path)
