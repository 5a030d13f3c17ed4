"""What ``upscale`` takes: paths, Pillow's images, arrays, and lists of all of them."""

import numpy as np
import pytest
from PIL import Image

from src import UserError, load_upscaler
from src.imaging.io import write_image
from src.inference.pictures import as_pixels


@pytest.fixture(scope="module")
def upscaler(tiny_checkpoints):
    return load_upscaler(tiny_checkpoints["srdiff"], "cpu")


def test_a_single_picture_gives_a_single_one(upscaler, photo, tmp_path):
    picture = photo[:6, :9]
    (expected,) = upscaler.upscale([picture], seeds=[3])
    assert (expected.shape, expected.dtype) == ((24, 36, 3), np.uint8)
    write_image(tmp_path / "a.png", picture)
    for given in (picture, Image.fromarray(picture), tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(upscaler.upscale(given, seeds=3), expected)


def test_a_list_may_mix_kinds_sizes_and_depths(upscaler, photo, tmp_path):
    write_image(tmp_path / "a.png", photo[:8, :5])
    write_image(tmp_path / "b.png", deep := photo[:6, :9].astype(np.uint16) * 257 - photo[:6, :9])
    mixed = [photo[:6, :9], tmp_path / "a.png", Image.fromarray(photo[9:15, :9]), str(tmp_path / "b.png")]
    results = upscaler.upscale(mixed, seeds=2)
    arrays = photo[:6, :9], photo[:8, :5], photo[9:15, :9], deep
    for seed, (result, array) in enumerate(zip(results, arrays, strict=True), 2):
        np.testing.assert_array_equal(result, upscaler.upscale([array], seeds=[seed])[0])
        assert result.dtype == array.dtype
    together = upscaler.upscale(np.stack([arrays[0], arrays[2]]), seeds=[2, 4])
    np.testing.assert_array_equal(together, [results[0], results[2]])
    assert upscaler.upscale([]) == []
    lr_up = [np.zeros((4 * array.shape[0], 4 * array.shape[1], 3), np.uint8) for array in arrays[:2]]
    given = upscaler.upscale(arrays[:2], lr_up=lr_up)
    np.testing.assert_array_equal(given[0], upscaler.upscale(arrays[0], lr_up=lr_up[:1]))
    assert (given[0] != results[0]).any()


def test_pillows_images_are_made_upright_and_rgb(photo):
    image = Image.fromarray(photo[:6, :9])
    image.getexif()[274] = 6  # turned by a quarter
    np.testing.assert_array_equal(as_pixels(image), np.rot90(photo[:6, :9], -1))
    assert image.size == (9, 6)  # the user's own is as it was
    assert as_pixels(image.convert("LA")).shape == (6, 9, 3)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (
            np.zeros((4, 5, 3)),
            r"pixels are uint8 from 0 to 255, or uint16 from 0 to 65535, not float64: .*rint\(255 .* from -1",
        ),
        (np.zeros((4, 5, 3), np.int32), "not int32"),
        (np.zeros((4, 5), np.uint8), r"expected an array \(h, w, 3\), RGB, got \(4, 5\)"),
        (np.zeros((4, 5, 4), np.uint8), r"got \(4, 5, 4\)"),
        (np.zeros((0, 5, 3), np.uint8), r"got \(0, 5, 3\)"),
        (Image.new("F", (4, 5)), "a Pillow image of mode F does not tell its range"),
        (Image.new("I;16", (4, 5)), "a Pillow image of mode I;16 does not tell its range"),
        (b"a.png", "expected a picture as a path, a Pillow image or a NumPy array .*, not bytes"),
        (None, "not NoneType"),
        ("no.png", "no picture at no.png"),
    ],
)
def test_what_is_no_picture_is_one_line(upscaler, picture, message):
    for given in (picture, [np.zeros((4, 5, 3), np.uint8), picture]):
        with pytest.raises(UserError, match=message) as caught:
            upscaler.upscale(given)
        assert "\n" not in str(caught.value)


def test_a_seed_for_each(upscaler, photo):
    with pytest.raises(UserError, match="a seed for each of 2 pictures, or one for the first, got 1"):
        upscaler.upscale([photo[:6, :9]] * 2, seeds=[1])
