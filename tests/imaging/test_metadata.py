"""Profile, EXIF, resolution and text come through, as the file's own format says them; what does not is named."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from src.imaging.io import format_of, read_image, write_image
from src.imaging.metadata import Metadata

FORMATS = ("png", "jpg", "webp", "tif")
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EXIF, GPS, COMMENT = 34665, 34853, 37510


@pytest.fixture
def camera(tmp_path, photo):
    """A JPEG as a camera writes it: lying on its side, with profile, EXIF, place, thumbnail, comment and 300 dpi."""
    exif = Image.Exif()
    exif.update({271: "TestCam", 274: 6, 282: 300.0, 283: 300.0, 296: 2, 315: "Zoë".encode()})
    exif.get_ifd(EXIF).update({36867: "2013:08:03 16:28:36", 40962: 64, 40963: 48, 33434: 0.005, 37500: b"maker's"})
    exif.get_ifd(GPS).update({1: "N", 2: (52.0, 30.0, 0.0)})
    path = tmp_path / "camera.jpg"
    image = Image.fromarray(photo[100:148, 150:214])
    image.save(path, exif=exif, dpi=(300, 300), icc_profile=PROFILE, comment="a comment", xmp=b"<x:xmpmeta/>")
    return path


def written(picture, path, dtype=np.uint8):
    """Write a picture of twice the size to a path, and return Pillow's image of it, loaded."""
    write_image(path, picture.rgb.repeat(2, 0).repeat(2, 1).astype(dtype), picture.metadata)
    with Image.open(path) as image:
        image.load()
    return image


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_cameras_picture(tmp_path, camera, suffix, dtype):
    if dtype == np.uint16 and not format_of(f"x.{suffix}").sixteen_bits:
        pytest.skip(f"no 16 bits in {suffix}")
    picture = read_image(camera)
    assert picture.rgb.shape == (64, 48, 3) and picture.lost == ()
    image = written(picture, tmp_path / f"x.{suffix}", dtype)
    exif = image.getexif()
    own, place = exif.get_ifd(EXIF), exif.get_ifd(GPS)
    assert image.info["icc_profile"] == PROFILE and image.info["xmp" if suffix != "png" else "XML:com.adobe.xmp"]
    assert exif[271] == "TestCam" and exif[274] == 1 and exif[282] == 300
    assert exif[315].encode("latin-1").decode() == "Zoë"
    assert (own[40962], own[40963]) == (96, 128) and own[36867] == "2013:08:03 16:28:36" and own[33434] == 0.005
    assert own[37500] == b"maker's" and place[1] == "N" and place[2] == (52, 30, 0)
    if suffix != "webp":
        assert [round(float(dots), 1) for dots in image.info["dpi"]] == [300, 300]
    again = read_image(tmp_path / f"x.{suffix}").metadata
    assert again.icc == PROFILE and again.lost(image.format) == []


def test_no_thumbnail(tmp_path, photo):
    """The second directory of EXIF, which is the thumbnail, is not copied."""
    thumbnail = io.BytesIO()
    Image.fromarray(photo[:16, :16]).save(thumbnail, "JPEG")
    exif = Image.Exif()
    exif[271] = "TestCam"
    body = bytearray(exif.tobytes())  # Exif 00 00, MM 00 2a, first directory at 8: one entry, then the next's offset
    end = len(body) - 6
    place = 6 + 8 + 2 + 12
    body[place : place + 4] = end.to_bytes(4, "big")
    data = end + 2 + 24 + 4
    body += (2).to_bytes(2, "big")
    for tag, value in ((513, data), (514, len(thumbnail.getvalue()))):
        body += tag.to_bytes(2, "big") + (4).to_bytes(2, "big") + (1).to_bytes(4, "big")
        body += value.to_bytes(4, "big")
    body += bytes(4) + thumbnail.getvalue()
    Image.fromarray(photo[:32, :32]).save(tmp_path / "x.jpg", exif=bytes(body))
    assert Image.open(tmp_path / "x.jpg").getexif().get_ifd(ExifTags.IFD.IFD1)[514] == len(thumbnail.getvalue())
    image = written(read_image(tmp_path / "x.jpg"), tmp_path / "y.jpg")
    assert image.getexif()[271] == "TestCam" and not image.getexif().get_ifd(ExifTags.IFD.IFD1)
    assert thumbnail.getvalue()[:64] not in (tmp_path / "y.jpg").read_bytes()


def test_text_of_a_png(tmp_path, photo):
    metadata = Metadata(text={"parameters": "a cat, steps 20", "Author": "Zoë"})
    write_image(tmp_path / "x.png", photo[:8, :8], metadata)
    picture = read_image(tmp_path / "x.png")
    for suffix in FORMATS:
        image = written(picture, tmp_path / f"y.{suffix}")
        if suffix == "png":
            assert image.text == metadata.text
        else:
            comment = image.getexif().get_ifd(EXIF)[COMMENT]
            assert comment[:8] == b"UNICODE\0" and comment[8:].decode("utf-16-be") == (
                "parameters: a cat, steps 20\nAuthor: Zoë"
            )
        assert picture.metadata.lost(image.format) == []


def test_a_comment_stays_one(tmp_path, camera):
    picture = read_image(camera)
    assert written(picture, tmp_path / "x.jpg").info["comment"] == b"a comment"
    assert written(picture, tmp_path / "x.png").text["Comment"] == "a comment"


def test_text_that_is_too_long_for_a_jpeg_is_told(tmp_path, photo):
    metadata = Metadata(text={"workflow": "x" * 100_000}, icc=PROFILE)
    write_image(tmp_path / "x.jpg", photo[:8, :8], metadata)
    assert metadata.lost("JPEG") == ["text"] and metadata.lost("WEBP") == metadata.lost("PNG") == []
    assert read_image(tmp_path / "x.jpg").metadata.icc == PROFILE


def test_what_a_bmp_does_not_hold(tmp_path, camera):
    assert read_image(camera).metadata.lost("BMP") == ["colour profile", "EXIF", "XMP", "text"]
    assert round(written(read_image(camera), tmp_path / "x.bmp").info["dpi"][0]) == 300


@pytest.mark.parametrize(("mode", "space"), [("L", b"RGB "), ("RGB", b"GRAY"), ("CMYK", b"CMYK")])
def test_a_profile_of_another_kind_of_pixels_is_told(tmp_path, photo, mode, space):
    profile = PROFILE[:16] + space + PROFILE[20:]
    Image.fromarray(photo[:8, :8]).convert(mode).save(tmp_path / "x.jpg", icc_profile=profile)
    picture = read_image(tmp_path / "x.jpg")
    kind = "gray" if mode == "L" else "RGB"
    assert picture.lost == (f"the colour profile is not kept: it is of {space.decode().strip()}, the result is {kind}",)
    assert picture.metadata.icc is None


def test_a_gray_profile(tmp_path, photo):
    profile = PROFILE[:16] + b"GRAY" + PROFILE[20:]
    Image.fromarray(photo[:8, :8, 0]).save(tmp_path / "x.jpg", icc_profile=profile)
    picture = read_image(tmp_path / "x.jpg")
    assert picture.metadata.icc == profile and picture.metadata.lost("WEBP") == ["colour profile"]
    write_image(tmp_path / "y.png", picture.rgb[..., 0], picture.metadata)
    assert read_image(tmp_path / "y.png").metadata.icc == profile


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_costs_no_picture(tmp_path, photo):
    Image.fromarray(photo[:8, :8]).save(tmp_path / "x.webp", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xffjunk", lossless=True)
    picture = read_image(tmp_path / "x.webp")
    np.testing.assert_array_equal(picture.rgb, photo[:8, :8])
    written(picture, tmp_path / "y.png")


def test_copies_of_imagemagick_are_not_taken(tmp_path, photo):
    """They would tell the old orientation."""
    write_image(
        tmp_path / "x.png", photo[:8, :8], Metadata(text={"Raw profile type exif": "\nexif\n 0\n", "Title": "t"})
    )
    assert read_image(tmp_path / "x.png").metadata.text == {"Title": "t"}


def test_the_layout_of_a_scientific_tiff_is_not_taken(tmp_path, photo):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "x.tif", photo[:8, :8])
    picture = read_image(tmp_path / "x.tif")
    image = written(picture, tmp_path / "y.tif")
    assert 270 not in image.tag_v2 and "dpi" not in image.info or image.info["dpi"] == (1, 1)
    assert tifffile.imread(tmp_path / "y.tif").shape == (16, 16, 3)


def test_field_pictures(tmp_path, shared):
    for name in ("icc/p3.jpg", "icc/p3.webp"):
        picture = read_image(shared / "field" / name)
        with Image.open(shared / "field" / name) as image:
            profile = image.info["icc_profile"]
        for suffix in FORMATS:
            assert written(picture, tmp_path / f"x.{suffix}").info["icc_profile"] == profile
