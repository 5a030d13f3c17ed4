"""Reading gives upright RGB, or one line that names the file; what is written reads back the same."""

import errno
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from src.errors import UserError
from src.imaging import io as imaging_io
from src.imaging.io import (
    MAX_PIXELS,
    READ_SUFFIXES,
    WRITE_SUFFIXES,
    list_images,
    picture_size,
    read_image,
    read_rgb,
    write_image,
)


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
def test_sixteen_bit_gray_keeps_its_levels(tmp_path, file_format, byte_order):
    (tmp_path / "x").write_bytes(encoded(Image.fromarray(VALUES_16.astype(byte_order)), file_format))
    picture = read_image(tmp_path / "x")
    assert picture.gray and picture.alpha is None and picture.rgb.dtype == np.uint16
    np.testing.assert_array_equal(picture.rgb, VALUES_16[..., np.newaxis].repeat(3, 2))
    assert read_rgb(tmp_path / "x")[0].tolist() == [[value] * 3 for value in EXPECTED_8]


def test_sixteen_bit_gray_with_white_as_zero(tmp_path):
    Image.fromarray(VALUES_16).save(tmp_path / "x.tif", tiffinfo={262: 0})
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif").rgb[..., 0], 65535 - VALUES_16)
    assert read_rgb(tmp_path / "x.tif")[0, :, 0].tolist() == [255 - value for value in EXPECTED_8]


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
def test_exif_orientation(tmp_path, patch, file_format):
    options = {"quality": 95, "subsampling": 0} if file_format == "JPEG" else {"lossless": True}
    for orientation, upright in UPRIGHT.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        (tmp_path / "x").write_bytes(encoded(Image.fromarray(patch), file_format, exif=exif, **options))
        expected, rgb = upright(patch), read_rgb(tmp_path / "x")
        assert picture_size(tmp_path / "x") == rgb.shape[:2] == expected.shape[:2], orientation
        assert np.abs(rgb.astype(int) - expected).mean() < (4 if file_format == "JPEG" else 1e-9), orientation


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


def test_any_name(tmp_path, patch):
    names = {"with space.png", "日本語 ünï.png", "😀.png", "a'b\"c.png"}
    for name in names:
        Image.fromarray(patch).save(tmp_path / name)
        np.testing.assert_array_equal(read_rgb(tmp_path / name), patch)
    assert {path.name for path in list_images(tmp_path)} == names


def test_one_pixel(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "x.png")
    assert read_rgb(tmp_path / "x.png").tolist() == [[[1, 2, 3]]]


def test_natural_order_and_what_is_left_out(tmp_path):
    names = ["a1.png", "a2.JPG", "A10.webp", "b.tiff", "b2.GIF", "007.bmp", "10.ppm", "2.pgm", "c.jpeg", "c.tif"]
    names += ["d1.jfif", "d2.jpe", "d3.mpo", "d4.avif", "d5.jp2", "d6.heic"]
    for name in [*names, ".hidden.png", "notes.txt", "png"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "inner.png").touch()
    expected = ["2.pgm", "007.bmp", "10.ppm", "a1.png", "a2.JPG", "A10.webp", "b.tiff", "b2.GIF", "c.jpeg", "c.tif"]
    expected += ["d1.jfif", "d2.jpe", "d3.mpo", "d4.avif", "d5.jp2", "d6.heic"]
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
    with pytest.raises(UserError, match="more than 0.000198 million pixels; .*, or raise --max-pixels$"):
        read_image(tmp_path / "x.png", max_pixels=198)
    assert read_image(tmp_path / "x.png", max_pixels=200).rgb.shape == (10, 20, 3)


def test_the_size_of_what_is_no_picture(tmp_path):
    bogus = tmp_path / "bogus.png"
    bogus.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"bogus\.png"):
        picture_size(bogus)
    with pytest.raises(UserError, match="absent"):
        picture_size(tmp_path / "absent.png")
    with pytest.raises(UserError):
        picture_size(tmp_path)


def error_of(path):
    """Return the error that reading the file gives, or None; it must be one line that names the file."""
    try:
        read_image(path)
    except UserError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_truncated_anywhere(tmp_path, photo):
    small = photo[100:124, 150:180]
    extra = [("gif", encoded(Image.fromarray(small[..., 0]), "GIF"), True)]
    extra += [("16", encoded(Image.fromarray(small[..., 0].astype(np.uint16) * 257), "PNG"), True)]
    write_image(tmp_path / "x.png", small.astype(np.uint16) * 256 + small[::-1])
    extra += [("rgb16", (tmp_path / "x.png").read_bytes(), True)]
    for name, content, _ in [*kinds(small), *extra]:
        path = tmp_path / name
        path.write_bytes(content)
        whole = read_image(path).rgb
        errors = 0
        for length in {*range(0, len(content), 1 + len(content) // 20), *range(len(content) - 24, len(content))}:
            path.write_bytes(content[:length])
            if error_of(path):
                errors += 1
            else:  # only what follows the pixels is missing
                np.testing.assert_array_equal(read_image(path).rgb, whole, err_msg=f"{name} at {length}")
                assert length >= len(content) - 24, name
        assert errors >= 20, name


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_flipped_bits_give_a_picture_or_one_line(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(imaging_io, "MAX_PIXELS", 10**6)  # a flipped size must not take gigabytes
    random = np.random.default_rng(0)
    for name, content, _ in kinds(photo[100:124, 150:180]):
        path = tmp_path / name
        for _ in range(15):
            damaged = bytearray(content)
            damaged[random.integers(len(damaged))] ^= 1 << random.integers(8)
            path.write_bytes(damaged)
            error = error_of(path)
            assert error is None or error.startswith("cannot read"), name


def test_png_checks_its_pixels(tmp_path, photo):
    content = bytearray(encoded(Image.fromarray(photo[:64, :64]), "PNG"))
    content[len(content) // 2] ^= 1
    (tmp_path / "x.png").write_bytes(content)
    assert "damaged or truncated" in error_of(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("content", "message"),
    (
        (b"", "the file is empty; copy or download it again"),
        (b"\0", "not a picture, or damaged"),
        (b"not a picture at all" * 50, "not a picture, or damaged; expected one of PNG, JPEG"),
        (b"<html><body>404 Not Found</body></html>", "not a picture, or damaged"),
        (b"\x89PNG\r\n\x1a\n", "cannot read"),
        (b"\xff\xd8\xff\xe0", "cannot read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture, or damaged"),
    ),
)
def test_bogus_content(tmp_path, content, message):
    path = tmp_path / "päivä 1.png"
    path.write_bytes(content)
    assert message in error_of(path)


def test_avif_whatever_its_name(tmp_path, patch):
    (tmp_path / "x.jpg").write_bytes(encoded(Image.fromarray(patch), "AVIF", quality=95, subsampling="4:4:4"))
    assert np.abs(read_rgb(tmp_path / "x.jpg").astype(int) - patch).mean() < 4


def test_heic_without_its_plugin_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(imaging_io, "_formats", lambda: ("PNG", "JPEG", "AVIF"))
    (tmp_path / "x.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert error_of(tmp_path / "x.jpg").endswith(": it is a HEIC picture; pip install pillow-heif reads it")


@pytest.mark.parametrize("depth", [8, 10])
def test_heic(tmp_path, patch, depth):
    pillow_heif = pytest.importorskip("pillow_heif")
    pixels = patch if depth == 8 else patch.astype(np.uint16) << 2
    mode = "RGB" if depth == 8 else "RGB;10"
    file = pillow_heif.from_bytes(mode=mode, size=patch.shape[1::-1], data=pixels.tobytes())
    file.save(tmp_path / "x.jpg", format="HEIF", quality=95, chroma=444)
    picture = read_image(tmp_path / "x.jpg")
    assert np.abs(picture.rgb.astype(int) - patch).mean() < 4
    assert picture.lost == (() if depth == 8 else ("more than 8 bits a colour are read as 8",))


def test_missing_file_and_folder(tmp_path):
    assert error_of(tmp_path / "no.png").endswith("there is no such file; check the path")
    assert error_of(tmp_path / "a" / "no.png").endswith("there is no such file; check the path")
    assert error_of(tmp_path).endswith("it is a folder; name a file in it")
    assert "name too long" in error_of(tmp_path / ("x" * 300 + ".png"))


def test_path_through_a_file(tmp_path):
    (tmp_path / "file").touch()
    assert "Not a directory; check the path" in error_of(tmp_path / "file" / "x.png")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file(tmp_path):
    path = tmp_path / "x.png"
    Image.new("L", (2, 2)).save(path)
    path.chmod(0)
    assert "Permission denied" in error_of(path)


def test_links(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "x.png")
    (tmp_path / "good.png").symlink_to(tmp_path / "x.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert error_of(tmp_path / "good.png") is None
    assert "there is no such file" in error_of(tmp_path / "dangling.png")
    assert "symbolic links" in error_of(tmp_path / "loop.png")
    assert [path.name for path in imaging_io.list_images(tmp_path)] == ["good.png", "x.png"]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", (24_000, 100_000))
def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    assert side**2 > MAX_PIXELS
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\x0aIDAT" + bytes(14))
    assert error_of(tmp_path / "x.png").endswith("more than 500 million pixels; cut it into smaller pictures")


def test_pillow_limit_is_only_ever_raised(tmp_path, monkeypatch):
    Image.new("L", (2, 2)).save(tmp_path / "x.png")
    for before, after in ((1, MAX_PIXELS), (4 * MAX_PIXELS, 4 * MAX_PIXELS), (None, None)):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", before)
        read_image(tmp_path / "x.png")
        assert after == Image.MAX_IMAGE_PIXELS


def test_no_memory(tmp_path, monkeypatch):
    Image.new("L", (2, 2)).save(tmp_path / "x.png")

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(imaging_io, "picture_of", fail)
    assert "not enough memory" in error_of(tmp_path / "x.png")


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
def test_thin_pictures(tmp_path, suffix):
    for shape in ((1, 1), (1, 1, 3), (1, 300, 3), (300, 1)):
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
