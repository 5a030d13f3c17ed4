"""16 bits a colour come in and go out with every level, in PNG and TIFF of any layout."""

import io
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from src.errors import UserError
from src.imaging import png
from src.imaging.io import picture_size, read_image, read_rgb, write_image
from src.imaging.picture import _has_more_bits

tifffile = pytest.importorskip("tifffile")


@pytest.fixture
def deep(photo):
    """``deep(channels)`` is a crop of the photograph whose low bytes are not those of 8 bits: uint16 (24, 30, C)."""

    def deep(channels):
        low = np.random.default_rng(channels).integers(0, 256, (24, 30, channels), dtype=np.uint16)
        return np.dstack([photo[100:124, 150:180]] * 2)[..., :channels].astype(np.uint16) * 256 + low

    return deep


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_what_is_written_reads_back(tmp_path, deep, suffix, channels):
    path, pixels = tmp_path / f"x.{suffix}", deep(channels)
    write_image(path, pixels[..., 0] if channels == 1 else pixels)
    picture = read_image(path)
    assert picture.rgb.dtype == np.uint16 and picture.rgb.flags.c_contiguous and picture.rgb.flags.writeable
    np.testing.assert_array_equal(
        picture.rgb, np.broadcast_to(pixels[..., : channels - (channels % 2 == 0)], (24, 30, 3))
    )
    assert (picture.alpha is None) == (channels in (1, 3)) and picture.lost == ()
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, pixels[..., -1])
    assert picture.gray == (channels == 1 or (channels == 2 and suffix == "png"))
    if suffix == "tif" and channels != 2:
        np.testing.assert_array_equal(tifffile.imread(path).reshape(pixels.shape), pixels)
    assert np.abs(read_rgb(path) - picture.rgb / 257).max() <= 0.5


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("byte_order", "<>")
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_uncompressed_tiff_of_others(tmp_path, deep, planar, byte_order, channels, tile):
    pixels, extra = deep(channels), ["unassalpha"] if channels == 4 else None
    stored = pixels if planar == "contig" else np.moveaxis(pixels, 2, 0)
    options = {
        "photometric": "rgb",
        "planarconfig": planar,
        "byteorder": byte_order,
        "extrasamples": extra,
        "tile": tile,
    }
    tifffile.imwrite(tmp_path / "x.tif", stored, **options)
    picture = read_image(tmp_path / "x.tif")
    np.testing.assert_array_equal(picture.rgb, pixels[..., :3])
    if channels == 4:
        np.testing.assert_array_equal(picture.alpha, pixels[..., 3])


@pytest.mark.parametrize("predictor", [False, True])
def test_compressed_tiff_of_others(tmp_path, deep, predictor):
    tifffile.imwrite(tmp_path / "x.tif", deep(3), photometric="rgb", compression="zlib", predictor=predictor)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif").rgb, deep(3))
    apart = np.moveaxis(deep(3), 2, 0)
    tifffile.imwrite(tmp_path / "y.tif", apart, photometric="rgb", planarconfig="separate", compression="zlib")
    picture = read_image(tmp_path / "y.tif")
    np.testing.assert_array_equal(picture.rgb, deep(3) >> 8)
    assert picture.lost == ("more than 8 bits a colour are read as 8",)


def test_planar_tiff_without_tifffile_is_one_line(tmp_path, deep, monkeypatch):
    tifffile.imwrite(tmp_path / "x.tif", np.moveaxis(deep(3), 2, 0), photometric="rgb", planarconfig="separate")
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(UserError, match=r"^cannot read .*x\.tif: .*pip install tifffile reads it$"):
        read_image(tmp_path / "x.tif")


def test_raw_camera_converters_write_ppm(tmp_path, deep):
    (tmp_path / "x.ppm").write_bytes(b"P6\n30 24\n65535\n" + deep(3).astype(">u2").tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "x.ppm").rgb, deep(3))
    (tmp_path / "y.ppm").write_bytes(b"P6\n30 24\n4095\n" + (deep(3) >> 4).astype(">u2").tobytes())
    picture = read_image(tmp_path / "y.ppm")
    assert picture.rgb.dtype == np.uint8 and picture.lost == ("more than 8 bits a colour are read as 8",)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("planar", [False, True])
def test_orientation(tmp_path, deep, suffix, planar):
    path = tmp_path / f"x.{suffix}"
    if planar:
        extra = [(274, 3, 1, 6, True)]
        stored = np.moveaxis(deep(3), 2, 0)
        tifffile.imwrite(path, stored, photometric="rgb", planarconfig="separate", extratags=extra)
    elif suffix == "tif":
        tifffile.imwrite(path, deep(3), photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    else:
        exif = Image.Exif()
        exif[274] = 6
        png.write_png(path, deep(3), {"exif": exif})
    picture = read_image(path)
    np.testing.assert_array_equal(picture.rgb, np.rot90(deep(3), -1))
    assert picture_size(path) == (30, 24)


def test_the_transparent_colour_of_a_png_is_of_all_bits(tmp_path):
    pixels = np.array([[[0x1234, 5, 6], [0x1235, 5, 6]]], np.uint16)
    write_image(tmp_path / "x.png", pixels)
    content = (tmp_path / "x.png").read_bytes()
    data = b"tRNS" + struct.pack(">3H", 0x1234, 5, 6)
    chunk = struct.pack(">I", 6) + data + struct.pack(">I", zlib.crc32(data))
    (tmp_path / "x.png").write_bytes(content[:33] + chunk + content[33:])
    assert read_image(tmp_path / "x.png").alpha.tolist() == [[0, 65535]]


def test_an_interlaced_png(tmp_path):
    """Of one pixel, whose only pass is the first."""
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 1)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0\x12\x34\x56\x78\x9a\xbc")), (b"IEND", b"")]
    with open(tmp_path / "x.png", "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for part in parts:
            png._write_chunk(file, *part)
    assert read_image(tmp_path / "x.png").rgb.tolist() == [[[0x1234, 0x5678, 0x9ABC]]]


@pytest.mark.parametrize(("name", "kind", "ahead"), [("AVIF", b"pixi", 9), ("JPEG2000", b"\xff\x4f\xff\x51", 42)])
def test_more_bits_of_a_format_that_pillow_gives_eight_of(photo, name, kind, ahead):
    """Headers of 8-bit files of which the number of bits is changed."""
    buffer = io.BytesIO()
    Image.fromarray(photo[:16, :16]).save(buffer, name)
    content = bytearray(buffer.getvalue())
    image = SimpleNamespace(format=name, fp=io.BytesIO(content))
    assert not _has_more_bits(image)
    content[content.find(kind) + ahead] += 2
    image.fp = io.BytesIO(content)
    assert _has_more_bits(image) and image.fp.tell() == 0


def test_jpeg_2000(tmp_path, photo):
    Image.fromarray(photo[:16, :16]).save(tmp_path / "x.jp2")
    picture = read_image(tmp_path / "x.jp2")
    assert picture.lost == () and np.array_equal(picture.rgb, photo[:16, :16])
    Image.fromarray(photo[:16, :16, 0].astype(np.uint16) * 257).save(tmp_path / "gray.jp2")
    np.testing.assert_array_equal(read_image(tmp_path / "gray.jp2").rgb[..., 0], photo[:16, :16, 0].astype(int) * 257)


def test_field_pictures_keep_every_level(tmp_path, shared):
    reference = tifffile.imread(shared / "field/depth/rgb16.tif")
    for name in ("rgb16.png", "rgb16.tif"):
        np.testing.assert_array_equal(read_image(shared / "field/depth" / name).rgb, reference)
    planar = shared / "field/planar/16bit_3ch_separate_None_LE.tif"
    np.testing.assert_array_equal(read_image(planar).rgb, np.moveaxis(tifffile.imread(planar), 0, 2))
