"""Reading files that are missing, bogus, truncated or damaged: one line that names the file, never a wrong picture."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from src.errors import UserError
from src.imaging import io as imaging_io
from src.imaging.io import MAX_PIXELS, read_image
from tests.imaging.test_io import encoded, kinds


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
    for name, content, _ in [*kinds(small), *extra]:
        path = tmp_path / name
        path.write_bytes(content)
        whole = read_image(path).rgb
        errors = 0
        for length in {*range(0, len(content), 1 + len(content) // 60), *range(len(content) - 24, len(content))}:
            path.write_bytes(content[:length])
            if error_of(path):
                errors += 1
            else:  # only what follows the pixels is missing
                np.testing.assert_array_equal(read_image(path).rgb, whole, err_msg=f"{name} at {length}")
                assert length >= len(content) - 24, name
        assert errors >= 50, name


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_flipped_bits_give_a_picture_or_one_line(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(imaging_io, "MAX_PIXELS", 10**6)  # a flipped size must not take gigabytes
    random = np.random.default_rng(0)
    for name, content, _ in kinds(photo[100:124, 150:180]):
        path = tmp_path / name
        for _ in range(40):
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

    monkeypatch.setattr(imaging_io, "_picture", fail)
    assert "not enough memory" in error_of(tmp_path / "x.png")
