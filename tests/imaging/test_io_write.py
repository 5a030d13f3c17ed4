"""Writing: what is written reads back the same, in one piece, and what cannot be written is refused in one line."""

import errno

import numpy as np
import pytest
from PIL import Image

from src.errors import UserError
from src.imaging.io import WRITE_SUFFIXES, read_image, read_rgb, write_image


@pytest.mark.parametrize("suffix", WRITE_SUFFIXES)
def test_round_trip_of_colour(tmp_path, photo, suffix):
    patch = photo[100:148, 150:214]
    write_image(str(tmp_path / f"x{suffix}"), patch)
    picture = read_image(tmp_path / f"x{suffix}")
    assert picture.alpha is None and not picture.gray
    difference = np.abs(picture.rgb.astype(int) - patch)
    assert difference.max() == 0 if suffix not in (".jpg", ".jpeg") else difference.mean() < 2.5


@pytest.mark.parametrize("suffix", [suffix for suffix in WRITE_SUFFIXES if suffix not in (".jpg", ".jpeg")])
def test_round_trip_of_gray(tmp_path, photo, suffix):
    gray = photo[:30, :40, 1]
    write_image(tmp_path / f"x{suffix}", gray)
    picture = read_image(tmp_path / f"x{suffix}")
    assert picture.alpha is None and picture.gray == (suffix != ".webp")
    np.testing.assert_array_equal(picture.rgb, gray[..., np.newaxis].repeat(3, 2))


@pytest.mark.parametrize("suffix", (".png", ".webp", ".tif", ".tiff"))
@pytest.mark.parametrize("channels", (2, 4))
def test_round_trip_of_alpha(tmp_path, suffix, channels):
    # Pixels under alpha 0 keep their colour too.
    array = np.random.default_rng(0).integers(0, 256, (12, 9, channels), dtype=np.uint8)
    array[:4, :, -1] = 0
    write_image(tmp_path / f"x{suffix}", array)
    picture = read_image(tmp_path / f"x{suffix}")
    np.testing.assert_array_equal(picture.alpha, array[..., -1])
    np.testing.assert_array_equal(picture.rgb, np.broadcast_to(array[..., :-1], (12, 9, 3)))
    assert picture.gray == (channels == 2 and suffix != ".webp")


@pytest.mark.parametrize("suffix", WRITE_SUFFIXES)
@pytest.mark.parametrize("shape", ((1, 1), (1, 1, 3), (1, 300, 3), (300, 1)))
def test_thin_pictures(tmp_path, shape, suffix):
    write_image(tmp_path / f"x{suffix}", np.full(shape, 128, np.uint8))
    np.testing.assert_allclose(read_rgb(tmp_path / f"x{suffix}"), np.full(shape[:2] + (3,), 128), rtol=0, atol=1)


def test_jpeg_keeps_full_chroma(tmp_path):
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255
    write_image(tmp_path / "x.jpg", stripes)
    assert np.abs(read_rgb(tmp_path / "x.jpg").astype(int) - stripes).max() < 40


def test_any_memory_layout_name_and_folder(tmp_path, photo):
    view = photo[50:10:-1, ::7, ::-1]
    path = tmp_path / "neuer Ordner" / "größe 二.PNG"
    write_image(path, view)
    np.testing.assert_array_equal(read_rgb(path), view)


@pytest.mark.parametrize("name", ("x.xyz", "x", "x.png.bak", "x.gif"))
def test_unknown_suffix(tmp_path, name):
    with pytest.raises(UserError, match=r"^[^\n]*must be one of \.bmp, \.jpeg, .*\.webp, not '[^\n]*'$"):
        write_image(tmp_path / name, np.zeros((2, 2), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ("x.jpg", "x.JPEG", "x.bmp"))
@pytest.mark.parametrize("channels", (2, 4))
def test_alpha_where_there_is_none(tmp_path, name, channels):
    with pytest.raises(UserError, match=r"^[^\n]*holds no alpha channel; write \.png, \.webp or \.tif instead$"):
        write_image(tmp_path / name, np.zeros((2, 2, channels), np.uint8))


@pytest.mark.parametrize(("name", "side"), (("x.webp", 16384), ("x.jpg", 65501)))
def test_too_long_for_the_format(tmp_path, name, side):
    with pytest.raises(UserError, match=rf"^[^\n]*at most {side - 1} pixels a side, not {side}x1; write \.png [^\n]*$"):
        write_image(tmp_path / name, np.zeros((1, side), np.uint8))
    write_image(tmp_path / name, np.zeros((1, side - 1), np.uint8))
    assert read_rgb(tmp_path / name).shape == (1, side - 1, 3)


@pytest.mark.parametrize(
    "array",
    (
        [[1]],
        np.zeros((2, 2, 3), np.float32),
        np.zeros((2, 2, 3), np.int64),
        np.zeros((2, 2, 1), np.uint8),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((3,), np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.zeros((0, 2, 3), np.uint8),
    ),
)
def test_bad_arrays(tmp_path, array):
    with pytest.raises(UserError, match="^cannot write [^\n]+$"):
        write_image(tmp_path / "x.png", array)
    assert not list(tmp_path.iterdir())


def test_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    write_image(path, np.full((2, 2), 7, np.uint8))

    def full(self, file, **_):
        with open(file, "wb") as handle:
            handle.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match="^no space left on the disk for the picture [^\n]+$"):
        write_image(path, np.zeros((2, 2), np.uint8))
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.png"]
    assert (read_rgb(path) == 7).all()


def test_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="^cannot write the picture [^\n]+$"):
        write_image(tmp_path / "file" / "x.png", np.zeros((2, 2), np.uint8))
    (tmp_path / "x.png").mkdir()
    with pytest.raises(UserError, match="^cannot write the picture [^\n]+$"):
        write_image(tmp_path / "x.png", np.zeros((2, 2), np.uint8))
