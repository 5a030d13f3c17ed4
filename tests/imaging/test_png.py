"""PNG by rows, as the PNG specification says."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from src.imaging.io import read_image, write_image
from src.imaging.png import write_png


@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_by_the_definition(tmp_path, dtype, channels):
    """Its chunks, checksums and rows, undone."""
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (192, 30, *channels), dtype, endpoint=True)
    write_png(tmp_path / "x.png", pixels, {})
    content, chunks, place = (tmp_path / "x.png").read_bytes(), [], 8
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        data = content[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", content, place + 8 + length)[0] == zlib.crc32(kind + data)
        chunks.append((kind, data))
        place += 12 + length
    bits, colours = 8 * pixels.itemsize, {(): 0, (2,): 4, (3,): 2, (4,): 6}[channels]
    assert chunks[0] == (b"IHDR", struct.pack(">IIBBBBB", 30, 192, bits, colours, 0, 0, 0))
    assert chunks[-1] == (b"IEND", b"")
    rows = np.frombuffer(zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT")), np.uint8)
    rows = rows.reshape(192, -1)
    assert (rows[:, 0] == 2).all()
    found = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8).view(pixels.dtype.newbyteorder(">")).reshape(pixels.shape)
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_a_large_picture_is_read_as_that_of_pillow(tmp_path, photo, monkeypatch, channels):
    pixels = np.dstack([photo[:70, :50]] * 2)[..., : (channels or (1,))[0]].reshape(70, 50, *channels)
    write_image(tmp_path / "pillow.png", pixels)
    monkeypatch.setattr("src.imaging.io.LARGE", 1000)
    write_image(tmp_path / "rows.png", pixels)
    with Image.open(tmp_path / "pillow.png") as pillow, Image.open(tmp_path / "rows.png") as rows:
        assert pillow.mode == rows.mode
        np.testing.assert_array_equal(rows, pixels)
    assert (tmp_path / "pillow.png").read_bytes() != (tmp_path / "rows.png").read_bytes()
    assert read_image(tmp_path / "rows.png").lost == ()
