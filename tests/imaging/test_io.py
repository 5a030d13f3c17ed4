"""Reading: every kind of picture comes out as upright 8-bit RGB, and every broken file as one clear line."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from src.errors import UserError
from src.imaging import io as imaging_io
from src.imaging.io import READ_SUFFIXES, list_images, read_image, read_rgb


@pytest.fixture
def patch(photo):
    return photo[100:148, 150:214]


def encoded(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png(width, height, depth, colour_type, rows, *chunks):
    """Build a PNG by hand, for kinds that Pillow reads but does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def kinds(patch):
    """Yield (name, file content, exact) of truecolour files; not exact where the format loses something."""
    image = Image.fromarray(patch)
    yield "png", encoded(image, "PNG"), True
    yield "bmp", encoded(image, "BMP"), True
    yield "webp", encoded(image, "WEBP", lossless=True), True
    yield "tiff", encoded(image, "TIFF"), True
    yield "tiff-lzw", encoded(image, "TIFF", compression="tiff_lzw"), True
    yield "ppm", encoded(image, "PPM"), True
    yield "jpeg", encoded(image, "JPEG", quality=95, subsampling=0), False
    yield "jpeg-progressive", encoded(image, "JPEG", quality=95, subsampling=0, progressive=True), False
    yield "webp-lossy", encoded(image, "WEBP", quality=95), False


def test_truecolour_formats(tmp_path, patch):
    for name, content, exact in kinds(patch):
        path = tmp_path / name  # no suffix: the content decides
        path.write_bytes(content)
        picture = read_image(path)
        assert picture.alpha is None and not picture.gray, name
        assert picture.rgb.dtype == np.uint8 and picture.rgb.flags.c_contiguous and picture.rgb.flags.writeable, name
        difference = np.abs(picture.rgb.astype(int) - patch)
        assert difference.mean() < 4 if not exact else difference.max() == 0, name


@pytest.mark.parametrize("file_format", ("PNG", "TIFF", "JPEG"))
def test_gray(tmp_path, patch, file_format):
    (tmp_path / "x").write_bytes(encoded(Image.fromarray(patch[..., 0]), file_format, quality=100))
    picture = read_image(str(tmp_path / "x"))
    assert picture.gray and picture.alpha is None
    assert np.abs(picture.rgb.astype(int) - patch[..., :1]).max() <= (2 if file_format == "JPEG" else 0)


def test_alpha(tmp_path, patch):
    alpha = patch[..., 2]
    Image.fromarray(np.dstack([patch, alpha])).save(tmp_path / "rgba.png")
    Image.fromarray(np.dstack([patch[..., 0], alpha])).save(tmp_path / "la.png")
    colour, gray = read_image(tmp_path / "rgba.png"), read_image(tmp_path / "la.png")
    np.testing.assert_array_equal(colour.rgb, patch)
    np.testing.assert_array_equal(gray.rgb, patch[..., :1].repeat(3, 2))
    np.testing.assert_array_equal(colour.alpha, alpha)
    np.testing.assert_array_equal(gray.alpha, alpha)
    assert gray.gray and not colour.gray
    assert gray.alpha.flags.c_contiguous and gray.alpha.flags.writeable
    np.testing.assert_array_equal(read_rgb(tmp_path / "rgba.png"), patch)


def test_palette_with_and_without_transparency(tmp_path):
    palette = (b"PLTE", bytes([10, 20, 30, 200, 100, 50]))
    rows = b"\0\0\1"
    (tmp_path / "opaque.png").write_bytes(png(2, 1, 8, 3, rows, palette))
    (tmp_path / "clear.png").write_bytes(png(2, 1, 8, 3, rows, palette, (b"tRNS", bytes([7]))))
    opaque, clear = read_image(tmp_path / "opaque.png"), read_image(tmp_path / "clear.png")
    assert opaque.rgb.tolist() == clear.rgb.tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert opaque.alpha is None and not opaque.gray
    assert clear.alpha.tolist() == [[7, 255]]


def test_transparent_colour_of_gray_and_truecolour(tmp_path):
    (tmp_path / "l.png").write_bytes(png(2, 1, 8, 0, b"\0\x0a\x14", (b"tRNS", b"\0\x0a")))
    (tmp_path / "rgb.png").write_bytes(png(2, 1, 8, 2, b"\0\1\2\3\4\5\6", (b"tRNS", b"\0\1\0\2\0\3")))
    gray, colour = read_image(tmp_path / "l.png"), read_image(tmp_path / "rgb.png")
    assert gray.gray and gray.alpha.tolist() == [[0, 255]] and gray.rgb[0, :, 0].tolist() == [10, 20]
    assert not colour.gray and colour.alpha.tolist() == [[0, 255]] and colour.rgb.tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_bilevel(tmp_path):
    bits = np.array([[0, 255, 255], [255, 0, 0]], np.uint8)
    Image.fromarray(bits).convert("1").save(tmp_path / "x.png")
    picture = read_image(tmp_path / "x.png")
    assert picture.gray and picture.alpha is None
    np.testing.assert_array_equal(picture.rgb[..., 0], bits)


@pytest.mark.parametrize("file_format", ("JPEG", "TIFF"))
def test_cmyk(tmp_path, file_format):
    flat = np.zeros((16, 16, 4), np.uint8) + np.array([0, 255, 255, 0], np.uint8)
    (tmp_path / "x").write_bytes(encoded(Image.fromarray(flat, "CMYK"), file_format))
    picture = read_image(tmp_path / "x")
    assert not picture.gray and picture.alpha is None
    assert np.abs(picture.rgb.astype(int) - [255, 0, 0]).max() <= 3


VALUES_16 = np.array([[0, 1, 128, 129, 257, 32767, 32768, 65406, 65407, 65535]], np.uint16)
EXPECTED_8 = [0, 0, 0, 1, 1, 127, 128, 254, 255, 255]


@pytest.mark.parametrize(
    ("file_format", "byte_order"), (("PNG", "<u2"), ("PNG", ">u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("PPM", "<u2"))
)
def test_sixteen_bit_gray_is_scaled(tmp_path, file_format, byte_order):
    (tmp_path / "x").write_bytes(encoded(Image.fromarray(VALUES_16.astype(byte_order)), file_format))
    picture = read_image(tmp_path / "x")
    assert picture.gray and picture.alpha is None
    assert picture.rgb[0].tolist() == [[value] * 3 for value in EXPECTED_8]


def test_sixteen_bit_gray_with_white_as_zero(tmp_path):
    Image.fromarray(VALUES_16).save(tmp_path / "x.tif", tiffinfo={262: 0})
    assert read_rgb(tmp_path / "x.tif")[0, :, 0].tolist() == [255 - value for value in EXPECTED_8]


def test_sixteen_bit_colour_and_alpha(tmp_path):
    colour = png(1, 1, 16, 2, b"\0" + struct.pack(">3H", 0x12FF, 0x3400, 0xFFFF))
    gray_alpha = png(1, 1, 16, 4, b"\0" + struct.pack(">2H", 0x5601, 0x7801))
    (tmp_path / "rgb.png").write_bytes(colour)
    (tmp_path / "la.png").write_bytes(gray_alpha)
    assert read_rgb(tmp_path / "rgb.png").tolist() == [[[0x12, 0x34, 0xFF]]]
    picture = read_image(tmp_path / "la.png")
    assert picture.gray and picture.rgb.tolist() == [[[0x56] * 3]] and picture.alpha.tolist() == [[0x78]]


@pytest.mark.parametrize("dtype", (np.float32, np.int32))
def test_pixels_of_unknown_range_are_refused(tmp_path, dtype):
    Image.fromarray(np.ones((4, 4), dtype)).save(tmp_path / "x.tif")
    with pytest.raises(UserError, match=r"^cannot read .*x\.tif: .*unknown range; save it with 8 or 16 bits$"):
        read_image(tmp_path / "x.tif")


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("file_format", ("PNG", "TIFF", "WEBP", "JPEG"))
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(tmp_path, patch, orientation, file_format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if file_format == "JPEG" else {"lossless": True}
    (tmp_path / "x").write_bytes(encoded(Image.fromarray(patch), file_format, exif=exif, **options))
    expected = UPRIGHT[orientation](patch)
    rgb = read_rgb(tmp_path / "x")
    assert rgb.shape == expected.shape
    assert np.abs(rgb.astype(int) - expected).mean() < (4 if file_format == "JPEG" else 1e-9)


def test_exif_orientation_of_sixteen_bits(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(VALUES_16).save(tmp_path / "x.png", exif=exif)
    assert read_rgb(tmp_path / "x.png")[:, 0, 0].tolist() == EXPECTED_8


@pytest.mark.parametrize("file_format", ("WEBP", "GIF", "TIFF"))
def test_first_of_several_frames(tmp_path, file_format):
    frames = [Image.new("RGB", (6, 5), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "x", file_format, save_all=True, append_images=frames[1:], **{"lossless": True})
    rgb = read_rgb(tmp_path / "x")
    assert rgb.shape == (5, 6, 3) and np.abs(rgb.astype(int) - [255, 0, 0]).max() <= 1


@pytest.mark.parametrize("name", ("with space.png", "日本語 ünï.png", "😀.png", "a'b\"c.png"))
def test_any_name(tmp_path, patch, name):
    Image.fromarray(patch).save(tmp_path / name)
    np.testing.assert_array_equal(read_rgb(tmp_path / name), patch)
    assert list_images(tmp_path) == [tmp_path / name]


def test_one_pixel(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "x.png")
    assert read_rgb(tmp_path / "x.png").tolist() == [[[1, 2, 3]]]


def test_natural_order_and_what_is_left_out(tmp_path):
    names = ["a1.png", "a2.JPG", "A10.webp", "b.tiff", "b2.GIF", "007.bmp", "10.ppm", "2.pgm", "c.jpeg", "c.tif"]
    for name in [*names, ".hidden.png", "notes.txt", "png"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "inner.png").touch()
    expected = ["2.pgm", "007.bmp", "10.ppm", "a1.png", "a2.JPG", "A10.webp", "b.tiff", "b2.GIF", "c.jpeg", "c.tif"]
    assert [path.name for path in list_images(str(tmp_path))] == expected
    assert {path.suffix.lower() for path in list_images(tmp_path)} == set(READ_SUFFIXES)


def test_folder_without_pictures(tmp_path):
    (tmp_path / "notes.txt").touch()
    for folder, message in (
        (tmp_path, "no pictures in "),
        (tmp_path / "missing", "No such file or directory; check the path"),
        (tmp_path / "notes.txt", "it is a file; check the path"),
    ):
        with pytest.raises(UserError, match=f"^[^\n]*{message}[^\n]*$"):
            list_images(folder)


def test_limit_of_pixels(tmp_path, monkeypatch):
    Image.new("L", (20, 10)).save(tmp_path / "x.png")
    monkeypatch.setattr(imaging_io, "MAX_PIXELS", 200)
    assert read_rgb(tmp_path / "x.png").shape == (10, 20, 3)
    monkeypatch.setattr(imaging_io, "MAX_PIXELS", 199)
    with pytest.raises(UserError, match="more than .* pixels; cut it into smaller pictures$"):
        read_image(tmp_path / "x.png")
